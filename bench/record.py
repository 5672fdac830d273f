"""Writes a benchmark's figures down, prints them, and says whether they keep their floor."""

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench/results"

Figures = Mapping[str, float]


@dataclass(frozen=True)
class Bound:
    """What a figure must not exceed, or must reach with ``at_least``: the floor fails the benchmark, the aim is only printed."""

    floor: float | None = None
    aim: float | None = None
    at_least: bool = False

    def below_floor(self, value: float) -> bool:
        """Return whether a figure is worse than it may be."""
        return self.floor is not None and not self._keeps(value, self.floor)

    def reached(self, value: float) -> bool | None:
        """Return whether a figure is as good as it should be, or None where nothing is asked."""
        return None if self.aim is None else self._keeps(value, self.aim)

    def _keeps(self, value: float, bound: float) -> bool:
        return value >= bound if self.at_least else value <= bound


def record(name: str, figures: Figures, bounds: Mapping[str, Bound], against: Mapping[str, Any], **about: Any) -> int:
    """Write and print the figures; return the exit code."""
    text = {"figures": dict(figures), "against": against, "machine": machine(), "commit": commit(), **about}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(text, indent=2) + "\n")
    failed = [figure for figure, bound in bounds.items() if bound.below_floor(figures[figure])]
    wide = max(24, *(len(figure) + 1 for figure in figures))
    say(f"{'figure':{wide}}{'measured':>12}{'floor':>10}{'aim':>10}")
    for figure, value in figures.items():
        bound = bounds.get(figure, Bound())
        verdict = "BELOW THE FLOOR" if figure in failed else {None: "", True: "reached", False: "not reached"}[bound.reached(value)]
        say(f"{figure:{wide}}{value:>12g}{_shown(bound.floor):>10}{_shown(bound.aim):>10}  {verdict}")
    return 1 if failed else 0


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    memory_kib = next(int(line.split()[1]) for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(memory_kib / 2**20, 1),
        "kernel": platform.release().split("-")[0],
        "python": platform.python_version(),
    }


def commit() -> str:
    """Return the commit that was measured, marked when something beside the results is not committed."""
    git = ["git", "-C", str(ROOT)]
    found = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    changed = subprocess.run(
        [*git, "status", "--porcelain", "--", ".", ":!bench/results"], capture_output=True, text=True, check=True
    ).stdout
    return f"{found}{'+changes' if changed.strip() else ''}"


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:g}"
