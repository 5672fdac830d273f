"""Who led when and who wrote what, read from the API server's audit log: every request names the identity it was sent under."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from llm_operator.core.lease import LEASE_S

Event = Mapping[str, Any]

_AGENT = re.compile(r"llm-operator/\S+ \((\S+)\)")
_WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
_FIRST_FAILURE = 300
_LATE_S = 0.1
"""The server notes when a request came in after it has come in."""


@dataclass(frozen=True)
class Write:
    """One write of an operator: when the API server took it in and when it was through with it."""

    identity: str
    what: str
    began: float
    ended: float
    code: int

    @property
    def landed(self) -> bool:
        """Return whether it changed something."""
        return self.code < _FIRST_FAILURE


@dataclass(frozen=True)
class Term:
    """The time between somebody's first and last claim of a Lease."""

    identity: str
    began: float
    renewed: float


def identity_of(agent: str) -> str:
    """Return the identity in a User-Agent, empty when it is no operator's."""
    found = _AGENT.fullmatch(agent)
    return found[1] if found else ""


def writes(events: Iterable[Event], namespaces: frozenset[str]) -> tuple[list[Write], list[Write]]:
    """Return what operators wrote in namespaces: claims of the Lease, and everything else, in order."""
    claims: list[Write] = []
    others: list[Write] = []
    for event in events:
        target = event.get("objectRef", {})
        identity = identity_of(event.get("userAgent", ""))
        if not identity or target.get("namespace") not in namespaces or event["verb"] not in _WRITES or "responseStatus" not in event:
            continue
        what = "/".join(filter(None, (target["resource"], target.get("name", ""), target.get("subresource", ""))))
        times = _time(event["requestReceivedTimestamp"]), _time(event["stageTimestamp"])
        write = Write(identity, what, *times, event["responseStatus"].get("code", 0))
        (claims if target["resource"] == "leases" else others).append(write)
    return sorted(claims, key=_order), sorted(others, key=_order)


def terms(claims: Sequence[Write]) -> list[Term]:
    """Return who led one after the other."""
    found: list[Term] = []
    for claim in filter(lambda each: each.landed, claims):
        if found and found[-1].identity == claim.identity:
            found[-1] = Term(claim.identity, found[-1].began, claim.ended)
        else:
            found.append(Term(claim.identity, claim.began, claim.ended))
    return found


def overlaps(found: Sequence[Term], given_back: frozenset[str]) -> list[str]:
    """Return in words where a Lease was claimed that somebody else still held; ``given_back`` is who gave it up."""
    wrong = [
        f"{after.identity} claimed the Lease {after.began - before.renewed:.1f} s after {before.identity} had renewed it"
        for before, after in pairwise(found)
        if before.identity not in given_back and after.began - before.renewed < LEASE_S - _LATE_S
    ]
    twice = {term.identity for term in found if sum(each.identity == term.identity for each in found) > 1}
    return wrong + [f"{identity} led again after somebody else had" for identity in sorted(twice)]


def strays(found: Sequence[Term], written: Iterable[Write]) -> list[Write]:
    """Return writes outside of their writer's term: before it began, or not over when the next one's had begun."""
    begins = {term.identity: term.began for term in found}
    ends = {before.identity: after.began for before, after in pairwise(found)}
    return [
        write
        for write in written
        if write.identity not in begins or write.began < begins[write.identity] or write.ended > ends.get(write.identity, float("inf"))
    ]


def _order(write: Write) -> float:
    return write.ended


def _time(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
