"""Pods to scale: their figures as real sidecars and the stub engine tell them, and readings made by hand."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from llm_operator.core.scaling.capacity import Capacity
from llm_operator.core.scaling.sample import Counters, Expected, Sample
from llm_sidecar.metrics import Metrics as SidecarMetrics
from tests.fakes.stub_engine.metrics import Metrics as EngineMetrics

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
EXPECTED = Expected("chat", "e1", "chat")
CAPACITY = Capacity(requests=20, prefill_tokens_per_s=10_000, prompt_tokens=1000, request_s=2, calibrated=True)
"""A pod that reads ten prompts a second."""


def at(seconds: float) -> datetime:
    return BEGAN + timedelta(seconds=seconds)


def told(running: int = 3, waiting: int = 2, queued: int = 4, held: int = 1) -> bytes:
    """Return the figures of a pod that has answered one request of 100 tokens, 30 of them cached, with 11 tokens."""
    sidecar = SidecarMetrics("chat", "e1", "vllm", "chat")
    sidecar.programmed("r1", 7, ["r1"])
    sidecar.queue_depth.set(queued)
    sidecar.held.set(held)
    engine = EngineMetrics("chat", 2048, block_size=16, kv_tokens=32_000)
    engine.set("num_requests_running", running)
    engine.set("num_requests_waiting", waiting)
    engine.add("prompt_tokens", 100)
    engine.add("prompt_tokens_cached", 30)
    engine.add("generation_tokens", 11)
    engine.observe("iteration_tokens_total", 1, 11)
    engine.observe("inter_token_latency_seconds", 0.02, 10)
    engine.observe("request_prompt_tokens", 100)
    engine.observe("request_generation_tokens", 11)
    return sidecar.expose() + engine.render().encode()


NOTHING = Counters(*[0.0] * 9)


def reading(seconds: float, pod: int = 0, *, running: float = 0, waiting: float = 0, prefilled: float = 0, **counted: float) -> Sample:
    """Return a reading of a pod, so many seconds after all began."""
    counters = NOTHING._replace(prefill_tokens=prefilled, **counted)
    return Sample(at(seconds), running, waiting, 100_000, counters, (float(pod), 0.0))


def refusing(seconds: float, refused: float, pod: int = 0, *, running: float = 64) -> Sample:
    """Return a reading of a pod that has refused so many requests because all its places were taken."""
    return replace(reading(seconds, pod, running=running, generated_tokens=seconds), refused=refused)


def asked(seconds: float, pod: int = 0, *, open: float | None = 0, answered: float = 0) -> Sample:  # noqa: A002 - named as in a reading
    """Return a reading of how many requests a pod has and has answered."""
    return replace(reading(seconds, pod), open=open, answered=answered)
