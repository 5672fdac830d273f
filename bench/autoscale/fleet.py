"""A simulated fleet: requests go to the pod with the fewest, pods take a while to come, and leave when their requests have ended."""

from collections import deque
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import inf
from typing import Protocol

from bench.autoscale.engine import Counted, Engine, Request

TTFT_S, TPOT_S = 2.0, 0.2
"""What a request has to keep to: time to the first token, mean time of each after it."""
PODS_MAX = 40
_AFTER_S = 600.0


@dataclass(slots=True, eq=False)
class Pod:
    """A pod from when it was asked for until it was gone."""

    number: int
    asked: float
    engine: Engine | None = None
    leaving: bool = False
    gone: float = inf
    due: float = inf


@dataclass(frozen=True, slots=True)
class Seen:
    """What a scrape of a ready pod says."""

    pod: int
    running: int
    waiting: int
    kv_usage: float
    counted: Counted


@dataclass(frozen=True, slots=True)
class View:
    """What a policy is told: pods that are asked for, since when the oldest of them that is not ready was, and the ready ones' figures."""

    now: float
    asked: int
    ready: tuple[Seen, ...]
    pending_since: float | None


class Policy(Protocol):
    """Says how many pods there are to be, again and again."""

    interval_s: float

    def pods(self, view: View) -> int:
        """Return how many pods there are to be."""
        ...


@dataclass
class Fixed:
    """As many as there are."""

    interval_s: float = 600.0

    def pods(self, view: View) -> int:
        """Return how many pods there are to be."""
        return view.asked


@dataclass(frozen=True)
class Workload:
    """Requests in the order they come, and the part of the time that is judged."""

    name: str
    requests: tuple[tuple[float, int, int], ...]
    begin_s: float
    end_s: float
    start: int


@dataclass(frozen=True)
class Outcome:
    """What came of it: requests that kept to their times, pod-hours held, and how often the number of pods was changed."""

    slo_percent: float
    hours: float
    events: int
    peak: int


@dataclass
class Fleet:
    """One run."""

    workload: Workload
    policy: Policy
    cold_start_s: float
    now: float = 0.0
    pods: list[Pod] = field(default_factory=list)
    ready: list[Pod] = field(default_factory=list)
    changes: list[float] = field(default_factory=list)
    held: deque[Request] = field(default_factory=deque)
    peak: int = 0
    _events: list[tuple[float, int, Pod | None]] = field(default_factory=list)
    _number: int = 0

    def run(self) -> Outcome:
        """Replay the workload."""
        requests = [Request(*each) for each in self.workload.requests]
        for _ in range(self.workload.start):
            self._ready(self._ask())
        self._push(self.policy.interval_s, None)
        end = requests[-1].arrival + _AFTER_S
        for request in requests:
            self._until(request.arrival)
            self.now = request.arrival
            self._route(request)
        self._until(end)
        return self._judge(requests)

    def _until(self, time: float) -> None:
        events = self._events
        while events[0][0] <= time:
            self.now, _, pod = heappop(events)
            if pod is None:
                self._tick()
            elif pod.engine is None:
                if pod.gone == inf:
                    self._ready(pod)
            elif pod.due == self.now:
                self._work(pod, pod.engine)

    def _work(self, pod: Pod, engine: Engine) -> None:
        self._next(pod, engine.work(self.now))
        if pod.leaving and not engine.outstanding:
            pod.gone = self.now

    def _tick(self) -> None:
        wanted = min(max(self.policy.pods(self._view()), 1), PODS_MAX)
        there = [each for each in self.pods if each.gone == inf and not each.leaving]
        if wanted != len(there):
            self.changes.append(self.now)
        for _ in range(wanted - len(there)):
            pod = self._ask()
            self._push(self.now + self.cold_start_s, pod)
        # Those that are not ready go first, then those with the fewest requests.
        there.sort(key=lambda each: each.engine.outstanding if each.engine else -1)
        for pod in there[: max(len(there) - wanted, 0)]:
            self._leave(pod)
        self.peak = max(self.peak, wanted)
        self._push(self.now + self.policy.interval_s, None)

    def _ask(self) -> Pod:
        pod = Pod(len(self.pods), self.now)
        self.pods.append(pod)
        return pod

    def _ready(self, pod: Pod) -> None:
        pod.engine = Engine(self.now)
        self.ready.append(pod)
        while self.held:
            self._route(self.held.popleft())

    def _leave(self, pod: Pod) -> None:
        pod.leaving = True
        if pod.engine is not None:
            self.ready.remove(pod)
        if pod.engine is None or not pod.engine.outstanding:
            pod.gone = self.now

    def _route(self, request: Request) -> None:
        best: Engine | None = None
        chosen: Pod | None = None
        for pod in self.ready:
            engine = pod.engine
            if engine is not None and (best is None or engine.outstanding < best.outstanding):
                chosen, best = pod, engine
        if chosen is None or best is None:
            self.held.append(request)
        else:
            self._next(chosen, best.accept(request, self.now))

    def _next(self, pod: Pod, due: float) -> None:
        if due != pod.due:
            pod.due = due
            if due < inf:
                self._push(due, pod)

    def _push(self, time: float, pod: Pod | None) -> None:
        self._number += 1
        heappush(self._events, (time, self._number, pod))

    def _view(self) -> View:
        there = [each for each in self.pods if each.gone == inf and not each.leaving]
        seen = []
        for pod in self.ready:
            assert pod.engine
            pod.engine.look(self.now)
            seen.append(_seen(pod, pod.engine))
        return View(self.now, len(there), tuple(seen), min((each.asked for each in there if each.engine is None), default=None))

    def _judge(self, requests: Sequence[Request]) -> Outcome:
        begin, end = self.workload.begin_s, self.workload.end_s
        judged = [each for each in requests if begin <= each.arrival < end]
        kept = sum(_keeps(each) for each in judged)
        held = sum(max(min(pod.gone, end) - max(pod.asked, begin), 0.0) for pod in self.pods)
        return Outcome(100 * kept / len(judged), held / 3600, sum(1 for each in self.changes if begin <= each < end), self.peak)


def _seen(pod: Pod, engine: Engine) -> Seen:
    return Seen(pod.number, engine.running, engine.waiting, engine.kv_usage, copy(engine.counted))


def _keeps(request: Request) -> bool:
    per_token_s = (request.done - request.first) / max(request.output - 1, 1)
    return request.first - request.arrival <= TTFT_S and per_token_s <= TPOT_S
