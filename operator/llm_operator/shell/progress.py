"""Whether the operator gets on with its work: what its liveness and readiness probes ask."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from llm_operator.shell.queue import Key

LOOP_STALL_S = 30.0
_TICKS_MISSED = 3
_LEASE_UNREAD_S = 30.0


@dataclass
class Progress:
    """When each part of the process last moved, on a monotonic clock, and what the watch missed.

    An API server that is away makes the operator unready but never unhealthy: a restart would not bring it back.

    A watch can die in silence while the process looks alive. The resync sees that: an object that kept one resourceVersion
    from one resync to the next, and of which the watch last delivered another, was changed without the watch saying so.
    """

    resync_s: float
    _beat: float | None = None
    _tried: float | None = None
    _in_sync: bool = False
    _heard: float | None = None
    _delivered: dict[Key, str] = field(default_factory=dict)
    _delivered_meanwhile: set[Key] = field(default_factory=set)
    _listed: dict[Key, str] = field(default_factory=dict)
    _missed: frozenset[Key] = frozenset()
    _stood_by: float | None = None

    def stood_by(self, now: float) -> None:
        """Note that the Lease was read while another process may lead."""
        self._stood_by = now

    def leads(self) -> None:
        """Note that this process leads from now on."""
        self._stood_by = None

    def beat(self, now: float) -> None:
        """Note that the loop runs."""
        self._beat = now

    def heard(self, now: float) -> None:
        """Note that the watch delivered anything at all."""
        self._heard = now

    def delivered(self, key: Key, version: str, now: float) -> None:
        """Note which version of a custom resource the watch delivered last."""
        self.heard(now)
        self._delivered[key] = version
        self._delivered_meanwhile.add(key)

    def resync_began(self) -> None:
        """Note that a resync begins: what the watch delivers while it reads may be newer than what it reads."""
        self._delivered_meanwhile.clear()

    def resynced(self, versions: Mapping[Key, str], now: float) -> None:
        """Note what a resync found, and what the watch must have missed before it."""
        kept = (key for key, version in versions.items() if self._listed.get(key) == version)
        settled = [key for key in kept if key not in self._delivered_meanwhile]
        self._missed = frozenset(key for key in settled if self._delivered.get(key) != versions[key])
        gone = self._listed.keys() - versions.keys()
        self._delivered = {key: version for key, version in self._delivered.items() if key not in gone}
        self._listed = dict(versions)
        self._tried = now
        self._in_sync = True

    def resync_failed(self, now: float) -> None:
        """Note that a resync was tried in vain."""
        self._tried = now
        self._in_sync = False

    def watch_age(self, now: float) -> float:
        """Return how long ago the watch last delivered anything; 0 before it did."""
        return now - self._heard if self._heard is not None else 0.0

    def stuck(self, now: float) -> list[str]:
        """Return what only a restart can help, in words; empty when all is well."""
        found = []
        if self._beat is not None and now - self._beat > LOOP_STALL_S:
            found.append(f"the loop has not run for {now - self._beat:.0f} s")
        if self._tried is not None and now - self._tried > _TICKS_MISSED * self.resync_s:
            found.append(f"no resync was tried for {now - self._tried:.0f} s")
        if self._missed:
            found.append(f"the watch missed changes of {', '.join(sorted(map(str, self._missed))[:5])}")
        return found

    def unready(self, now: float) -> list[str]:
        """Return why the operator cannot do its work now, in words; empty when it can. The work of a standby is to follow the Lease."""
        if self._stood_by is not None:
            unread_s = now - self._stood_by
            return self.stuck(now) + ([f"the Lease has not been read for {unread_s:.0f} s"] if unread_s > _LEASE_UNREAD_S else [])
        return self.stuck(now) + ([] if self._in_sync else ["the API server has not been read in full since the start or the last failure"])
