"""What a decision rests on besides readings: enough to say, as soon as one comes, whether it asks for more pods than the last ones did."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from llm_operator.core.scaling.capacity import Capacity
from llm_operator.core.scaling.load import HEARD_MIN, Blind, Track, known_s, observe
from llm_operator.core.scaling.need import Need, Part, need
from llm_operator.core.scaling.reasons import ScaleReason


@dataclass(frozen=True)
class Outlook:
    """``engines`` are those that serve: which of their pods are counted on to tell their load, by uid, and what each can carry.

    ``pods`` is how many there are or are ``coming``, ``startup_s`` how long one takes to come. What waits for them elsewhere is ``held``.
    """

    engines: tuple[tuple[frozenset[str], Capacity], ...]
    pods: int
    startup_s: float
    coming: bool
    held: tuple[Part, ...] = ()

    def need(self, tracks: Mapping[str, Track], now: datetime) -> Need | Blind:
        """Return how many pods the load needs by what pods have told so far, or why nobody knows.

        An engine with few of the pods that tells nothing, as the one pod of a canary may, is left out: the need is that or more.
        """
        parts: list[Part] = []
        silent: list[Blind] = []
        of_any_s = known_s(tracks, [uid for uids, _ in self.engines for uid in uids], now)
        for uids, able in self.engines:
            load = observe(tracks, uids, now, able, of_any_s)
            if isinstance(load, Blind):
                silent.append(load)
            else:
                parts.append((load, able))
        ready, told = sum(len(uids) for uids, _ in self.engines), sum(load.ready for load, _ in parts)
        if told < max(HEARD_MIN * ready, 1):
            return silent[0] if silent else Blind(ScaleReason.NO_READY_POD, "no pod takes requests yet")
        return replace(need([*parts, *self.held], self.pods, self.startup_s, coming=self.coming), silent=silent[0] if silent else None)


@dataclass(frozen=True)
class Alarm:
    """Rings when a reading asks for more pods than are asked for or were needed at the last decision, which is ``known``."""

    outlook: Outlook
    headroom: float
    most: int
    known: int

    def rings(self, tracks: Mapping[str, Track], now: datetime) -> bool:
        """Return whether it is time to decide anew; fewer pods and missing figures can wait for the next turn."""
        found = self.outlook.need(tracks, now)
        return isinstance(found, Need) and min(found.with_headroom(self.headroom), self.most) > self.known
