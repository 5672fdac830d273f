"""Replay the half of each workload that nothing was tuned on, under our policy and its peers; write down what came of it.

``AUTOSCALE_HALF=tune`` replays the other half instead.
"""

import os
import time
from dataclasses import replace
from typing import Any

from bench.autoscale.fleet import PODS_MAX, Fixed, Fleet, Outcome, Policy, Workload
from bench.autoscale.ours import BuiltIn
from bench.autoscale.peers import PEERS
from bench.autoscale.traces import SEED, Half, workloads
from bench.record import Bound, record, say

COLD_START_S = 120.0
STATIC_SLO_PERCENT = 95.0
"""What a fixed fleet has to reach to be the best one: with the fewest pods."""
BOUNDS = {
    "conv_slo_percent": Bound(99.0, 99.5, at_least=True),
    "conv_hours_over_static": Bound(1.2, 1.1),
    "ramp_slo_percent": Bound(99.0, 99.5, at_least=True),
    "ramp_hours_over_static": Bound(0.85, 0.75),
    "ramp_scale_events": Bound(60, 40),
}


def main() -> int:
    """Measure, record and print."""
    began = time.monotonic()
    figures: dict[str, float] = {}
    against: dict[str, dict[str, Any]] = {}
    half: Half = "tune" if os.environ.get("AUTOSCALE_HALF") == "tune" else "report"
    for name, workload in workloads(half).items():
        pods, static = best_static(workload)
        found = play(workload, BuiltIn(COLD_START_S))
        against[name] = {
            "static": {"pods": pods, **_shown(static)},
            "static_plus_one": _shown(fixed(workload, pods + 1)),
            "ours": _shown(found),
        }
        against[name] |= {peer: _shown(play(workload, make())) for peer, make in PEERS.items()}
        figures |= {
            f"{name}_slo_percent": found.slo_percent,
            f"{name}_hours_over_static": found.hours / static.hours,
            f"{name}_scale_events": found.events,
        }
        for policy, outcome in against[name].items():
            say(f"{name:5} {policy:22} {outcome}")
    figures["elapsed_s"] = round(time.monotonic() - began)
    rounded = {name: round(float(value), 3) for name, value in figures.items()}
    about = "autoscale" if half == "report" else f"autoscale-{half}"
    return record(about, rounded, BOUNDS, against, seed=SEED, cold_start_s=COLD_START_S, static_slo_percent=STATIC_SLO_PERCENT)


def best_static(workload: Workload) -> tuple[int, Outcome]:
    """Return the smallest fixed fleet that keeps to the times often enough: known only afterwards."""
    low, high, found = 0, PODS_MAX, fixed(workload, PODS_MAX)
    while high - low > 1:
        middle = (low + high) // 2
        outcome = fixed(workload, middle)
        if outcome.slo_percent >= STATIC_SLO_PERCENT:
            high, found = middle, outcome
        else:
            low = middle
    return high, found


def fixed(workload: Workload, pods: int) -> Outcome:
    """Return what comes of a number of pods that never changes."""
    return play(replace(workload, start=pods), Fixed())


def play(workload: Workload, policy: Policy) -> Outcome:
    """Replay a workload under a policy."""
    return Fleet(workload, policy, COLD_START_S).run()


def _shown(outcome: Outcome) -> dict[str, float]:
    return {"slo_percent": round(outcome.slo_percent, 2), "hours": round(outcome.hours, 2), "scale_events": outcome.events}


if __name__ == "__main__":
    raise SystemExit(main())
