"""The sample ratio: do units come to the arms as the weights say? If not, the arms are not alike, and no other gate means anything.

Units may come as they should and bring far more requests than their share: a canary of 5 % that has half of the load is no small one.
"""

from dataclasses import dataclass
from math import log

from llm_operator.core.gates.evidence import Evidence
from llm_operator.core.gates.likelihood import GRID, between
from llm_operator.core.gates.verdict import Counts, GateReason, OnHarm, Result, Verdict

_THRESHOLD = -log(0.001)
_EQUAL = GRID.index(1.0)
_UNEQUAL = between(0.25, 4.0)
_LOAD_MAX = 2.0
"""How many times its share of the requests a canary may have and still get a larger one."""
_CHANCE = 30.0
"""As many requests more than that are no chance."""


@dataclass(frozen=True)
class SampleRatioGate:
    """Counts units when they are first seen, not requests: those of one subject come together."""

    name: str = "sampleRatio"
    on_harm: OnHarm = OnHarm.PAUSE


def judge_sample_ratio(gate: SampleRatioGate, evidence: Evidence) -> Result:
    """Answer whether units are shared as the weights say. Nobody proves that; it fits until it does not."""
    units = evidence.units
    counts = Counts(int(units.canary), int(units.stable))
    if not units.canary + units.stable:
        message = "no new unit has been seen while the weight stayed the same"
        return Result(gate.name, Verdict.UNDECIDED, GateReason.EVIDENCE_MISSING, message, on_harm=gate.on_harm)
    interval, load = units.interval(_THRESHOLD), evidence.load
    said = f"{counts.canary} new units of the canary, {counts.stable} of stable"
    if units.evidence(_UNEQUAL, _EQUAL) >= _THRESHOLD:
        verdict, reason, message = Verdict.HARM, GateReason.SAMPLE_RATIO_MISMATCH, f"{said}: not what the weights say"
    elif load.canary > _LOAD_MAX * load.planned + _CHANCE:
        verdict, reason = Verdict.UNDECIDED, GateReason.LOAD_SHARE_HIGH
        message = f"{said}; but they bring {load.canary / load.planned:.1f} times the canary's share of the requests: a few carry the load"
    else:
        verdict, reason, message = Verdict.PASS, GateReason.FITS_WEIGHTS, f"{said}: as the weights say"
    return Result(gate.name, verdict, reason, message, None, interval, counts, None, gate.on_harm)
