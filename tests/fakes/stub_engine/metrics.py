"""vLLM's /metrics: every series a fresh engine shows, with the values that the stub's traffic gives them."""

import time
from bisect import bisect_left
from dataclasses import dataclass, field

from .families import BY_NAME, FAMILIES, Family, Labels, token_bounds

CONTENT_TYPE = "text/plain; version=1.0.0; charset=utf-8"


@dataclass
class _Histogram:
    counts: list[int]
    total: float = 0.0

    def add(self, index: int, value: float, times: int) -> None:
        self.counts[index] += times
        self.total += value * times


@dataclass
class Metrics:
    """All values of one engine."""

    model_name: str
    max_model_len: int
    block_size: int = 128
    kv_tokens: int = 0
    created: float = field(default_factory=time.time)

    def __post_init__(self) -> None:
        self._bounds = {family.name: family.bounds or token_bounds(self.max_model_len) for family in FAMILIES if family.kind == "histogram"}
        self.reset()

    def reset(self) -> None:
        """Begin again at zero, as a restarted engine does."""
        self.created = time.time()
        self._values: dict[tuple[str, Labels], float] = {}
        self._histograms = {name: _Histogram([0] * (len(bounds) + 1)) for name, bounds in self._bounds.items()}
        self._http: dict[tuple[str, str, str], int] = {}
        self.set("engine_sleep_state", 1, sleep_state="awake")

    def add(self, name: str, amount: float = 1, **labels: str) -> None:
        """Count on a counter, named without prefix and ``_total``."""
        key = (f"vllm:{name}_total", tuple(labels.items()))
        assert key[1] in BY_NAME[key[0]].series, key
        self._values[key] = self._values.get(key, 0) + amount

    def set(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge, named without prefix."""
        key = (f"vllm:{name}", tuple(labels.items()))
        assert key[1] in BY_NAME[key[0]].series, key
        self._values[key] = value

    def observe(self, name: str, value: float, times: int = 1) -> None:
        """Put a value into a histogram, named without prefix."""
        full = f"vllm:{name}"
        self._histograms[full].add(bisect_left(self._bounds[full], value), value, times)

    def count_http(self, handler: str, method: str, status: int) -> None:
        """Count one answer."""
        key = (handler, method, f"{status // 100}xx")
        self._http[key] = self._http.get(key, 0) + 1

    def render(self) -> str:
        """Return the exposition."""
        lines: list[str] = []
        for family in FAMILIES:
            lines += self._histogram_lines(family) if family.kind == "histogram" else self._value_lines(family)
        lines += self._cache_lines()
        lines += [
            "# HELP http_requests_total Total number of requests by method, status and handler.",
            "# TYPE http_requests_total counter",
        ]
        lines += [
            f'http_requests_total{{handler="{handler}",method="{method}",status="{status}"}} {float(count)}'
            for (handler, method, status), count in self._http.items()
        ]
        lines += [
            "# HELP process_start_time_seconds Start time of the process since unix epoch in seconds.",
            "# TYPE process_start_time_seconds gauge",
            f"process_start_time_seconds {self.created}",
        ]
        return "\n".join(lines) + "\n"

    def _value_lines(self, family: Family) -> list[str]:
        lines = [f"# HELP {family.name} {family.text}", f"# TYPE {family.name} {family.kind}"]
        lines += [
            f"{family.name}{self._labels(family, labels)} {float(self._values.get((family.name, labels), 0))}" for labels in family.series
        ]
        if family.kind == "counter":
            lines += self._created_lines(family, family.name.removesuffix("_total"))
        return lines

    def _histogram_lines(self, family: Family) -> list[str]:
        values, bounds = self._histograms[family.name], self._bounds[family.name]
        lines = [f"# HELP {family.name} {family.text}", f"# TYPE {family.name} histogram"]
        seen = 0
        for bound, count in zip((*bounds, float("inf")), values.counts, strict=True):
            seen += count
            label = "+Inf" if bound == float("inf") else str(bound)
            lines.append(f"{family.name}_bucket{self._labels(family, (('le', label),))} {float(seen)}")
        plain = self._labels(family, ())
        lines += [f"{family.name}_count{plain} {float(seen)}", f"{family.name}_sum{plain} {values.total}"]
        return lines + self._created_lines(family, family.name)

    def _created_lines(self, family: Family, base: str) -> list[str]:
        lines = [f"# HELP {base}_created {family.text}", f"# TYPE {base}_created gauge"]
        return lines + [f"{base}_created{self._labels(family, labels)} {self.created}" for labels in family.series]

    def _cache_lines(self) -> list[str]:
        labels = self._labels(
            BY_NAME["vllm:num_requests_running"],
            (
                ("block_size", str(self.block_size)),
                ("kv_cache_size_tokens", str(self.kv_tokens)),
                ("num_gpu_blocks", str(self.kv_tokens // self.block_size)),
            ),
        )
        return [
            "# HELP vllm:cache_config_info Information of the LLMEngine CacheConfig",
            "# TYPE vllm:cache_config_info gauge",
            f"vllm:cache_config_info{labels} 1.0",
        ]

    def _labels(self, family: Family, labels: Labels) -> str:
        shared = (("engine", "0"),) if family.has_engine else ()
        named = sorted((*shared, ("model_name", self.model_name), *labels))
        return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in named) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
