"""A prompt let in by steps on a real node: how soon all sidecars know of a table, what the change costs, and what a bad one does.

The load and the faults are those of the tests; the figures they print are written down together. Stub engine, real sidecars.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.record import ROOT, Bound, record

TESTS = (
    "tests/e2e/test_delivery.py::test_a_prompt_edit_is_run_by_all_of_twenty_sidecars_within_a_second",
    "tests/e2e/test_rollout.py",
)
BOUNDS = {
    "table_ack_p99_s": Bound(1.0, 0.5),
    "config_gpu_delta": Bound(0, 0),
    "config_pod_restarts": Bound(0, 0),
    "config_failed_requests": Bound(0, 0),
}


def main() -> int:
    """Run the tests, and write down what they have seen."""
    with tempfile.TemporaryDirectory() as folder:
        seen = Path(folder) / "figures.json"
        env = {**os.environ, "LLM_SOAK": "1", "LLM_FIGURES": str(seen)}
        done = subprocess.run([sys.executable, "-m", "pytest", "-p", "no:randomly", "-s", *TESTS], cwd=ROOT, env=env, check=False)
        found = json.loads(seen.read_text()) if seen.exists() else {}
    if not {"prompt_edit_s", "rollout"} <= found.keys():
        return done.returncode or 1
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
    kept = record("rollout", figures, BOUNDS, {}, pods_acknowledging=edit["pods"], load=rollout)
    return done.returncode or kept


if __name__ == "__main__":
    raise SystemExit(main())
