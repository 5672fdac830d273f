"""One reading of a pod: what its sidecar and its engine tell of load. What is missing is no reading, never nothing to do."""

from dataclasses import dataclass
from datetime import datetime
from operator import sub
from typing import NamedTuple

from llm_operator.core.scaling.exposition import VALUE_MAX, SampleError, Series, read

_QUEUED, _HELD, _INFO, _STARTED = (
    "llm_sidecar_queue_depth",
    "llm_sidecar_held",
    "llm_sidecar_config_info",
    "llm_sidecar_process_start_time_seconds",
)
_RUNNING, _WAITING, _CACHE, _ENGINE_STARTED = (
    "vllm:num_requests_running",
    "vllm:num_requests_waiting",
    "vllm:cache_config_info",
    "process_start_time_seconds",
)
_OPEN, _ANSWERED = "llm_sidecar_inflight", "gen_ai_server_request_duration_seconds_count"
_SHED, _FULL = "llm_sidecar_shed_total", frozenset({"bodies_full", "queue_full", "queue_timeout"})
"""Of the reasons to refuse a request those that say that the pod has as much as it can take."""
_PROMPT, _CACHED = "vllm:prompt_tokens_total", "vllm:prompt_tokens_cached_total"
_COUNTERS = {
    "generated_tokens": "vllm:generation_tokens_total",
    "steps": "vllm:iteration_tokens_total_count",
    "gaps": "vllm:inter_token_latency_seconds_count",
    "gap_seconds": "vllm:inter_token_latency_seconds_sum",
    "prompts": "vllm:request_prompt_tokens_count",
    "prompt_sum": "vllm:request_prompt_tokens_sum",
    "outputs": "vllm:request_generation_tokens_count",
    "output_sum": "vllm:request_generation_tokens_sum",
}
_WANTED = frozenset(
    {
        *(_QUEUED, _HELD, _INFO, _STARTED, _OPEN, _ANSWERED, _SHED, _RUNNING, _WAITING, _CACHE, _ENGINE_STARTED, _PROMPT, _CACHED),
        *_COUNTERS.values(),
    },
)


class Most(NamedTuple):
    """What an engine can do in one step at most: sequences that have a token added, and tokens that are read."""

    sequences: float
    tokens: float


MOST = Most(1024, 8192)
"""The most that engines choose by themselves, on any accelerator."""


@dataclass(frozen=True)
class Expected:
    """Whose figures they have to be, and what they cannot be beyond."""

    deployment: str
    engine: str
    model: str
    most: Most = MOST


class Counters(NamedTuple):
    """What an engine has counted since it began. ``prefill_tokens`` were computed: those of a prompt that were not in its cache."""

    prefill_tokens: float
    generated_tokens: float
    steps: float
    gaps: float
    gap_seconds: float
    prompts: float
    prompt_sum: float
    outputs: float
    output_sum: float

    def since(self, earlier: "Counters") -> "Counters | None":
        """Return by how much they have grown, or None where one has not: they are another process's."""
        grown = Counters(*map(sub, self, earlier))
        return grown if min(grown) >= 0 else None


@dataclass(frozen=True)
class Sample:
    """What one pod told at one time. ``waiting`` requests are in the engine's queue, in the sidecar's, or held.

    ``process`` is when sidecar and engine began: no two pods have the same. It is None for an engine that does not tell. ``open`` are the
    requests that the sidecar has, None where it does not tell, ``answered`` those of which it has seen the end: what it asks the engine
    itself is among neither. ``refused`` were those that it had no place for. Each of the ``ranks`` of an engine makes steps of its own,
    and all are counted together.
    """

    at: datetime
    running: float
    waiting: float
    kv_tokens: float
    counters: Counters
    process: tuple[float, float] | None = None
    open: float | None = None
    answered: float = 0.0
    refused: float = 0.0
    ranks: int = 1
    most: Most = MOST


def sample(body: bytes, expected: Expected, at: datetime) -> Sample:
    """Return what the figures of a pod say, or raise SampleError where they do not say everything, or are not those of that pod."""
    found: dict[str, list[Series]] = {}
    for each in read(body, _WANTED):
        found.setdefault(each.name, []).append(each)
    _check(found, expected)
    prefill = _sum(found, _PROMPT) - _sum(found, _CACHED)
    if prefill < 0:
        raise SampleError("more tokens of prompts were cached than there were")
    return Sample(
        at=at,
        running=_sum(found, _RUNNING),
        waiting=_sum(found, _WAITING) + _sum(found, _QUEUED) + _sum(found, _HELD),
        kv_tokens=_kv_tokens(found.get(_CACHE, [])),
        counters=Counters(prefill, **{field: _sum(found, name) for field, name in _COUNTERS.items()}),
        process=(_sum(found, _STARTED), _sum(found, _ENGINE_STARTED)) if _ENGINE_STARTED in found else None,
        open=_sum(found, _OPEN) if _OPEN in found else None,
        answered=_sum(found, _ANSWERED) if _ANSWERED in found else 0.0,  # there is none before the first
        refused=sum(each.value for each in found.get(_SHED, []) if each.labels.get("reason") in _FULL),
        ranks=len(found[_RUNNING]),
        most=expected.most,
    )


def _check(found: dict[str, list[Series]], expected: Expected) -> None:
    info = [(each.labels.get("deployment"), each.labels.get("engine")) for each in found.get(_INFO, [])]
    if info != [(expected.deployment, expected.engine)]:
        raise SampleError(f"figures are not those of engine {expected.engine} of {expected.deployment}")
    models = {each.labels.get("model_name") for name, every in found.items() for each in every if name.startswith("vllm:")}
    if models and models != {expected.model}:
        raise SampleError(f"figures are of the model {', '.join(sorted(map(str, models)))[:120]}, not of {expected.model}")
    if any(each.value > expected.most.sequences for each in found.get(_RUNNING, [])):
        raise SampleError(f"an engine works on more than {expected.most.sequences:g} requests at a time")


def _sum(found: dict[str, list[Series]], name: str) -> float:
    """Return a figure of all ranks of an engine together."""
    if name not in found:
        raise SampleError(f"{name} is missing")
    return sum(each.value for each in found[name])


def _kv_tokens(caches: list[Series]) -> float:
    """Return how many tokens the engine can keep, 0 where one of its ranks does not tell, or tells what cannot be."""
    try:
        told = [(float(each.labels["num_gpu_blocks"]), float(each.labels["block_size"])) for each in caches]
    except (KeyError, ValueError):
        return 0.0
    can_be = all(blocks > 0 and size > 0 and blocks * size <= VALUE_MAX for blocks, size in told)
    return sum(blocks * size for blocks, size in told) if can_be else 0.0
