"""Run the studies on all cores, write down how often gates were wrong and how soon they were right; fail above what is promised.

``GATES_RUNS`` divides the number of runs, for a quick look.
"""

import os
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from typing import Any

from bench.gates import rollouts
from bench.gates.study import Outcome, Study, run, share, typical
from bench.record import Bound, record, say

BOUNDS = {"aa_false_abort_max": Bound(0.01), "wrong_promotion_at_margin_max": Bound(0.05)}
PART = 50
SAMPLE_RATIO = "sampleRatio"

Outcomes = dict[str, list[Outcome]]


def main() -> int:
    """Measure, record and print."""
    part = int(os.environ.get("GATES_RUNS", "1"))
    began = time.monotonic()
    equal = rollouts.equal(rollouts.EQUAL_RUNS // part)
    margin = rollouts.just_too_bad(rollouts.MARGIN_RUNS // part)
    power = rollouts.canaries(rollouts.POWER_RUNS // part)
    outcomes = run_all([*equal, *margin, *power])
    names = [gate.name for gate in rollouts.gates()]
    aborts = {gate: {s.population.name: share(outcomes[s.name], gate, harm=True) for s in equal} for gate in [*names, SAMPLE_RATIO]}
    wrong = {gate: {s.population.name: share(outcomes[s.name], gate, harm=False) for s in margin} for gate in names}
    figures = {
        "aa_runs": sum(len(each.seeds) for each in equal),
        "aa_false_abort_max": max(max(each.values()) for each in aborts.values()),
        "aa_false_abort_any": max(any_harm(outcomes[each.name]) for each in equal),
        "wrong_promotion_at_margin_max": max(max(each.values()) for each in wrong.values()),
        **{f"aa_false_abort_{gate}": max(each.values()) for gate, each in aborts.items()},
        **{f"wrong_promotion_at_margin_{gate}": max(each.values()) for gate, each in wrong.items()},
        "elapsed_s": round(time.monotonic() - began),
    }
    return record(
        "gates",
        {name: round(value, 4) for name, value in figures.items()},
        BOUNDS,
        {each.population.name: peers_of(outcomes[each.name]) for each in equal},
        aa_false_abort=aborts,
        wrong_promotion_at_margin=wrong,
        power={each.name: power_of(each, outcomes[each.name]) for each in power},
    )


def run_all(studies: Sequence[Study]) -> Outcomes:
    """Run all studies in parts, on all cores."""
    parts = [replace(each, seeds=each.seeds[at : at + PART]) for each in studies for at in range(0, len(each.seeds), PART)]
    done: Outcomes = defaultdict(list)
    with ProcessPoolExecutor() as pool:
        for at, (part, outcomes) in enumerate(zip(parts, pool.map(run, parts), strict=True), 1):
            done[part.name] += outcomes
            if at % 20 == 0 or at == len(parts):
                say(f"{at}/{len(parts)} parts, now {part.name}")
    return done


def any_harm(outcomes: Sequence[Outcome]) -> float:
    """Return in which part of the runs any gate found harm."""
    return sum(bool(each.harmed) for each in outcomes) / len(outcomes)


def peers_of(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Return in which part of the runs each peer would have aborted."""
    asked = [each.peers for each in outcomes if each.peers]
    return {name: round(sum(each[name] for each in asked) / len(asked), 3) for name in asked[0]}


def power_of(study: Study, outcomes: Sequence[Outcome]) -> dict[str, dict[str, Any]]:
    """Return for each gate how often it passed and found harm, with the medians of minutes and of the canary's requests."""
    found = {}
    for gate in study.gates:
        passed = [each.passed[gate.name] for each in outcomes if gate.name in each.passed]
        harmed = [each.harmed[gate.name] for each in outcomes if gate.name in each.harmed]
        found[gate.name] = {
            "pass": len(passed) / len(outcomes),
            "harm": len(harmed) / len(outcomes),
            "pass_minutes_and_requests": typical(passed),
            "harm_minutes_and_requests": typical(harmed),
        }
    return found


if __name__ == "__main__":
    raise SystemExit(main())
