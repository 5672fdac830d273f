"""What others scale by, one configuration each: written anew from the rules they publish, with their published or default settings.

Those that get figures through Prometheus see them 15 s late. None may scale down in its first minute. Averages over long windows begin
with what is there.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil

from bench.autoscale.fleet import Policy, Seen, View

LAG_S = 15.0
_FIRST_S = 60.0


@dataclass
class Delayed:
    """The highest number of a while, as down-stabilisation and scale-down delays have it."""

    seconds: float
    wanted: deque[tuple[float, int]] = field(default_factory=deque)

    def highest(self, now: float, wanted: int) -> int:
        """Return the highest number that was wanted lately."""
        self.wanted.append((now, wanted))
        while self.wanted[0][0] < now - self.seconds:
            self.wanted.popleft()
        return max(each for _, each in self.wanted)


@dataclass
class Averaged:
    """A moving average."""

    seconds: float
    values: deque[tuple[float, float]] = field(default_factory=deque)

    def mean(self, now: float, value: float) -> float:
        """Return the average of the window, with a value that was just seen."""
        self.values.append((now, value))
        while self.values[0][0] < now - self.seconds:
            self.values.popleft()
        return sum(each for _, each in self.values) / len(self.values)


@dataclass
class Late:
    """What is seen of pods through Prometheus: the figures of a scrape ago."""

    seconds: float = LAG_S
    views: deque[View] = field(default_factory=deque)

    def view(self, now: View) -> View:
        """Return the newest view that is old enough."""
        self.views.append(now)
        while len(self.views) > 1 and self.views[1].now <= now.now - self.seconds:
            self.views.popleft()
        return self.views[0]


@dataclass
class HorizontalPodAutoscaler:
    """HPA v2 with an average value: 15 s, 10 % tolerance, up by 4 pods or twofold, down to the highest of 5 min."""

    figure: Callable[[Seen], float]
    target: float
    interval_s: float = 15.0
    late: Late = field(default_factory=Late)
    stable: Delayed = field(default_factory=lambda: Delayed(300))

    def pods(self, view: View) -> int:
        """Return how many pods there are to be."""
        total = sum(map(self.figure, self.late.view(view).ready))
        ratio = total / (self.target * view.asked)
        wanted = view.asked if abs(ratio - 1) <= 0.1 else ceil(total / self.target)
        wanted = min(wanted, max(2 * view.asked, view.asked + 4))
        return _first(view, max(self.stable.highest(view.now, max(wanted, 1)), 1))


@dataclass
class Knative:
    """KPA: 70 of 100 requests per pod over 60 s, over 6 s in a panic, which begins at twice what is ready; down after 5 min."""

    target: float = 70.0
    interval_s: float = 2.0
    stable: Averaged = field(default_factory=lambda: Averaged(60))
    panic: Averaged = field(default_factory=lambda: Averaged(6))
    delay: Delayed = field(default_factory=lambda: Delayed(300))
    panicked: float = -1e9
    most: int = 0

    def pods(self, view: View) -> int:
        """Return how many pods there are to be."""
        total = float(sum(_inflight(each) for each in view.ready))
        long, short = ceil(self.stable.mean(view.now, total) / self.target), ceil(self.panic.mean(view.now, total) / self.target)
        ready = max(len(view.ready), 1)
        if short >= 2 * ready:
            self.panicked = view.now
        if view.now - self.panicked < 60:
            self.most = max(self.most, long, short, ready)
            wanted = self.most
        else:
            self.most, wanted = 0, max(long, ceil(ready / 2))
        return _first(view, max(self.delay.highest(view.now, wanted), 1))


@dataclass
class KubeAI:
    """The average of active requests over 10 min, 100 per pod, every 10 s; down after three lower answers in a row."""

    target: float = 100.0
    interval_s: float = 10.0
    average: Averaged = field(default_factory=lambda: Averaged(600))
    low: int = 0

    def pods(self, view: View) -> int:
        """Return how many pods there are to be."""
        if not self.average.values:
            self.average.values.extend((view.now - 10.0 * each, self.target * view.asked * 0.95) for each in range(59, 0, -1))
        wanted = max(ceil(self.average.mean(view.now, sum(map(_inflight, view.ready))) / self.target), 1)
        self.low = self.low + 1 if wanted < view.asked else 0
        return _first(view, wanted if wanted > view.asked or self.low > 3 else view.asked)


@dataclass
class AIBrix:
    """APA: 50 % of the cache, tolerance 10 %, every 10 s, at most twice as many, of the pods that are ready; down after 5 min."""

    target: float = 0.5
    interval_s: float = 10.0
    average: Averaged = field(default_factory=lambda: Averaged(60))
    delay: Delayed = field(default_factory=lambda: Delayed(300))

    def pods(self, view: View) -> int:
        """Return how many pods there are to be."""
        ready = max(len(view.ready), 1)
        ratio = self.average.mean(view.now, sum(each.kv_usage for each in view.ready) / ready) / self.target
        wanted = view.asked if abs(ratio - 1) <= 0.1 else max(min(ceil(ready * ratio), 2 * ready), 1)
        return _first(view, self.delay.highest(view.now, wanted))


@dataclass
class WorkloadVariantAutoscaler:
    """WVA V1: full at 80 % of the cache or 5 waiting; one more when the others have little to spare, one less when there is for N-1."""

    interval_s: float = 30.0
    late: Late = field(default_factory=Late)
    highest: dict[int, tuple[Delayed, Delayed]] = field(default_factory=dict)
    delay: Delayed = field(default_factory=lambda: Delayed(300))

    def pods(self, view: View) -> int:
        """Return how many pods there are to be."""
        return _first(view, self.delay.highest(view.now, max(self._wanted(view), 1)))

    def _wanted(self, view: View) -> int:
        seen = []
        for each in self.late.view(view).ready:
            cache, queue = self.highest.setdefault(each.pod, (Delayed(60), Delayed(60)))
            seen.append((cache.highest(view.now, round(each.kv_usage * 1000)) / 1000, queue.highest(view.now, each.waiting)))
        if view.pending_since is not None or not seen:
            return view.asked
        rest = [(cache, queue) for cache, queue in seen if cache < 0.8 and queue < 5]
        if not rest or _spare(rest, 1.0)[0] < 0.1 or _spare(rest, 1.0)[1] < 3:
            return view.asked + 1
        if len(rest) > 1:
            spare_cache, spare_queue = _spare(rest, len(rest) / (len(rest) - 1))
            if spare_cache >= 0.1 and spare_queue >= 3:
                return view.asked - 1
        return view.asked


def _spare(pods: list[tuple[float, int]], times: float) -> tuple[float, float]:
    return 0.8 - times * sum(cache for cache, _ in pods) / len(pods), 5 - times * sum(queue for _, queue in pods) / len(pods)


def _inflight(seen: Seen) -> int:
    return seen.running + seen.waiting


def _first(view: View, wanted: int) -> int:
    return max(wanted, view.asked) if view.now < _FIRST_S else wanted


PEERS: dict[str, Callable[[], Policy]] = {
    "hpa_waiting_10": lambda: HorizontalPodAutoscaler(lambda seen: seen.waiting, 10),
    "knative_70_delay_300s": Knative,
    "kubeai_100_10min": KubeAI,
    "aibrix_apa_kv_50": AIBrix,
    "wva_v1": WorkloadVariantAutoscaler,
}
