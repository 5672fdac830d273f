"""The load of an engine's pods together. A pod that is silent counts as the others do; where too many are, nothing is known."""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import ceil, inf, sqrt
from operator import attrgetter

from llm_operator.core.scaling.capacity import Capacity
from llm_operator.core.scaling.plausible import at_most, can_read, has_time
from llm_operator.core.scaling.reasons import ScaleReason
from llm_operator.core.scaling.sample import Counters, Sample

STALE_AFTER = timedelta(seconds=15)
"""Three readings that did not come."""
AHEAD = timedelta(seconds=5)
"""A reading is late, or ahead of time, by no more than this; otherwise the clock was set back since, and it may be as old as can be."""
HEARD_MIN = 0.6
"""Share of the ready pods that must have been heard."""
NOW_S, SHORT_S, LONG_S = 5.0, 15.0, 90.0
COVERED_MIN_S = 10.0
READ_MAX = 1.25
"""How many times what a pod is thought to read of prompts counts of each at most: what seems to be more is a counter that has jumped."""
JUMP_STALLS = 30.0
"""How many times as long as a step the mean gap between tokens may be before a counter has jumped.

That is far more than where nothing is learned of it: stages of a pipeline, and a cache that is too small, make gaps of many steps, and a
pod with too much to do is not to be left out for it.
"""
CHANCE = 2.0
"""Standard deviations that the shortest window may be above the truth by chance, requests being independent of each other."""
ANY = Capacity(requests=inf, prefill_tokens_per_s=inf, prompt_tokens=0, request_s=0, calibrated=False)
"""What a pod carries where nothing is known of that."""
_KEPT = timedelta(seconds=LONG_S)
_when = attrgetter("at")
_running = attrgetter("running")
_waiting = attrgetter("waiting")
_prefilled = attrgetter("counters.prefill_tokens")
_refused = attrgetter("refused")


@dataclass(frozen=True)
class Track:
    """The readings of one process over the longer window, the newest last.

    ``quiet_since`` is the first of the readings since which no request was there and none has ended.
    """

    samples: tuple[Sample, ...]
    restarted: bool = False
    """Whether the same pod was another process before: what that did is not in here."""
    quiet_since: datetime | None = None

    @property
    def last(self) -> Sample:
        """Return the newest reading."""
        return self.samples[-1]

    def hear(self, sample: Sample) -> "Track":
        """Return it with another reading; a late one changes nothing.

        Another process, time, the end of a standstill, and more than an engine can have done since, begin anew.
        """
        if self.last.at - AHEAD <= sample.at <= self.last.at:
            return self
        if sample.at < self.last.at:
            return Track((sample,), restarted=True)
        grown = sample.counters.since(self.last.counters)
        if sample.process != self.last.process or grown is None or (any(grown) and self.stands_still) or self._jumps(sample, grown):
            return Track((sample,), restarted=True)
        oldest = bisect_left(self.samples, sample.at - _KEPT, key=_when)
        quiet = self.last.open == sample.open == 0 and self.last.answered == sample.answered
        since = (self.quiet_since or self.last.at) if quiet else None
        return replace(self, samples=(*self.samples[max(oldest - 1, 0) :], sample), quiet_since=since)

    def _jumps(self, sample: Sample, grown: Counters) -> bool:
        """Return whether a reading tells of more than can have been done since the last one; what was begun before was in the cache."""
        seconds = sample.ranks * (sample.at - self.last.at).total_seconds()
        return not (can_read(grown, sample.most, sample.kv_tokens or inf) and has_time(grown, seconds, JUMP_STALLS))

    @property
    def stands_still(self) -> bool:
        """Return whether it tells of requests that are worked on and has counted nothing for as long as makes another one silent."""
        counted = self.samples[: bisect_right(self.samples, self.last.at - STALE_AFTER, key=_when)]
        return bool(counted and self.last.running) and counted[-1].counters == self.last.counters

    @property
    def says_too_little(self) -> bool:
        """Return whether it has restarted a moment ago: of one that has only just come everything is known, of this one nearly nothing."""
        return self.restarted and (self.last.at - self.samples[0].at).total_seconds() < COVERED_MIN_S

    def prefilled(self, window_s: float) -> float:
        """Return the tokens of prompts that were computed in a window that ends with the last reading."""
        return self.last.counters.prefill_tokens - self._at(window_s, _prefilled)

    def queued(self, window_s: float, most: float) -> float:
        """Return by how much more requests wait than at the beginning of a window, where no more than ``most`` count."""
        return min(self.last.waiting, most) - min(self._at(window_s, _waiting), most)

    def refused(self, window_s: float) -> float:
        """Return how many requests were refused in a window because the pod was full."""
        return self.last.refused - self._at(window_s, _refused)

    def _at(self, window_s: float, value: Callable[[Sample], float]) -> float:
        """Return a value at the beginning of a window, between two readings on the line between them."""
        begin = self.last.at - timedelta(seconds=window_s)
        later = bisect_left(self.samples, begin, key=_when)
        if later == 0:
            return value(self.samples[0])
        before, after = self.samples[later - 1], self.samples[later]
        return value(before) + (begin - before.at) / (after.at - before.at) * (value(after) - value(before))


@dataclass(frozen=True)
class Load:
    """What the ready pods of one engine have to do now, and how many of them were heard."""

    ready: int
    heard: int
    running: float
    waiting: float
    queued_per_s: float
    """By how much more requests come than begin; below zero where what waits is worked off."""
    prefill_tokens_per_s: float
    """In the longest window; those that follow are of shorter ones. Which of them counts is decided for all engines together."""
    prefill_tokens_per_s_short: float
    prefill_tokens_per_s_now: float
    """In the last seconds, less what may be chance."""
    refused_per_s: float = 0.0
    """How many requests are refused because pods are full, and still are by the pods there are now."""


