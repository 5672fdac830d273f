"""Figures of the tests on a real node: printed always, and kept in a file where LLM_FIGURES names one."""

import json
import os
from pathlib import Path

SOAK = os.environ.get("LLM_SOAK") == "1"
"""Whether the seconds of the plan are asserted. Otherwise tests wait much longer and only print: a busy machine is not a fault."""


def within(promised_s: float) -> float:
    """Return how long to wait for what is promised within so many seconds: as long in a soak, else three times that."""
    return promised_s if SOAK else 3 * promised_s


def record(name: str, **values: float | str) -> None:
    """Print a figure and add it to the file."""
    rounded = {key: round(value, 3) if isinstance(value, float) else value for key, value in values.items()}
    print(f"{name}: {rounded}")  # noqa: T201  # figures of the suite are part of its output
    if file := os.environ.get("LLM_FIGURES"):
        path = Path(file)
        kept = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps({**kept, name: rounded}, indent=2) + "\n")
