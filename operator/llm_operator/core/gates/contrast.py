"""What the canary has more than stable had in the same minutes, bucket by bucket: enough for a mean and for its honest variance."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log, sqrt
from operator import mul

from llm_operator.core.gates.sums import BUCKETS

NOTHING = (0.0,) * BUCKETS
_BUCKETS_MIN = 2

Buckets = tuple[float, ...]
Cells = list[tuple[int, float, float]]
"""Bucket, count and sum of a measure."""


@dataclass(frozen=True)
class Estimate:
    """A difference of logarithms and its variance, and how much they rest on."""

    difference: float
    variance: float
    canary: float
    stable: float
    effective: float
    """How many buckets of equal weight would carry as much."""
    freedom: float
    """Degrees of freedom of the variance."""


@dataclass(frozen=True)
class Contrast:
    """Sums over minutes.

    In each minute the canary's values are held against stable's mean of that minute, and stable's own spread around it is weighted by
    the canary's requests. So whatever moves both arms, load or a slow disk, cancels, also while the canary's weight rises.
    """

    relative: bool = False
    """Whether values are compared by the ratio of their means (tokens), instead of being logarithms already (times)."""
    base: Buckets = NOTHING
    """What the canary's excess is divided by: its requests, or what they would have had in stable."""
    excess: Buckets = NOTHING
    spread: Buckets = NOTHING
    """Stable's deviations from its own means, weighted."""
    weight: Buckets = NOTHING
    """Stable's requests, weighted like their deviations."""
    canary: float = 0.0
    stable: float = 0.0
    unmatched: float = 0.0
    """Requests of the canary in minutes in which stable had too little to compare with."""

    def add(self, canary: Cells, stable: Cells) -> "Contrast":
        """Return the sums with another minute."""
        canary_n = sum([n for _, n, _ in canary])
        if not canary_n:
            return self
        stable_n = sum([n for _, n, _ in stable])
        carried = effective([n for _, n, _ in stable])
        if carried < _BUCKETS_MIN:
            return replace(self, unmatched=self.unmatched + canary_n)
        mean = sum([total for _, _, total in stable]) / stable_n
        base, excess = list(self.base), list(self.excess)
        unit = mean if self.relative else 1.0
        for bucket, n, total in canary:
            base[bucket] += n * unit
            excess[bucket] += total - n * mean
        share = canary_n / stable_n
        # Deviations from a mean they are part of are too small; with few buckets in a minute, much too small.
        factor = share * sqrt(carried / (carried - 1))
        spread, weight = list(self.spread), list(self.weight)
        for bucket, n, total in stable:
            spread[bucket] += factor * (total - n * mean)
            weight[bucket] += share * n
        return Contrast(
            self.relative,
            tuple(base),
            tuple(excess),
            tuple(spread),
            tuple(weight),
            self.canary + canary_n,
            self.stable + stable_n,
            self.unmatched,
        )

    def estimate(self) -> Estimate | None:
        """Return the difference of logarithms with its variance over buckets; None before there are two of the canary's."""
        whole = sum(self.base)
        occupied = sum(map(bool, self.base))
        if occupied < _BUCKETS_MIN or whole <= 0:
            return None
        mean = sum(self.excess) / whole
        based = sum(map(mul, self.base, self.base))
        squares = sum(map(mul, self.excess, self.excess)) - 2 * mean * sum(map(mul, self.excess, self.base)) + mean * mean * based
        ratio = 1 + mean if self.relative else 1.0
        squares += ratio * ratio * sum(map(mul, self.spread, self.spread))
        if ratio <= 0:
            return None
        carried = min(whole * whole / based, effective(self.weight))
        return Estimate(
            log(ratio) if self.relative else mean,
            max(squares, 0.0) / (whole * ratio) ** 2 * occupied / (occupied - 1),
            self.canary,
            self.stable,
            carried,
            carried - 1,
        )


OF_LOGARITHMS = Contrast()
OF_AMOUNTS = Contrast(relative=True)


def effective(weights: Sequence[float]) -> float:
    """Return how many buckets of equal weight would carry as much: (Σw)²/Σw²."""
    squares = sum(map(mul, weights, weights))
    return sum(weights) ** 2 / squares if squares else 0.0
