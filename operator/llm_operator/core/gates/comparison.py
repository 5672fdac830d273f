"""Gates on means: is the canary slower than stable, does it need more tokens, and has stable become slower since it had a canary?"""

from dataclasses import dataclass
from enum import StrEnum
from math import exp, log1p
from operator import mul

from llm_operator.core.gates import sequence
from llm_operator.core.gates.contrast import Estimate, effective
from llm_operator.core.gates.evidence import Evidence
from llm_operator.core.gates.verdict import EFFECTIVE_MIN, Counts, GateReason, OnHarm, Result, Verdict, needed, too_few

MINUTES_MIN = 5
"""Of stable, before and beside the canary, from which it can be said how much it changes by itself."""

_EXP_MAX = 700.0


class Metric(StrEnum):
    """What is compared."""

    TIME_TO_FIRST_TOKEN = "ttft"  # noqa: S105 - a metric, no password
    TIME_PER_OUTPUT_TOKEN = "tpot"  # noqa: S105 - same
    PROMPT_TOKENS = "promptTokens"
    SELF_TIME_TO_FIRST_TOKEN = "selfTtft"  # noqa: S105 - same
    """Stable's own, now against before the canary had requests: with one engine for both, the canary may slow down stable too."""


_WORDS = {
    Metric.TIME_TO_FIRST_TOKEN: "the canary's time to first token",
    Metric.TIME_PER_OUTPUT_TOKEN: "the canary's time per output token",
    Metric.PROMPT_TOKENS: "the canary's prompt",
    Metric.SELF_TIME_TO_FIRST_TOKEN: "stable's own time to first token",
}


@dataclass(frozen=True)
class ComparisonGate:
    """``margin`` is how much more is tolerated, in parts; harm is to be more than ``harm_margin`` above, by default the same.

    With a harm margin of 0 any proven change for the worse is harm, also one that would be tolerated.
    """

    name: str
    metric: Metric
    margin: float = 0.1
    harm_margin: float | None = None
    on_harm: OnHarm = OnHarm.ABORT


def judge_comparison(gate: ComparisonGate, evidence: Evidence, alpha: float, harm_alpha: float) -> Result:
    """Answer whether a mean has grown by less than the margin, or by more."""
    own = gate.metric is Metric.SELF_TIME_TO_FIRST_TOKEN
    found = _since(evidence) if own else _contrast(gate.metric, evidence)
    if found is None:
        message = f"{_WORDS[gate.metric]} cannot be compared yet"
        reason = GateReason.EVIDENCE_MISSING
        if own and evidence.before.course.minutes < MINUTES_MIN:
            message, reason = f"less than {MINUTES_MIN} minutes are known of stable before the canary had requests", GateReason.NO_BASELINE
        return Result(gate.name, Verdict.UNDECIDED, reason, message, on_harm=gate.on_harm)
    limit, harm_limit = log1p(gate.margin), log1p(gate.margin if gate.harm_margin is None else gate.harm_margin)
    width = sequence.bound(found, alpha, sequence.NON_INFERIORITY_TIME)
    low, estimate, high = (exp(min(found.difference + each, _EXP_MAX)) for each in (-width, 0.0, width))
    said = f"{_WORDS[gate.metric]} is {estimate:.3g} times {'what it was' if own else 'that of stable'}"
    said = f"{said} ({low:.3g} to {high:.3g}), up to {1 + gate.margin:.3g} is tolerated"

    def result(verdict: Verdict, reason: GateReason, message: str = "", needs: int | None = None) -> Result:
        counts = Counts(int(found.canary), int(found.stable))
        return Result(gate.name, verdict, reason, said + message, estimate, (low, high), counts, needs, gate.on_harm)

    if found.effective < EFFECTIVE_MIN:
        return result(Verdict.UNDECIDED, GateReason.TOO_FEW_SUBJECTS, too_few(found.effective))
    if found.difference - sequence.bound(found, harm_alpha, sequence.DETECTION_TIME) > harm_limit:
        return result(Verdict.HARM, GateReason.WORSE)
    if found.difference + width < limit:
        return result(Verdict.PASS, GateReason.NOT_WORSE)
    needs = sequence.more(found, limit - found.difference, alpha, sequence.NON_INFERIORITY_TIME)
    return result(Verdict.UNDECIDED, GateReason.MORE_REQUESTS_NEEDED, needed(needs), needs)


def _contrast(metric: Metric, evidence: Evidence) -> Estimate | None:
    contrasts = {
        Metric.TIME_TO_FIRST_TOKEN: evidence.ttft,
        Metric.TIME_PER_OUTPUT_TOKEN: evidence.tpot,
        Metric.PROMPT_TOKENS: evidence.prompt,
    }
    return contrasts[metric].estimate()


def _since(evidence: Evidence) -> Estimate | None:
    """Return by how much stable's ln of times has grown since before.

    The units of a bucket are mostly the same ones, so buckets are compared with themselves. What came over all of them in the meantime
    is in the course of minutes.
    """
    now, before = evidence.beside, evidence.before
    minutes = min(now.course.minutes, before.course.minutes)
    if minutes < MINUTES_MIN:
        return None
    n, n_before = sum(now.totals.n), sum(before.totals.n)
    mean, mean_before = sum(now.totals.total) / n, sum(before.totals.total) / n_before
    influence = [
        (total - mean * count) / n - (total_before - mean_before * count_before) / n_before
        for count, total, count_before, total_before in zip(
            now.totals.n, now.totals.total, before.totals.n, before.totals.total, strict=True
        )
    ]
    variance = sum(map(mul, influence, influence)) + now.course.variance() + before.course.variance()
    carried = min(effective(now.totals.n), effective(before.totals.n))
    return Estimate(mean - mean_before, variance, n, n_before, carried, min(carried, minutes) - 1)
