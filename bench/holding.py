"""Accelerators that pods hold, from the audit log: each pod from when the scheduler bound it until its kubelet let it go for good."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from math import inf
from typing import Any

Event = dict[str, Any]

_KUBELETS = ("lab-kwok", "system:node:", "system:serviceaccount:kube-system:pod-garbage-collector")
"""Who deletes a pod without a grace period, when its containers have ended. A deletion that anybody else asks for only begins its end."""
_FAILED = 300


@dataclass(frozen=True)
class Hold:
    """A pod that was on a node, and since when until when; one that still is has no end."""

    pod: str
    since: float
    until: float = inf


def holds(events: Iterable[Event], namespace: str) -> tuple[Hold, ...]:
    """Return what was held by the pods of a namespace. Those that drain are among it; those that never had a node are not."""
    bound: dict[str, float] = {}
    ended: list[Hold] = []
    for event in events:
        target = event.get("objectRef") or {}
        if target.get("resource") != "pods" or target.get("namespace") != namespace or not _done(event):
            continue
        name, at = target.get("name", ""), datetime.fromisoformat(event["stageTimestamp"]).timestamp()
        if event["verb"] == "create" and target.get("subresource") == "binding":
            bound[name] = at
        elif event["verb"] == "delete" and event["user"]["username"].startswith(_KUBELETS) and name in bound:
            ended.append(Hold(name, bound.pop(name), at))
    return (*ended, *(Hold(name, since) for name, since in bound.items()))


def peak(held: Iterable[Hold]) -> int:
    """Return how many were held at once at most. Of what begins in the moment that another one ends, both count."""
    changes = sorted((at, -by) for each in held for at, by in ((each.since, 1), (each.until, -1)))
    most = now = 0
    for _, by in changes:
        now -= by
        most = max(most, now)
    return most


def _done(event: Event) -> bool:
    code: int = (event.get("responseStatus") or {}).get("code", _FAILED)
    return code < _FAILED
