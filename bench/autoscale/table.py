"""The table of the documentation, made from the figures: ``python -m bench.autoscale.table`` prints it."""

import json
from collections.abc import Mapping
from typing import Any

from bench.record import RESULTS, say

_WORKLOADS = {"conv": "conversations", "ramp": "a day's ramp, 6 h", "code": "code completion"}
_ROWS = {
    "static": "best fixed fleet, known afterwards",
    "static_plus_one": "… with one pod more",
    "ours": "BuiltIn",
    "hpa_waiting_10": "HPA or KEDA, 10 waiting",
    "knative_70_delay_300s": "Knative, 70 of 100, 300 s delay",
    "kubeai_100_10min": "KubeAI, 100, 10 min",
    "aibrix_apa_kv_50": "AIBrix APA, half the cache",
    "wva_v1": "llm-d WVA V1",
}


def table(against: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """Return for each policy how many requests kept to their times, pod-hours, and how often it changed its mind."""
    lines = [f"| | {' | '.join(_WORKLOADS.values())} |", f"|---|{'---|' * len(_WORKLOADS)}"]
    for row, title in _ROWS.items():
        cells = [_cell(against[name][row], against[name]["static"]["hours"]) for name in _WORKLOADS]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def recorded() -> str:
    """Return the table of the figures that are written down."""
    return table(json.loads((RESULTS / "autoscale.json").read_text())["against"])


def _cell(found: Mapping[str, Any], static_hours: float) -> str:
    return f"{found['slo_percent']:.1f} % / {found['hours']:.1f} h ({found['hours'] / static_hours:.2f}) / {found['scale_events']}"


if __name__ == "__main__":
    say(recorded())
