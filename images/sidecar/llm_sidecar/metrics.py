"""Figures of the sidecar, all names in one place. Children are bound once per revision and operation, not per request."""

from collections.abc import Sequence
from dataclasses import dataclass

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector, generate_latest

from llm_sidecar.counted import Histogram
from llm_sidecar.key_metrics import KeyMetrics
from llm_sidecar.stage_metrics import StageMetrics
from llm_sidecar.statistics import Statistics
from llm_sidecar.token_metrics import TokenMetrics, Tokens

prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # the one untyped function of that package

_DURATION = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_FIRST_TOKEN = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
_PER_TOKEN = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5)
_OVERHEAD = (0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5)
_HOLD = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 900)
_GEN_AI = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "llm_revision")
_KEPT_REVISIONS = 6


@dataclass(frozen=True, slots=True)
class Bound:
    """The children of one operation at one revision."""

    duration: Histogram
    time_to_first_token: Histogram
    time_per_output_token: Histogram
    input_tokens: Tokens
    output_tokens: Tokens


class Metrics:
    """All figures of one sidecar, in a registry of their own."""

    def __init__(self, deployment: str, engine: str, provider: str, model: str, *, latest_names: bool = False) -> None:
        registry = CollectorRegistry()
        self._registry = registry
        self._identity = (provider, model)
        self._bound: dict[tuple[str, str], Bound] = {}
        self._revisions: dict[str, None] = {}
        ProcessCollector(namespace="llm_sidecar", registry=registry)
        self._duration = Histogram(
            "gen_ai_server_request_duration_seconds",
            "Time from a request's first byte to its answer's last.",
            (*_GEN_AI, "error_type"),
            buckets=_DURATION,
            registry=registry,
        )
        self._first_token = Histogram(
            "gen_ai_server_time_to_first_token_seconds",
            "Time from a streaming request's first byte to the first event of its answer.",
            _GEN_AI,
            buckets=_FIRST_TOKEN,
            registry=registry,
        )
        self._per_token = Histogram(
            "gen_ai_server_time_per_output_token_seconds",
            "Time per output token of a stream after its first event.",
            _GEN_AI,
            buckets=_PER_TOKEN,
            registry=registry,
        )
        self._tokens = TokenMetrics(_GEN_AI, registry, latest=latest_names)
        self.overhead = Histogram(
            "llm_sidecar_overhead_seconds",
            "Time a request spent in the sidecar: neither queued nor waiting for the engine.",
            buckets=_OVERHEAD,
            registry=registry,
        )
        self.inflight = Gauge("llm_sidecar_inflight", "Requests accepted and not yet answered to the end.", registry=registry)
        self.tasks = Gauge(
            "llm_sidecar_tasks", "Tasks of the event loop: one for each request, and a few that are always there.", registry=registry
        )
        self.queue_depth = Gauge("llm_sidecar_queue_depth", "Requests waiting for a slot.", registry=registry)
        self.shed = Counter("llm_sidecar_shed", "Requests refused to protect the engine.", ("reason",), registry=registry)
        self.held = Gauge("llm_sidecar_held", "Requests waiting because no engine can be reached.", registry=registry)
        self.body_bytes = Gauge("llm_sidecar_body_bytes", "Bytes of the bodies of requests that are being served.", registry=registry)
        self.body_bytes_max = Gauge("llm_sidecar_body_bytes_max", "Bytes of bodies that may be served at once.", registry=registry)
        self.hold_seconds = Histogram(
            "llm_sidecar_hold_seconds", "Time requests waited for an engine that could be reached.", buckets=_HOLD, registry=registry
        )
        self.unserved = Counter(
            "llm_sidecar_unserved",
            "Attempts to serve a request that came to nothing, by the revision the request was assigned to.",
            ("llm_revision", "reason"),
            registry=registry,
        )
        self.fallbacks = Counter(
            "llm_sidecar_fallbacks",
            "Requests served by another revision than the one they were assigned to.",
            ("llm_revision", "served_by"),
            registry=registry,
        )
        self.hand_offs = Counter(
            "llm_sidecar_hand_offs",
            "Requests a full pod offered to another one of its engine: served there, or returned because that was full too.",
            ("outcome",),
            registry=registry,
        )
        self.copies = Counter(
            "llm_sidecar_shadow_copies",
            "Copies of requests for a revision that is tried: answered, refused or failed there, or dropped here.",
            ("outcome",),
            registry=registry,
        )
        self.unknown_keys = Counter("llm_sidecar_generate_unknown_keys", "Unknown keys dropped from classic requests.", registry=registry)
        self.stream_errors = Counter(
            "llm_sidecar_stream_errors", "Streams that began and did not end well.", ("reason",), registry=registry
        )
        self.engine_ready = Gauge("llm_sidecar_engine_ready", "1 while the engine answers.", registry=registry)
        self.engine_scrape_success = Gauge(
            "llm_sidecar_engine_scrape_success", "1 when the engine's own figures are included.", registry=registry
        )
        self.config_reload_success = Gauge(
            "llm_sidecar_config_reload_success", "0 when the newest snapshot could not be used.", registry=registry
        )
        self._config_info = Gauge(
            "llm_sidecar_config_info",
            "What this sidecar runs.",
            ("deployment", "engine", "revision", "generation"),
            registry=registry,
        )
        self.stages = StageMetrics(registry)
        self.keys = KeyMetrics(registry)
        self.statistics = Statistics(deployment)
        self._place = (deployment, engine)

    def bind(self, operation: str, revision: str) -> Bound:
        """Return the children of an operation at a revision."""
        bound = self._bound.get((operation, revision))
        if bound is None:
            labels = (operation, *self._identity, revision)
            bound = Bound(
                duration=self._duration.labels(*labels, ""),
                time_to_first_token=self._first_token.labels(*labels),
                time_per_output_token=self._per_token.labels(*labels),
                input_tokens=self._tokens.bind(labels, "input"),
                output_tokens=self._tokens.bind(labels, "output"),
            )
            self._bound[operation, revision] = bound
        return bound

    def failed(self, operation: str, revision: str, error: str, duration_s: float) -> None:
        """Count a request that ended with an error."""
        self._duration.labels(operation, *self._identity, revision, error).observe(duration_s)

    def programmed(self, revision: str, generation: int, live: Sequence[str], assignment: str = "") -> None:
        """Say what runs from now on and how units are assigned, and forget the figures of revisions long gone."""
        self.statistics.assign(assignment)
        self._config_info.clear()
        self._config_info.labels(*self._place, revision, str(generation)).set(1)
        for each in live:
            self._revisions.pop(each, None)
            self._revisions[each] = None
        while len(self._revisions) > max(_KEPT_REVISIONS, len(live)):
            self._forget(next(iter(self._revisions)))

    def expose(self) -> bytes:
        """Return all figures in Prometheus' text form."""
        return generate_latest(self._registry)

    def _forget(self, revision: str) -> None:
        del self._revisions[revision]
        self.statistics.forget(revision)
        self._bound = {key: bound for key, bound in self._bound.items() if key[1] != revision}
        times = (self._duration, self._first_token, self._per_token)
        for family in (*times, *self._tokens.families, self.unserved, self.fallbacks):
            family.remove_by_labels({"llm_revision": revision})
