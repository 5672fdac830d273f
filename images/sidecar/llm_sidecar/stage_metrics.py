"""Figures of the stages. Every child is bound at the start: their labels are few and known."""

import logging
from typing import Literal

from prometheus_client import CollectorRegistry

from llm_sidecar.counted import Counter, Histogram
from llm_sidecar.pipeline import STAGES

Action = Literal["pass", "refuse", "bypass"]
"""What followed from a verdict."""

_log = logging.getLogger(__name__)
_DURATION = (0.00001, 0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.005, 0.02, 0.1, 0.5, 2.5)
_VERDICTS = {"allow": ("pass",), "tag": ("pass",), "modify": ("pass",), "block": ("refuse", "bypass")}
_REASONS = ("blocked", "error", "garbage", "timeout")


class StageMetrics:
    """What stages took, what they thought, and when they were passed by."""

    def __init__(self, registry: CollectorRegistry) -> None:
        duration = Histogram(
            "llm_sidecar_stage_duration_seconds",
            "Time a stage took for one request, or for one text of a stream.",
            ("stage",),
            buckets=_DURATION,
            registry=registry,
        )
        verdict = Counter(
            "llm_sidecar_stage_verdict",
            "Verdicts of stages on texts, and what followed: pass, refuse, or bypass where the policy is Open.",
            ("stage", "verdict", "action"),
            registry=registry,
        )
        bypass = Counter(
            "llm_sidecar_stage_bypass", "Times a request went on without a stage, by why.", ("stage", "reason"), registry=registry
        )
        self._duration = {stage: duration.labels(stage) for stage in STAGES}
        self._verdict = {
            (stage, name, action): verdict.labels(stage, name, action)
            for stage in STAGES
            for name, actions in _VERDICTS.items()
            for action in actions
        }
        self._allowed = {stage: (self._duration[stage], self._verdict[stage, "allow", "pass"]) for stage in STAGES}
        self._bypass = {(stage, reason): bypass.labels(stage, reason) for stage in STAGES for reason in _REASONS}
        self._said: set[tuple[str, str]] = set()

    def took(self, stage: str, seconds: float) -> None:
        """Note how long a stage took."""
        self._duration[stage].observe(seconds)

    def allowed(self, stage: str, seconds: float, count: int) -> None:
        """Note how long a stage took that has found nothing, and count its verdicts."""
        duration, verdict = self._allowed[stage]
        duration.observe(seconds)
        verdict.inc(count)

    def judged(self, stage: str, verdict: str, action: Action) -> None:
        """Count a verdict and what followed."""
        self._verdict[stage, verdict, action].inc()

    def bypassed(self, stage: str, reason: str) -> None:
        """Count a request that went on without a stage."""
        self._bypass[stage, reason].inc()

    def broke(self, stage: str, error: Exception) -> None:
        """Log what a stage failed with, once for each kind of failure."""
        kind = stage, type(error).__name__
        if kind not in self._said:
            self._said.add(kind)
            _log.error("stage %s failed; further failures of this kind are only counted", stage, exc_info=error)
