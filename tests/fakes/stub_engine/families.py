"""The metric families of vLLM 0.32.0, as a scrape of it shows them."""

from collections.abc import Mapping
from dataclasses import dataclass

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Family:
    """One family: its type, the label sets it always shows besides engine and model, and the bounds of a histogram's buckets."""

    name: str
    kind: str
    text: str
    series: tuple[Labels, ...] = ((),)
    bounds: tuple[float, ...] = ()
    has_engine: bool = True


_SECONDS = (0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0)
_TOKEN_SECONDS = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0)
_TTFT_SECONDS = (
    0.001,
    0.005,
    0.01,
    0.02,
    0.04,
    0.06,
    0.08,
    0.1,
    0.25,
    0.5,
    0.75,
    1.0,
    2.5,
    5.0,
    7.5,
    10.0,
    20.0,
    40.0,
    80.0,
    160.0,
    640.0,
    2560.0,
)
_POWERS = (1.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0)
TOKENS: tuple[float, ...] = ()
"""Stands for bounds that grow with the context length: 1, 2, 5, 10 … up to it."""


def token_bounds(max_model_len: int) -> tuple[float, ...]:
    """Return 1, 2, 5, 10, 20, 50 … as far as the context length."""
    bounds = (float(digit * 10**exponent) for exponent in range(len(str(max_model_len))) for digit in (1, 2, 5))
    return tuple(bound for bound in bounds if bound <= max_model_len)


def _by(label: str, *values: str) -> tuple[Labels, ...]:
    return tuple(((label, value),) for value in values)


def _counter(name: str, text: str, series: tuple[Labels, ...] = ((),), *, has_engine: bool = True) -> Family:
    return Family(f"vllm:{name}_total", "counter", text, series, has_engine=has_engine)


def _gauge(name: str, text: str, series: tuple[Labels, ...] = ((),)) -> Family:
    return Family(f"vllm:{name}", "gauge", text, series)


def _histogram(name: str, text: str, bounds: tuple[float, ...]) -> Family:
    return Family(f"vllm:{name}", "histogram", text, bounds=bounds)


FAMILIES = (
    _counter("estimated_flops_per_gpu", "Estimated number of floating point operations per GPU."),
    _counter("estimated_read_bytes_per_gpu", "Estimated number of bytes read from memory per GPU."),
    _counter("estimated_write_bytes_per_gpu", "Estimated number of bytes written to memory per GPU."),
    _gauge("num_requests_running", "Number of requests in model execution batches."),
    _gauge("num_requests_waiting", "Number of requests waiting to be processed."),
    _gauge("num_requests_waiting_by_reason", "Number of waiting requests by reason.", _by("reason", "capacity", "deferred")),
    _gauge("engine_sleep_state", "Engine sleep state.", _by("sleep_state", "awake", "weights_offloaded", "discard_all")),
    _gauge("kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage."),
    _counter("prefix_cache_queries", "Prefix cache queries, in terms of number of queried tokens."),
    _counter("prefix_cache_hits", "Prefix cache hits, in terms of number of cached tokens."),
    _counter("external_prefix_cache_queries", "External prefix cache queries, in terms of number of queried tokens."),
    _counter("external_prefix_cache_hits", "External prefix cache hits, in terms of number of cached tokens."),
    _counter("mm_cache_queries", "Multi-modal cache queries, in terms of number of queried items."),
    _counter("mm_cache_hits", "Multi-modal cache hits, in terms of number of cached items."),
    _counter("num_preemptions", "Cumulative number of preemption from the engine."),
    _counter("prompt_tokens", "Number of prefill tokens processed."),
    _counter(
        "prompt_tokens_by_source",
        "Number of prompt tokens by source.",
        _by("source", "local_compute", "local_cache_hit", "external_kv_transfer"),
    ),
    _counter("prompt_tokens_cached", "Number of cached prompt tokens (local + external)."),
    _counter(
        "prompt_tokens_cached_by_source",
        "Prefix-cache hit tokens by the cache tier that supplied them.",
        _by("source", "device", "host", "disk", "p2p", "external_unspecified"),
    ),
    _counter("generation_tokens", "Number of generation tokens processed."),
    _counter(
        "request_success",
        "Count of successfully processed requests.",
        _by("finished_reason", "stop", "length", "abort", "error", "repetition"),
    ),
    _counter(
        "admission_rejections",
        "Number of admission attempts rejected by a queue limit, by reason.",
        _by("reason", "max_num_queued_reqs", "max_num_queued_tokens"),
        has_engine=False,
    ),
    _histogram("request_prompt_tokens", "Number of prefill tokens processed.", TOKENS),
    _histogram("request_generation_tokens", "Number of generation tokens processed.", TOKENS),
    _histogram("iteration_tokens_total", "Histogram of number of tokens per engine_step.", _POWERS),
    _histogram("request_max_num_generation_tokens", "Histogram of maximum number of requested generation tokens.", TOKENS),
    _histogram("request_params_n", "Histogram of the n request parameter.", (1.0, 2.0, 5.0, 10.0, 20.0)),
    _histogram("request_params_max_tokens", "Histogram of the max_tokens request parameter.", TOKENS),
    _histogram("time_to_first_token_seconds", "Histogram of time to first token in seconds.", _TTFT_SECONDS),
    _histogram("inter_token_latency_seconds", "Histogram of inter-token latency in seconds.", _TOKEN_SECONDS),
    _histogram("request_time_per_output_token_seconds", "Histogram of time_per_output_token_seconds per request.", _TOKEN_SECONDS),
    _histogram("e2e_request_latency_seconds", "Histogram of e2e request latency in seconds.", _SECONDS),
    _histogram("request_queue_time_seconds", "Histogram of time spent in WAITING phase for request.", _SECONDS),
    _histogram("request_inference_time_seconds", "Histogram of time spent in RUNNING phase for request.", _SECONDS),
    _histogram("request_prefill_time_seconds", "Histogram of time spent in PREFILL phase for request.", _SECONDS),
    _histogram("request_decode_time_seconds", "Histogram of time spent in DECODE phase for request.", _SECONDS),
    _histogram(
        "request_num_preemptions", "Histogram of the number of times a request was preempted.", (1.0, 2.0, 3.0, 4.0, 5.0, 10.0, 20.0)
    ),
    _histogram("request_prefill_kv_computed_tokens", "Histogram of new KV tokens computed during prefill.", TOKENS),
)

BY_NAME: Mapping[str, Family] = {family.name: family for family in FAMILIES}
