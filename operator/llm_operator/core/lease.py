"""Who leads: what a Lease says, how long it counts, and what to do about it.

Nobody's wall clock is trusted. A Lease is known to be alive because it was seen to change, and counts for its duration from then on, on
the clock of whoever looks. A leader counts from before it asked, and stops writing ``RENEW_S`` later: long before anybody can follow it,
whatever the clocks say, as long as they run about equally fast.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from llm_operator.core.clock import micro

LEASE_S = 15.0
"""How long a Lease counts that is not renewed."""
RENEW_S = 10.0
"""How long after its last renewal a leader may write."""
RETRY_S = 2.0
"""Time between two looks at the Lease, and between two renewals."""
_LONGEST_S = 60.0
"""What another holder may ask for: a duration that never ends would be held for ever."""


@dataclass(frozen=True)
class Lease:
    """What a Lease says. ``version`` is the object's resourceVersion, empty when there is no object."""

    holder: str = ""
    duration_s: float = LEASE_S
    acquired: str = ""
    transitions: int = 0
    version: str = ""


@dataclass(frozen=True)
class Seen:
    """A Lease, and since when it has not been seen to change."""

    lease: Lease
    since: float

    @property
    def ends(self) -> float:
        """Return until when it counts."""
        return self.since + self.lease.duration_s


@dataclass(frozen=True)
class Decision:
    """What to do, with a reason: write the Lease, or wait. ``wait_s`` is the time to the next look if this one has led to nothing."""

    do: Literal["Wait", "Acquire", "Renew"]
    reason: str
    message: str
    wait_s: float = RETRY_S


def read(manifest: Mapping[str, Any]) -> Lease:
    """Return what a Lease says; fields that cannot be understood count as absent, a holder never does."""
    spec, metadata = (_map(manifest.get(name)) for name in ("spec", "metadata"))
    duration = spec.get("leaseDurationSeconds")
    transitions = spec.get("leaseTransitions")
    return Lease(
        holder=str(spec.get("holderIdentity") or ""),
        duration_s=float(duration) if isinstance(duration, int) and 0 < duration <= _LONGEST_S else LEASE_S,
        acquired=str(spec.get("acquireTime") or ""),
        transitions=transitions if isinstance(transitions, int) else 0,
        version=str(metadata.get("resourceVersion") or ""),
    )


def observe(before: Seen | None, lease: Lease | None, now: float) -> Seen:
    """Return what is known after a look; None is a Lease that is not there.

    One that somebody held when it went away counts on: its holder does not know yet.
    """
    if lease is None:
        return replace(before, lease=replace(before.lease, version="")) if before else Seen(Lease(), now)
    if before is not None and before.lease == lease:
        return before
    return Seen(lease, now)


def decide(seen: Seen, now: float, me: str) -> Decision:
    """Return what to do about a Lease that was just looked at."""
    holder = seen.lease.holder
    if holder == me:
        return Decision("Renew", "Held", "the Lease is held by this process")
    if not holder:
        return Decision("Acquire", "Free", "nobody holds the Lease")
    if now >= seen.ends:
        return Decision("Acquire", "Expired", f"{holder} has not renewed the Lease for {now - seen.since:.0f} s")
    return Decision("Wait", "HeldByAnother", f"{holder} holds the Lease", wait_s=min(RETRY_S, seen.ends - now))


def claim(lease: Lease, me: str, now: datetime) -> dict[str, Any]:
    """Return the spec of a Lease that is acquired or renewed; its times are for people to read."""
    changes = lease.holder != me
    return {
        "holderIdentity": me,
        "leaseDurationSeconds": int(LEASE_S),
        "acquireTime": micro(now) if changes or not lease.acquired else lease.acquired,
        "renewTime": micro(now),
        "leaseTransitions": lease.transitions + changes,
    }


def freed(lease: Lease, now: datetime) -> dict[str, Any]:
    """Return the spec of a Lease that nobody holds."""
    return {
        "holderIdentity": "",
        "leaseDurationSeconds": 1,
        "acquireTime": lease.acquired or micro(now),
        "renewTime": micro(now),
        "leaseTransitions": lease.transitions,
    }


def deadline(asked_at: float) -> float:
    """Return until when a leader may write whose claim went through; it counts from before it was sent."""
    return asked_at + RENEW_S


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
