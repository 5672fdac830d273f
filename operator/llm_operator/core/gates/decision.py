"""From evidence to what a rollout may do: all gates asked, the chance to be wrong shared among them, one decision."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from llm_operator.core.gates.comparison import ComparisonGate, judge_comparison
from llm_operator.core.gates.errors import ErrorsGate, judge_errors
from llm_operator.core.gates.evidence import Evidence
from llm_operator.core.gates.ratio import SampleRatioGate, judge_sample_ratio
from llm_operator.core.gates.verdict import STALE_AFTER, GateReason, OnHarm, Result, Verdict

WRONG_PROMOTION = 0.05
FALSE_ABORT = 0.01

Gate = ErrorsGate | ComparisonGate
"""The gates that are answered from evidence alone."""


class Move(StrEnum):
    """What the gates allow or ask for."""

    PROMOTE = "Promote"
    ABORT = "Abort"
    PAUSE = "Pause"
    HOLD = "Hold"


@dataclass(frozen=True)
class Decision:
    """A move, and the gate that asks for it: why in a word and in a sentence."""

    move: Move
    reason: GateReason | None
    message: str


def judge(gates: Sequence[Gate], evidence: Evidence, now: datetime) -> tuple[Result, ...]:
    """Return the answers of all gates and, under them, of the sample ratio.

    The chance of false harm is divided among the gates, since each of them may end the rollout. That of a wrong pass is not: a canary that
    is beyond the margin of some gate is promoted only if that gate, too, is wrong.
    """
    harm_alpha = FALSE_ABORT / max(1, len(gates))
    answers = [
        judge_errors(gate, evidence, WRONG_PROMOTION, harm_alpha)
        if isinstance(gate, ErrorsGate)
        else judge_comparison(gate, evidence, WRONG_PROMOTION, harm_alpha)
        for gate in gates
    ]
    answers.append(judge_sample_ratio(SampleRatioGate(), evidence))
    unfit = _unfit(evidence, now)
    return tuple(_withheld(each, *unfit) if unfit else each for each in answers)


def decide(results: Sequence[Result]) -> Decision:
    """Return what follows: harm before everything else, and a promotion only when every gate passes."""
    harm = [each for each in results if each.verdict is Verdict.HARM]
    for on_harm, move in ((OnHarm.ABORT, Move.ABORT), (OnHarm.PAUSE, Move.PAUSE)):
        for each in harm:
            if each.on_harm is on_harm:
                return Decision(move, each.reason, f"{each.gate}: {each.message}")
    for each in results:
        if each.verdict is not Verdict.PASS:
            return Decision(Move.HOLD, each.reason, f"{each.gate}: {each.message}")
    if not results:
        return Decision(Move.HOLD, None, "no gate was asked")
    return Decision(Move.PROMOTE, None, f"all {len(results)} gates pass")


def _unfit(evidence: Evidence, now: datetime) -> tuple[GateReason, str] | None:
    if evidence.fault:
        return GateReason.EVIDENCE_INVALID, f"the evidence contradicts itself: {evidence.fault}"
    if evidence.last is None:
        return GateReason.EVIDENCE_MISSING, "there is no evidence yet"
    if evidence.stale(now, STALE_AFTER):
        return GateReason.EVIDENCE_STALE, f"the last evidence is of {evidence.last:%H:%M:%S}"
    return None


def _withheld(result: Result, reason: GateReason, message: str) -> Result:
    """Return a result that passes nothing. Proven harm stays: what was seen was seen."""
    if result.verdict is Verdict.HARM:
        return result
    return replace(result, verdict=Verdict.UNDECIDED, reason=reason, message=message, needs=None)
