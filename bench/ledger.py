"""What the operator's account did to the API server, from the audit log: every figure of requests and of their times."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

Event = dict[str, Any]

_READS = frozenset({"get", "list"})
_WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
_CREATED, _FAILED = 201, 300
_CHILDREN = frozenset({"deployments", "services", "configmaps", "controllerrevisions", "poddisruptionbudgets", "networkpolicies"})
_CUSTOM = "llmdeployments"


@dataclass
class Request:
    """One finished request."""

    at: float
    verb: str
    resource: str
    subresource: str
    name: str
    code: int
    noop: bool
    phase: str = ""

    @property
    def reads(self) -> bool:
        """Return whether it was a GET or LIST."""
        return self.verb in _READS

    @property
    def writes(self) -> bool:
        """Return whether it asked for a change."""
        return self.verb in _WRITES

    @property
    def apart(self) -> str:
        """Return under which head it is counted when it is no part of a deployment's own making."""
        if self.resource == "jobs":
            return "resolver_jobs"
        if self.resource == "events":
            return "events"
        if self.resource == "leases":
            return "lease"
        return "nudges" if self.resource == "pods" and self.writes else ""


@dataclass
class Creation:
    """The times of one LLMDeployment."""

    asked: float = 0.0
    children: list[float] = field(default_factory=list)
    job_made: float = 0.0
    job_ended: float = 0.0
    ready: float = 0.0

    @property
    def created_s(self) -> float:
        """Return the time from the request to its last child, less the resolver's own."""
        return max(self.children) - self.asked - max(self.job_ended - self.job_made, 0.0)


@dataclass
class Ledger:
    """The audit log so far, read on from where it was read to."""

    log: Path
    account: str
    requests: list[Request] = field(default_factory=list)
    creations: dict[str, Creation] = field(default_factory=lambda: defaultdict(Creation))
    deletions: list[float] = field(default_factory=list)
    _offset: int = 0

    def read(self) -> None:
        """Take in what was logged since."""
        for event in self._events():
            target = event.get("objectRef", {})
            if "code" not in event.get("responseStatus", {}) or "resource" not in target or event["verb"] == "watch":
                continue
            who = event["user"]["username"]
            if who == self.account and "impersonatedUser" not in event:
                self._ours(event, target)
            else:
                self._theirs(event, target, who)

    def between(self, begin: float, end: float = float("inf")) -> list[Request]:
        """Return the operator's requests of a span of time, its Lease's left out."""
        return [each for each in self.requests if begin <= each.at < end and each.apart != "lease"]

    def _ours(self, event: Event, target: Event) -> None:
        sent, got = event.get("requestObject") or {}, event.get("responseObject") or {}
        version = (sent.get("metadata") or {}).get("resourceVersion")
        code = event["responseStatus"]["code"]
        request = Request(
            at=_time(event["stageTimestamp"]),
            verb=event["verb"],
            resource=target["resource"],
            subresource=target.get("subresource", ""),
            name=target.get("name", ""),
            code=code,
            noop=code < _FAILED and version is not None and version == (got.get("metadata") or {}).get("resourceVersion"),
            phase=str((sent.get("status") or {}).get("phase", "")) if target["resource"] == _CUSTOM else "",
        )
        self.requests.append(request)
        if request.code == _CREATED:
            owner = _owner(got)
            if request.resource in _CHILDREN:
                self.creations[owner].children.append(request.at)
            elif request.resource == "jobs" and not self.creations[owner].job_made:
                self.creations[owner].job_made = request.at
        if request.phase == "Ready" and not self.creations[request.name].ready:
            self.creations[request.name].ready = request.at

    def _theirs(self, event: Event, target: Event, who: str) -> None:
        code = event["responseStatus"]["code"]
        if target["resource"] == _CUSTOM and event["verb"] == "create" and code == _CREATED:
            self.creations[target["name"]].asked = _time(event["stageTimestamp"])
        elif target["resource"] == "pods" and target.get("subresource") == "status" and "-resolve-" in target.get("name", ""):
            creation = self.creations[target["name"].partition("-resolve-")[0]]
            if who == "kwok" and not creation.job_ended:
                creation.job_ended = _time(event["stageTimestamp"])
        elif event["verb"] == "delete" and target["resource"] in _CHILDREN and code < _FAILED and "garbage-collector" in who:
            self.deletions.append(_time(event["stageTimestamp"]))

    def _events(self) -> Iterator[Event]:
        with self.log.open("rb") as log:
            log.seek(self._offset)
            for line in log:
                if not line.endswith(b"\n"):
                    return
                self._offset += len(line)
                if any(word in line for word in self._words):
                    yield json.loads(line)

    @property
    def _words(self) -> tuple[bytes, ...]:
        """Return what a line must have one of to matter: most lines are of controllers and need not be decoded."""
        return (self.account.encode(), b'"resource":"llmdeployments"', b"-resolve-", b"generic-garbage-collector")


def percentile(values: Iterable[float], share: float) -> float:
    """Return the smallest value that a share of all values does not exceed."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else float("inf")


def _owner(child: Event) -> str:
    return str((child.get("metadata") or {}).get("labels", {}).get("llmops.dev/deployment", ""))


def _time(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
