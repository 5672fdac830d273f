"""Figures of API keys, by their ids: a file of keys has a bounded number of them."""

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Gauge

from llm_sidecar.counted import Counter


@dataclass(frozen=True, slots=True)
class BoundKey:
    """The children of one key."""

    requests: Counter
    input_tokens: Counter
    output_tokens: Counter


class KeyMetrics:
    """Who was let in, what they used, and who was not."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.unauthenticated = Counter(
            "llm_sidecar_unauthenticated", "Requests that were not let in, by the code of the refusal.", ("reason",), registry=registry
        )
        self.limited = Counter(
            "llm_sidecar_key_limited", "Requests refused because their key had used up a limit.", ("llm_key", "limit"), registry=registry
        )
        self.usable = Gauge("llm_sidecar_keys_usable", "1 while there is a list of keys that can be used.", registry=registry)
        self._requests = Counter("llm_sidecar_key_requests", "Requests served here, by key.", ("llm_key",), registry=registry)
        self._tokens = Counter(
            "llm_sidecar_key_tokens", "Tokens of requests served here, by key.", ("llm_key", "gen_ai_token_type"), registry=registry
        )
        self._bound: dict[str, BoundKey] = {}

    def bind(self, key: str) -> BoundKey:
        """Return the children of a key."""
        bound = self._bound.get(key)
        if bound is None:
            tokens = (self._tokens.labels(key, kind) for kind in ("input", "output"))
            bound = self._bound[key] = BoundKey(self._requests.labels(key), *tokens)
        return bound

    def forget(self, key: str) -> None:
        """Drop the figures of a key that is gone."""
        self._bound.pop(key, None)
        for family in (self.limited, self._requests, self._tokens):
            family.remove_by_labels({"llm_key": key})
