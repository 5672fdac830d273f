"""Changes let in by steps on a real node: how soon all sidecars know of a table, what a change costs, and what a bad one does.

The load and the faults are those of the tests; the figures they print are written down together. Stub engines, real sidecars.
`python -m bench.rollout config`, `engine` or `borrow` measures one of the three.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.record import RESULTS, ROOT, Bound, record

Found = Mapping[str, Mapping[str, Any]]

CONFIG = (
    "tests/e2e/test_delivery.py::test_a_prompt_edit_is_run_by_all_of_twenty_sidecars_within_a_second",
    "tests/e2e/test_rollout.py",
)
ENGINE = ("tests/e2e/test_engine_rollout.py::test_engines_are_promoted_found_out_and_rolled_back_within_their_accelerators[stub]",)
BORROW = ("tests/e2e/test_borrow.py",)
CONFIG_BOUNDS = {
    "table_ack_p99_s": Bound(1.0, 0.5),
    "config_gpu_delta": Bound(0, 0),
    "config_pod_restarts": Bound(0, 0),
    "config_failed_requests": Bound(0, 0),
}
ENGINE_BOUNDS = {"engine_gpu_peak_over_n": Bound(1, 1), "engine_failed_requests": Bound(0, 0)}

BORROW_BOUNDS = {
    "borrow_failed_requests": Bound(0, 0),
    "borrow_gpu_peak_over_n": Bound(0, 0),
    "borrow_first_event_p99_s": Bound(1.0, 0.5),
}


def main(parts: list[str]) -> int:
    """Measure what is asked for, by default all, and return the exit code."""
    measure = {"config": _config, "engine": _engine, "borrow": _borrow}
    return max(measure[part]() for part in parts or measure)


def _config() -> int:
    code, found = _run(CONFIG)
    if not {"prompt_edit_s", "rollout"} <= found.keys():
        return code or 1
    edit, rollout = found["prompt_edit_s"], found["rollout"]
    figures = {
        "table_ack_p50_s": edit["p50"],
        "table_ack_p99_s": edit["p99"],
        "config_gpu_delta": rollout["gpu_delta"],
        "config_pod_restarts": rollout["pod_restarts"],
        "config_failed_requests": rollout["failed"],
        "config_bad_canary_requests": rollout["bad_canary_requests"],
        "config_bad_canary_to_zero_s": rollout["bad_canary_to_zero_s"],
    }
    return record("rollout", figures, CONFIG_BOUNDS, {}, pods_acknowledging=edit["pods"], load=rollout) or code


def _engine() -> int:
    code, found = _run(ENGINE)
    if "engine_rollout" not in found:
        return code or 1
    rollout = found["engine_rollout"]
    figures = {
        "engine_failed_requests": rollout["failed"],
        "engine_gpu_peak_over_n": rollout["gpu_peak_over_n"],
        "engine_bad_canary_requests": rollout["bad_canary_requests"],
        "engine_bad_canary_proof_requests": rollout["bad_canary_proof_requests"],
        "engine_bad_canary_proof_s": rollout["bad_canary_proof_s"],
        "engine_bad_canary_to_zero_s": rollout["bad_canary_to_zero_s"],
        "engine_cut_with_the_killed_engine": rollout["cut_with_the_killed_engine"],
        "engine_least_ready": rollout["least_ready"],
    }
    bounds = {**ENGINE_BOUNDS, "engine_bad_canary_proof_s": Bound(_promised_s())}
    return record("engine-rollout", figures, bounds, {}, load=rollout) or code


def _promised_s() -> float:
    """Return after how long a fifth of errors is found out by the study of the gates, which looks once a minute."""
    power = json.loads((RESULTS / "gates.json").read_text())["power"]
    minutes, _requests = power["20% errors, independent"]["errors"]["harm_minutes_and_requests"]
    return float(minutes) * 60


def _borrow() -> int:
    code, found = _run(BORROW)
    if "borrow" not in found:
        return code or 1
    borrow = found["borrow"]
    figures = {
        "borrow_failed_requests": borrow["failed"],
        "borrow_gpu_peak_over_n": borrow["gpu_peak_over_n"],
        "borrow_first_event_p99_s": borrow["first_event_p99_s"],
        "borrow_first_event_max_s": borrow["first_event_max_s"],
        "borrow_back_after_s": borrow["back_after_s"],
    }
    return record("borrow", figures, BORROW_BOUNDS, {}, load=borrow) or code


def _run(tests: tuple[str, ...]) -> tuple[int, Found]:
    """Run tests with the times of the plan; return their exit code and what they have seen."""
    with tempfile.TemporaryDirectory() as folder:
        seen = Path(folder) / "figures.json"
        env = {**os.environ, "LLM_SOAK": "1", "LLM_FIGURES": str(seen)}
        done = subprocess.run([sys.executable, "-m", "pytest", "-p", "no:randomly", "-s", *tests], cwd=ROOT, env=env, check=False)
        return done.returncode, json.loads(seen.read_text()) if seen.exists() else {}


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