def held(requests: int) -> Load:
    """Return what waits where no pod is that could work on it."""
    return Load(
        0, 0, running=0, waiting=requests, queued_per_s=0, prefill_tokens_per_s=0, prefill_tokens_per_s_short=0, prefill_tokens_per_s_now=0
    )


@dataclass(frozen=True)
class Blind:
    """Why nobody knows the load."""

    reason: ScaleReason
    message: str


def observe(tracks: Mapping[str, Track], ready: Collection[str], now: datetime, able: Capacity = ANY, known_s: float = 0.0) -> Load | Blind:
    """Return the load of the pods that take requests, by uid, from those of them that were heard lately.

    Of each no more counts than it is ``able`` to read of prompts, and than goes with what the others have: one that tells of far too much
    would ask for pods for all of them. Where the load of other engines is ``known_s`` already, this one's counts in windows as long: what
    it has taken over from them since it came is in theirs for the time before.
    """
    if not ready:
        return Blind(ScaleReason.NO_READY_POD, "no pod takes requests yet")
    fresh = _fresh(tracks, ready, now)
    processes = Counter(each.last.process for each in fresh)
    heard = [each for each in fresh if each.last.process is None or processes[each.last.process] == 1]
    heard = [each for each in heard if not (each.stands_still or each.says_too_little)]
    if len(heard) < HEARD_MIN * len(ready):
        return Blind(
            ScaleReason.METRICS_STALE, f"{len(heard)} of {len(ready)} ready pods have told their load within {STALE_AFTER.seconds} s"
        )
    covered_s = _covered_s(heard, now)
    if covered_s < COVERED_MIN_S:
        return Blind(ScaleReason.OBSERVING, f"load is known for {covered_s:.0f} s only")
    scale = len(ready) / len(heard)
    known_s = max(known_s, covered_s)
    short_s, long_s = min(SHORT_S, known_s), min(LONG_S, known_s)
    read_max_per_s = READ_MAX * able.prefill_tokens_per_s
    running = _at_most(heard, _running, able.requests)
    waiting = _at_most(heard, _waiting, SHORT_S / able.pod_seconds if able.pod_seconds else inf)
    return Load(
        ready=len(ready),
        heard=len(heard),
        running=scale * sum(min(each.last.running, running) for each in heard),
        waiting=scale * sum(min(each.last.waiting, waiting) for each in heard),
        queued_per_s=scale * sum(each.queued(SHORT_S, waiting) for each in heard) / short_s,
        prefill_tokens_per_s=scale * _prefilled_by(heard, LONG_S, read_max_per_s * long_s) / long_s,
        prefill_tokens_per_s_short=scale * _prefilled_by(heard, SHORT_S, read_max_per_s * short_s) / short_s,
        prefill_tokens_per_s_now=scale * _surely_prefilled(heard, read_max_per_s * NOW_S) / NOW_S,
        refused_per_s=scale * _still_refused_per_s(heard, short_s),
    )


def _at_most(heard: Sequence[Track], value: Callable[[Sample], float], own: float) -> float:
    """Return how much of a value counts of each pod: as many as may be silent may be wrong, and where that is none nobody can tell."""
    doubted = len(heard) - ceil(HEARD_MIN * len(heard))
    return at_most([value(each.last) for each in heard], doubted, own) if doubted else inf


def known_s(tracks: Mapping[str, Track], pods: Collection[str], now: datetime) -> float:
    """Return for how long the load of any of these pods is known, by uid."""
    return _covered_s(_fresh(tracks, pods, now), now)


def _covered_s(heard: Collection[Track], now: datetime) -> float:
    return max(((now - each.samples[0].at).total_seconds() for each in heard), default=0.0)


def _still_refused_per_s(heard: Collection[Track], window_s: float) -> float:
    """Return the refusals of every second of the window; none are known while a pod has only just come, and may take what they were of."""
    if any((each.last.at - each.samples[0].at).total_seconds() < COVERED_MIN_S for each in heard):
        return 0.0
    return max(min(sum(each.refused(seconds) for each in heard) / seconds for seconds in (NOW_S, window_s)), 0.0)


def _fresh(tracks: Mapping[str, Track], pods: Collection[str], now: datetime) -> list[Track]:
    """Return what those of the pods have told, by uid, that were heard lately."""
    return [tracks[uid] for uid in pods if uid in tracks and -AHEAD <= now - tracks[uid].last.at <= STALE_AFTER]


def _prefilled_by(heard: Collection[Track], window_s: float, most: float) -> float:
    """Return the tokens of prompts that were computed in a window, of each pod so many at most."""
    return sum(min(each.prefilled(window_s), most) for each in heard)


def _surely_prefilled(heard: Collection[Track], most: float) -> float:
    """Return the tokens of prompts that were computed in the shortest window, less what may be chance: prompts come whole."""
    tokens = _prefilled_by(heard, NOW_S, most)
    prompts = sum(each.last.counters.prompts - each.samples[0].counters.prompts for each in heard)
    length = sum(each.last.counters.prompt_sum - each.samples[0].counters.prompt_sum for each in heard) / prompts if prompts else 0.0
    return tokens - CHANCE * sqrt(tokens * length)


def quiet(tracks: Mapping[str, Track], pods: Collection[str], now: datetime) -> timedelta | None:
    """Return for how long nobody has asked any of these pods, by uid; None while somebody does, or one of them has not been heard."""
    heard = _fresh(tracks, pods, now)
    known = [each.last.at - each.quiet_since for each in heard if each.quiet_since is not None]
    processes = {each.last.process for each in heard if each.last.process is not None}
    if not pods or len(known) < len(pods) or len(processes) not in {0, len(pods)}:
        return None
    return min(known)
