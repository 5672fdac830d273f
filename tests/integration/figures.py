"""What a pretended pod tells on /metrics: the figures of a real sidecar and of the stub engine, moved by a load that a test sets."""

import time
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from llm_operator.core import names
from llm_sidecar.metrics import Metrics as SidecarMetrics
from tests.fakes.stub_engine.metrics import Metrics as EngineMetrics

_STEP_TOKENS = 2048
"""What it reads in a step: of more than that in so few steps nothing would be believed."""


@dataclass
class Figures:
    """The figures of one pod: it reads so many tokens of prompts as have come since it was last asked."""

    pod: dict[str, Any]
    at: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        labels = self.pod["metadata"]["labels"]
        deployment, engine = labels[names.LABEL_DEPLOYMENT], labels[names.LABEL_ENGINE]
        self._engine = EngineMetrics(deployment, 2048, block_size=16, kv_tokens=32_000)
        self._sidecar = SidecarMetrics(deployment, engine, "vllm", deployment)
        self._sidecar.programmed("any", 1, ["any"])

    def told(self, tokens_per_s: float) -> bytes:
        """Return the figures now, after a load that has been the same since they were last told."""
        now = time.monotonic()
        tokens = tokens_per_s * (now - self.at)
        self._engine.add("prompt_tokens", tokens)
        self._engine.observe("iteration_tokens_total", 1, ceil(tokens / _STEP_TOKENS) + 1)
        self._engine.set("num_requests_running", 1)
        self.at = now
        return self._sidecar.expose() + self._engine.render().encode()
