"""``capacity.mode: Borrow``: whether stable can do without one of its pods now, from the requests there are and what a pod may have."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from llm_operator.core.clock import seconds_since, stamp
from llm_operator.core.load import Load
from llm_operator.core.reasons import Reason

LOOK_S = 5.0
"""How often the load is asked for while a change may borrow a pod."""

SETTLES_S = 60.0
"""How long the load has to be low before a pod is lent."""

_UNKNOWN_S = 60.0
"""How long a pod stays lent while the load is not known: one sidecar that misses one question is no reason to load an engine twice."""

_LOW = 0.75
"""A pod is lent below so much of the load at which it is given back: else a load at that bound would give and take for ever."""

_NEWS = 0.1
"""By which part of the bound the load has to move to be told anew."""


@dataclass(frozen=True)
class Loan:
    """Whether a pod of stable is lent to a change of the engine, and why, since when. ``requests`` is the load that was told last."""

    lent: bool
    reason: str
    message: str
    since: str
    requests: int = 0

    @classmethod
    def read(cls, entry: Mapping[str, Any] | None) -> "Loan | None":
        """Read ``status.loan``."""
        return cls(**entry) if entry else None

    def entry(self) -> dict[str, Any]:
        """Return ``status.loan``."""
        return {**vars(self), "reason": str(self.reason)}


@dataclass(frozen=True)
class Fleet:
    """Who would carry the load: of ``replicas`` pods so many are ``serving``, and of what each may have ``headroom`` has to stay free."""

    replicas: int
    serving: int
    headroom: float

    @property
    def carriers(self) -> int:
        """Return how many pods are left when one is lent."""
        return min(self.replicas - 1, self.serving)

    def most(self, load: Load) -> int:
        """Return how many requests those may have."""
        return int(self.carriers * load.slots * (1 - self.headroom))


def lend(load: Load, fleet: Fleet, before: Loan | None, now: datetime, *, back: bool = False) -> Loan:
    """Return whether a pod is lent. What is not known takes none from stable; a load that rises has it given back at once.

    To what goes ``back`` it is lent whatever the load is, if it is not the only one.
    """
    found = _decide(load, fleet, before, now)
    if back and found.reason != Reason.ONLY_REPLICA:
        found = Loan(lent=True, reason=Reason.LENT, message="a rollback waits for no load", since=stamp(now))
    if before is None or (before.lent, before.reason) != (found.lent, found.reason):
        return found
    told = abs(found.requests - before.requests) <= max(1.0, _NEWS * fleet.most(load)) and found.reason != Reason.LOAD_UNKNOWN
    return replace(before if told else found, since=before.since)


def _decide(load: Load, fleet: Fleet, before: Loan | None, now: datetime) -> Loan:
    lent = before is not None and before.lent
    since = stamp(now)
    if fleet.replicas <= 1:
        words = "the only replica cannot be lent: nobody would serve; capacity.mode Surge or Replace can make this change"
        return Loan(lent=False, reason=Reason.ONLY_REPLICA, message=words, since=since)
    if load.unknown:
        lately = before is not None and (before.reason != Reason.LOAD_UNKNOWN or seconds_since(before.since, now) < _UNKNOWN_S)
        return Loan(lent=lent and lately, reason=Reason.LOAD_UNKNOWN, message=f"the load is not known: {load.unknown}", since=since)
    most = fleet.most(load)
    low = int(most * _LOW)
    who = f"{fleet.carriers} of {fleet.replicas} pods"
    if load.requests <= most and lent:
        return Loan(lent=True, reason=Reason.LENT, message=f"{who} can carry the load, up to {most} requests at once", since=since)
    if load.requests > low:
        words = f"{load.requests} requests are there, and a pod of stable is lent once {who} have to carry {low} at most"
        return Loan(lent=False, reason=Reason.LOAD_HIGH, message=words, since=since, requests=load.requests)
    settled = before is not None and before.reason == Reason.LOAD_SETTLING and seconds_since(before.since, now) >= SETTLES_S
    if settled:
        return Loan(lent=True, reason=Reason.LENT, message=f"{who} can carry the load, up to {most} requests at once", since=since)
    words = f"a pod of stable is lent when {who} have had to carry {low} requests at most for {SETTLES_S:.0f}s"
    return Loan(lent=False, reason=Reason.LOAD_SETTLING, message=words, since=since)
