"""The table of the documentation, made from the figures: ``python -m bench.sidecar.table`` prints it."""

import json
from collections.abc import Mapping

from bench.record import RESULTS, say

_WAYS = {"direct": "_direct", "Envoy 1.40": "_envoy", "pass-through": "_passthrough", "default pipeline": ""}
_ROWS = {
    "one request at a time, added p50": ("added_p50_us", "{:.0f} µs", "added_p50_ratio_envoy"),
    "… added p99": ("added_p99_us", "{:.0f} µs", "added_p99_ratio_envoy"),
    "requests per second of CPU, 32 at a time": ("rps_per_core", "{:,.0f}", "rps_per_core_ratio_envoy"),
    "streams of 64 events per second of CPU, 32 at a time": ("streams_per_core", "{:,.0f}", "streams_per_core_ratio_envoy"),
    "delay of an event, 64 streams of 100 a second, p50": ("event_delay_p50_us", "{:.0f} µs", "event_delay_p50_ratio_envoy"),
    "… p99": ("event_delay_p99_us", "{:.0f} µs", "event_delay_p99_ratio_envoy"),
    "memory after the run": ("rss_mb", "{:.0f} MB", ""),
    "start to ready": ("start_s", "{:.2f} s", ""),
}


def table(figures: Mapping[str, float]) -> str:
    """Return the figures as a table, with the ratio to Envoy behind those that have one."""
    lines = [f"| | {' | '.join(_WAYS)} |", f"|---|{'---|' * len(_WAYS)}"]
    for title, (figure, form, ratio) in _ROWS.items():
        cells = [_cell(figures, figure, form, ratio, suffix) for suffix in _WAYS.values()]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def recorded() -> str:
    """Return the table of the figures that are written down."""
    return table(json.loads((RESULTS / "sidecar.json").read_text())["figures"])


def _cell(figures: Mapping[str, float], figure: str, form: str, ratio: str, suffix: str) -> str:
    value, times = figures.get(f"{figure}{suffix}"), figures.get(f"{ratio}{suffix}")
    if value is None:
        return ""
    return form.format(value) + (f" ({times:.2f})" if times is not None else "")


if __name__ == "__main__":
    say(recorded())
