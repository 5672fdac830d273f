"""The operator's own figures, in a registry of their own so that two operators in one process do not meet."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """What the operator counts about itself."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._reconciles = Histogram(
            "llm_operator_reconcile_seconds",
            "Time of one look at one custom resource.",
            ["kind", "result"],
            registry=self._registry,
            buckets=_BUCKETS,
        )
        self._writes = Counter(
            "llm_operator_writes", "Writes to the API server that went through.", ["kind", "verb"], registry=self._registry
        )
        self._fenced = Counter(
            "llm_operator_fenced_writes", "Writes that were held back because another process may lead.", registry=self._registry
        )
        self._leader = Gauge("llm_operator_leader", "1 while this process leads and may write, else 0.", registry=self._registry)
        self._depth = Gauge("llm_operator_queue_depth", "Custom resources that are due now or later.", registry=self._registry)
        self._watch_age = Gauge("llm_operator_watch_age_seconds", "Time since the watch last delivered anything.", registry=self._registry)

    def reconciled(self, kind: str, result: str, seconds: float) -> None:
        """Count one look at a custom resource; ``result`` is how it ended, in one word."""
        self._reconciles.labels(kind, result).observe(seconds)

    def wrote(self, kind: str, verb: str) -> None:
        """Count one write."""
        self._writes.labels(kind, verb).inc()

    def fenced(self) -> None:
        """Count a write that was held back."""
        self._fenced.inc()

    def lead(self, leads: Callable[[], bool]) -> None:
        """Take whether this process leads, which is asked for when it is read."""
        self._leader.set_function(lambda: float(leads()))

    def watch(self, depth: Callable[[], float], watch_age: Callable[[], float]) -> None:
        """Take figures that are asked for when they are read."""
        self._depth.set_function(depth)
        self._watch_age.set_function(watch_age)

    def text(self) -> bytes:
        """Return all figures in the Prometheus text format."""
        return generate_latest(self._registry)
