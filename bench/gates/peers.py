"""What others promote by, on the same requests: a test for one look, looked at every minute, and checks of thresholds.

Written anew from what they document: Kayenta's judge is a Mann-Whitney test at 98 %; Flagger and Argo Rollouts count failed checks.
Here five of them abort.
"""

from math import erfc, sqrt

import numpy as np

from bench.gates.traffic import Floats, Requests

MANN_WHITNEY = {"mann_whitney_95": 0.05, "mann_whitney_98": 0.02}
FAILED_CHECKS = 5
SUCCESS_MIN = 0.99
SLOWER_MAX = 1.1
VALUES_MIN = 10


def aborts(found: Requests, before: int) -> dict[str, bool]:
    """Return which of them would have aborted the rollout at some minute."""
    smallest = min(_mann_whitney(found, end) for end in range(before + 1, found.share.size + 1))
    return {
        **{name: smallest < level for name, level in MANN_WHITNEY.items()},
        "success_99": _failed_checks(found, before, errors=True) >= FAILED_CHECKS,
        "latency_110": _failed_checks(found, before, errors=False) >= FAILED_CHECKS,
    }


def _mann_whitney(found: Requests, end: int) -> float:
    """Return the p-value for the canary being slower, of all requests since it had any."""
    counted = (found.minute < end) & ~found.failed & (found.share[found.minute] > 0)
    canary, stable = found.ttft[counted & found.canary], found.ttft[counted & ~found.canary]
    if min(canary.size, stable.size) < VALUES_MIN:
        return 1.0
    return p_value(canary, stable)


def p_value(canary: Floats, stable: Floats) -> float:
    """Return the one-sided p-value of a Mann-Whitney test by its normal approximation; values without ties."""
    ranks = np.searchsorted(np.sort(stable), canary).sum()
    mean = canary.size * stable.size / 2
    sigma = sqrt(mean * (canary.size + stable.size + 1) / 6)
    return erfc(float(ranks - mean) / sigma / sqrt(2)) / 2


def _failed_checks(found: Requests, before: int, *, errors: bool) -> int:
    failed = 0
    for minute in range(before, found.share.size):
        now = found.minute == minute
        canary, stable = now & found.canary, now & ~found.canary
        if not canary.any() or not stable.any():
            continue
        if errors:
            failed += bool(1 - found.failed[canary].mean() < SUCCESS_MIN)
        else:
            failed += bool(np.exp(found.ttft[canary]).mean() > SLOWER_MAX * np.exp(found.ttft[stable]).mean())
    return failed
