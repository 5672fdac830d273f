"""Confidence sequences: intervals that hold at all looks together, however often one looks and whenever one stops.

The asymptotic sequence of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (Annals of Statistics, 2024) with Robbins' normal mixture,
and Student's correction for variances that come from few of what varies.
"""

from math import inf, log, sqrt

from llm_operator.core.gates.contrast import Estimate

NON_INFERIORITY_TIME = 300.0
DETECTION_TIME = 200.0
"""Intrinsic times at which a boundary is tightest: a few hundred requests, where verdicts are due."""

_REQUESTS_MAX = 10_000_000


def rho(a: float, tightest: float) -> float:
    """Return the mixture's parameter for which the boundary at level ``a`` is tightest at an intrinsic time."""
    spent = -2 * log(a)
    return sqrt((spent + log(spent) + 1) / tightest)


def radius(n: float, v: float, a: float, parameter: float) -> float:
    """Return how far the truth may be from a mean of ``n`` values of variance ``v``, at every n together but for a probability ``a``."""
    time = n * v * parameter**2 + 1
    return sqrt(time / (n * parameter) ** 2 * log(time / a**2))


def bound(found: Estimate, alpha: float, tightest: float) -> float:
    """Return how far the truth may be on one side of an estimate, at all looks together but for a probability ``alpha``."""
    return _radius(found.canary, found.canary * found.variance, alpha, tightest, found)


def more(found: Estimate, room: float, alpha: float, tightest: float) -> int | None:
    """Return how many more requests bring the bound below ``room``, if estimate and variance stay; None when no number does."""
    v = found.canary * found.variance
    low, high = found.canary, float(_REQUESTS_MAX)
    if room <= 0 or _radius(high, v, alpha, tightest, found) >= room:
        return None
    while high - low > 1:
        middle = (low + high) / 2
        low, high = (low, middle) if _radius(middle, v, alpha, tightest, found) < room else (middle, high)
    return max(1, round(high - found.canary))


def _radius(n: float, v: float, alpha: float, tightest: float, found: Estimate) -> float:
    if found.freedom <= 0:
        return inf
    a = 2 * alpha  # the boundary is two-sided
    plain = radius(n, v, a, rho(a, tightest))
    z = plain / sqrt(v / n) if v > 0 else 0.0
    return plain * (1 + (z * z + 1) / (4 * found.freedom))
