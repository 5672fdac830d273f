"""How many pods the load needs: computed once for all engines of a deployment, so that a canary's pods are counted once."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, sqrt

from llm_operator.core.scaling.capacity import Capacity
from llm_operator.core.scaling.load import Blind, Load

PREFILL_SHARE = 0.8
"""How much of what a pod can read of prompts it is given: above it, requests wait for each other."""
DRAIN_S = 30.0
"""Time in which what waits is to be gone."""
REFUSED_MAX = 1.0
"""How many times the pods that are ready those count at most that are refused, however many they are."""
STEP = 1.2
"""What the last seconds brought counts where it needs so many times the pods there are; less than that waits for a longer window."""

Part = tuple[Load, Capacity]
"""The pods of one engine."""


@dataclass(frozen=True)
class Need:
    """Pods, not rounded: for what comes, and for what waits and would still wait when a pod that begins now is ready."""

    requests: float
    prefill: float
    backlog: float
    silent: Blind | None = None
    """Why it may be more: the pods of an engine have not told theirs."""

    @property
    def pods(self) -> float:
        """Return the need in all."""
        return max(self.requests, self.prefill) + self.backlog

    def with_headroom(self, headroom: float) -> int:
        """Return how many pods there should be: the square root is how much more may come by chance."""
        return ceil(self.pods + headroom * sqrt(self.pods))


def need(parts: Sequence[Part], pods: int, startup_s: float, *, coming: bool) -> Need:
    """Return the need of all engines together. ``pods`` is how many there are or are ``coming``, ``startup_s`` how long one takes to come.

    A queue grows while pods are coming, however many they are: it would ask for more and more of them. So what counts is by how much more
    comes than begins. What waits counts once all pods are there, as far as they and those that are needed anyway cannot work it off
    by the time that others could help.
    """
    windows = zip(
        *((load.prefill_tokens_per_s, load.prefill_tokens_per_s_short, load.prefill_tokens_per_s_now) for load, _ in parts), strict=True
    )
    long, short, sudden = (_need(parts, rates, pods, startup_s, coming=coming) for rates in windows)
    return max(long, short, *([sudden] if sudden.pods >= STEP * pods else []), key=lambda each: each.pods)


def _need(parts: Sequence[Part], rates: Sequence[float], pods: int, startup_s: float, *, coming: bool) -> Need:
    requests = sum(load.running / able.requests + _refused(load, able.request_s / able.requests) for load, able in parts)
    prefill = sum(
        rate / able.prefill_tokens_per_s + _refused(load, able.prompt_tokens / able.prefill_tokens_per_s)
        for rate, (load, able) in zip(rates, parts, strict=True)
    )
    # What waits no more at one engine and does at another has moved: only by how much it has grown in all comes on top.
    requests += max(sum(load.queued_per_s * able.request_s / able.requests for load, able in parts), 0.0)
    prefill += max(sum(load.queued_per_s * able.prompt_tokens / able.prefill_tokens_per_s for load, able in parts), 0.0)
    spare = max(pods, requests, prefill / PREFILL_SHARE) - max(requests, prefill)
    waits = 0.0 if coming else sum(load.waiting * able.pod_seconds for load, able in parts)
    return Need(requests, prefill / PREFILL_SHARE, max(waits - spare * startup_s, 0.0) / DRAIN_S)


def _refused(load: Load, pod_seconds: float) -> float:
    """Return the pods that those need who are refused, each so much of a pod's time."""
    # Who is refused tries again, and is counted each time: nobody can tell how many they are. So they ask for no more than as many pods
    # again as take requests now. Those that are coming add nothing to that, so looking often does not either; once they are there,
    # whoever is still refused asks for as many again.
    return min(load.refused_per_s * pod_seconds, REFUSED_MAX * load.ready)
