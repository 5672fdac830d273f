"""The workloads: real requests, more of them, and a real day of rates; each in two halves, one to tune on and one to report."""

import csv
import gzip
from pathlib import Path
from typing import Literal

import numpy as np

from bench.autoscale.fleet import Workload

DATA = Path(__file__).parent / "data"
SEED = 20231116
CONV_TIMES, CODE_TIMES = 8, 4
WINDOW_S = 600.0
RAMP_PEAK_RPS, DAY_PEAK_RPS = 55.0, 42.5
RAMP_WINDOWS = {"tune": range(36), "report": range(105, 141)}
"""Six hours of the day's first half, and six of its second."""

Half = Literal["tune", "report"]
Rows = np.ndarray[tuple[int, int], np.dtype[np.float64]]


def workloads(half: Half) -> dict[str, Workload]:
    """Return the three workloads, of which one half is judged. Traces of requests are replayed whole, so policies come to it warm."""
    return {"conv": _repeated("conv", CONV_TIMES, 8, half), "code": _repeated("code", CODE_TIMES, 4, half), "ramp": _ramp(half)}


def _repeated(name: str, times: int, start: int, half: Half) -> Workload:
    """Return a trace of which each request comes several times within a second: bursts stay bursts."""
    rows = np.repeat(_rows(name), times, axis=0)
    rows[:, 0] = rows[:, 0] / 1000 + np.random.default_rng([SEED, times]).uniform(0, 1, len(rows))
    end = float(rows[:, 0].max())
    middle = end / 2
    return Workload(name, _requests(rows), *((0.0, middle) if half == "tune" else (middle, end)), start)


def _ramp(half: Half) -> Workload:
    """Return requests that come by chance at the rates of the day, as long as those of the conversations' same half."""
    random = np.random.default_rng([SEED, half == "report"])
    conv = _rows("conv")
    lengths = np.array_split(conv[:, 1:], 2)[half == "report"]
    rates = _rows("day")[RAMP_WINDOWS[half], 1] * RAMP_PEAK_RPS / DAY_PEAK_RPS
    counts = random.poisson(rates * WINDOW_S)
    arrivals = np.concatenate([(at + random.uniform(0, 1, count)) * WINDOW_S for at, count in enumerate(counts)])
    rows = np.column_stack([arrivals, lengths[random.integers(0, len(lengths), len(arrivals))]])
    return Workload("ramp", _requests(rows), 0.0, len(rates) * WINDOW_S, 2)


def _rows(name: str) -> Rows:
    with gzip.open(DATA / f"{name}.csv.gz", "rt") as text:
        return np.array([[float(each) for each in row] for row in list(csv.reader(text))[1:]])


def _requests(rows: Rows) -> tuple[tuple[float, int, int], ...]:
    ordered = rows[np.argsort(rows[:, 0], kind="stable")]
    return tuple((float(at), int(prompt), max(int(output), 1)) for at, prompt, output in ordered)
