"""From rounds to figures: what a proxy adds, as a ratio to Envoy within the same round, and the median over all rounds.

What a core carries is counted in CPU time, not in wall time: then neither an engine that cannot keep up nor another program on the core
makes a proxy look slower or faster than it is.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

DIRECT, ENVOY = "direct", "envoy"


@dataclass(frozen=True)
class Measured:
    """What one round found for one way to the engine; without a proxy there is no CPU time to tell."""

    p50_us: float
    p99_us: float
    rps: float
    event_p50_us: float
    event_p99_us: float
    cpu_us_per_request: float = 0.0
    cpu_us_per_stream: float = 0.0


Round = Mapping[str, Measured]
"""One round: every way to the engine, measured one after the other."""


def absolute(rounds: Sequence[Round], way: str) -> dict[str, float]:
    """Return the medians of one way to the engine; what is added is what it takes beyond the direct way of the same round."""
    figures = {
        "p50_us": _median(rounds, lambda each: each[way].p50_us),
        "p99_us": _median(rounds, lambda each: each[way].p99_us),
        "rps": _median(rounds, lambda each: each[way].rps),
        "event_delay_p50_us": _median(rounds, lambda each: each[way].event_p50_us),
        "event_delay_p99_us": _median(rounds, lambda each: each[way].event_p99_us),
    }
    if way != DIRECT:
        figures |= {
            "added_p50_us": _median(rounds, lambda each: _added(each, way, "p50_us")),
            "added_p99_us": _median(rounds, lambda each: _added(each, way, "p99_us")),
            "rps_per_core": _median(rounds, lambda each: 1e6 / each[way].cpu_us_per_request),
            "streams_per_core": _median(rounds, lambda each: 1e6 / each[way].cpu_us_per_stream),
        }
    return figures


def ratios(rounds: Sequence[Round], way: str) -> dict[str, float]:
    """Return what one way takes for each unit that Envoy takes: medians of the ratios within each round, so that slow minutes cancel."""

    def ratio(of: Callable[[Round, str], float]) -> float:
        return _median(rounds, lambda each: of(each, way) / of(each, ENVOY))

    return {
        "added_p50_ratio_envoy": ratio(lambda each, by: _added(each, by, "p50_us")),
        "added_p99_ratio_envoy": ratio(lambda each, by: _added(each, by, "p99_us")),
        "rps_per_core_ratio_envoy": ratio(lambda each, by: 1 / each[by].cpu_us_per_request),
        "event_delay_p50_ratio_envoy": ratio(lambda each, by: each[by].event_p50_us),
        "event_delay_p99_ratio_envoy": ratio(lambda each, by: each[by].event_p99_us),
        "streams_per_core_ratio_envoy": ratio(lambda each, by: 1 / each[by].cpu_us_per_stream),
    }


def _added(each: Round, way: str, field: str) -> float:
    return float(getattr(each[way], field) - getattr(each[DIRECT], field))


def _median(rounds: Sequence[Round], of: Callable[[Round], float]) -> float:
    return median(of(each) for each in rounds)
