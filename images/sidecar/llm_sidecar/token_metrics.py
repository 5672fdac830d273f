"""Tokens under OpenTelemetry's names for generative AI, which are in development: the usual ones, or the latest where that is asked for.

The other ``gen_ai_server_*`` figures are called the same in both.
"""

from typing import Literal, Protocol

from prometheus_client import CollectorRegistry

from llm_sidecar.counted import Counter, Histogram

OPT_IN = "gen_ai_latest_experimental"
"""What OTEL_SEMCONV_STABILITY_OPT_IN has to name for the latest names."""

Kind = Literal["input", "output"]
_KINDS: tuple[Kind, ...] = ("input", "output")
_BUCKETS = tuple(4**power for power in range(14))


class Tokens(Protocol):
    """Tokens of one kind, of one operation at one revision."""

    def observe(self, amount: float) -> None:
        """Count the tokens of a request."""


class TokenMetrics:
    """Makes the figures of tokens, and binds them to labels."""

    def __init__(self, labels: tuple[str, ...], registry: CollectorRegistry, *, latest: bool) -> None:
        self._usage: Histogram | None = None
        self._sums: dict[Kind, Counter] = {}
        self._per_request: dict[Kind, Histogram] = {}
        if not latest:
            names = (*labels, "gen_ai_token_type")
            self._usage = Histogram("gen_ai_client_token_usage", "Tokens per request.", names, buckets=_BUCKETS, registry=registry)
            return
        for kind in _KINDS:
            name, words = f"gen_ai_client_inference_usage_{kind}_tokens", f"Tokens of all requests, {kind}."
            self._sums[kind] = Counter(name, words, labels, registry=registry)
            name, words = f"gen_ai_client_inference_operation_{kind}_tokens", f"Tokens per request, {kind}."
            self._per_request[kind] = Histogram(name, words, labels, buckets=_BUCKETS, registry=registry)

    @property
    def families(self) -> tuple[Counter | Histogram, ...]:
        """Return all there are."""
        return (self._usage,) if self._usage is not None else (*self._sums.values(), *self._per_request.values())

    def bind(self, values: tuple[str, ...], kind: Kind) -> Tokens:
        """Return what counts the tokens of one kind."""
        if self._usage is not None:
            return self._usage.labels(*values, kind)
        return _Both(self._sums[kind].labels(*values), self._per_request[kind].labels(*values))


class _Both:
    __slots__ = ("_per_request", "_sum")

    def __init__(self, total: Counter, per_request: Histogram) -> None:
        self._sum = total
        self._per_request = per_request

    def observe(self, amount: float) -> None:
        self._sum.inc(amount)
        self._per_request.observe(amount)
