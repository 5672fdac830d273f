"""The gate of errors: does the canary fail more often than stable? Harm by the ratio of rates, Pass by the rate itself or the ratio."""

from dataclasses import dataclass
from math import log
from operator import mul

from llm_operator.core.gates.contrast import Buckets, effective
from llm_operator.core.gates.evidence import Evidence
from llm_operator.core.gates.likelihood import GRID, between, log_mean_exp, place
from llm_operator.core.gates.verdict import EFFECTIVE_MIN, Counts, GateReason, OnHarm, Result, Verdict, needed, too_few

_EQUAL = GRID.index(1.0)
_MORE = between(1.25, 20.0)
_FEWER_MIN = 0.1
_HEADROOM = 0.9
_RATES = (0.0, *(0.02 * 35 ** (step / 6) for step in range(7)))
"""Rates that a good canary may have, in parts of the limit: none, and 0.02 to 0.7 of it."""


@dataclass(frozen=True)
class ErrorsGate:
    """``limit`` is a rate that would be too much, ``ratio`` how many times stable's rate would be; it passes when either is ruled out."""

    name: str = "errors"
    limit: float = 0.01
    ratio: float = 1.5
    on_harm: OnHarm = OnHarm.ABORT


def judge_errors(gate: ErrorsGate, evidence: Evidence, alpha: float, harm_alpha: float) -> Result:
    """Answer whether the canary fails more often."""
    n, errors, stable_n, stable_errors = map(sum, (evidence.canary.n, evidence.canary.total, evidence.stable.n, evidence.stable.total))
    clustering = _clustering(evidence)
    said = f"{errors:g} of {n:g} requests of the canary failed, {stable_errors:g} of {stable_n:g} of stable"

    def result(verdict: Verdict, reason: GateReason, message: str, needs: int | None = None) -> Result:
        return Result(
            gate.name,
            verdict,
            reason,
            f"{said}{message}",
            (errors / n) / (stable_errors / stable_n) if n and stable_errors else None,
            evidence.errors.interval(-log(alpha), clustering) if errors + stable_errors else None,
            Counts(int(n), int(stable_n)),
            needs,
            gate.on_harm,
        )

    if evidence.errors.evidence(_MORE, _EQUAL, clustering) >= -log(harm_alpha):
        return result(Verdict.HARM, GateReason.ERRORS_MORE, ": more than chance explains")
    if effective(evidence.canary.n) < EFFECTIVE_MIN:
        return result(Verdict.UNDECIDED, GateReason.TOO_FEW_SUBJECTS, too_few(effective(evidence.canary.n)))
    threshold = -log(alpha / 2)  # two ways to pass share one chance to be wrong
    few = _few(n, errors, gate.limit, clustering)
    if few >= threshold:
        return result(Verdict.PASS, GateReason.ERRORS_FEW, f": less than {gate.limit:.3g}")
    null = place(gate.ratio)
    not_more = evidence.errors.evidence(between(_FEWER_MIN, _HEADROOM * GRID[null]), null, clustering)
    if not_more >= threshold:
        return result(Verdict.PASS, GateReason.ERRORS_NOT_MORE, f": less than {gate.ratio:g} times as often")
    # Evidence grows with requests; the faster way is the one that will pass.
    speed = max(_growth(errors / n, gate.limit, clustering), not_more / n)
    missing = threshold - max(few, not_more)
    needs = max(1, round(missing / speed)) if speed > 0 else None
    return result(Verdict.UNDECIDED, GateReason.MORE_REQUESTS_NEEDED, needed(needs), needs)


def _few(n: float, errors: float, limit: float, clustering: float) -> float:
    """Return the logarithm of the evidence that the rate of errors is below a limit."""
    return log_mean_exp([_step(errors, n - errors, each, limit) / clustering for each in _RATES])


def _growth(rate: float, limit: float, clustering: float) -> float:
    """Return by how much that evidence grows with a request."""
    return max(_step(rate, 1 - rate, each, limit) for each in _RATES) / clustering


def _step(errors: float, good: float, part: float, limit: float) -> float:
    failed = errors * log(part) if part else -1e9 * errors
    return failed + good * log((1 - part * limit) / (1 - limit))


def _clustering(evidence: Evidence) -> float:
    """Return how many errors come together: a subject that always fails is one piece of bad luck, not a hundred.

    The variance of errors over buckets, in parts of what it would be if they came one by one, in the arm where it is larger; at least 1.
    Both are taken around stable's rate, so a canary that always fails counts as many errors as its units fill buckets.
    """
    rate = sum(evidence.stable.total) / (sum(evidence.stable.n) or 1.0)
    return max(1.0, *(_dispersion(arm.n, arm.total, rate) for arm in (evidence.canary, evidence.stable)))


def _dispersion(n: Buckets, errors: Buckets, rate: float) -> float:
    found = sum(errors)
    if not found:
        return 1.0
    around: float = sum(map(mul, errors, errors)) - 2 * rate * sum(map(mul, errors, n)) + rate * rate * sum(map(mul, n, n))
    return around / found
