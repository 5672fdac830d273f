"""What one key may use at this sidecar: its limits by the number of sidecars that serve, counted here and nowhere else.

Sidecars don't talk about keys, so each gives out its own share. Together they never give out more than the limit, or one each where the
limit is smaller than their number; ``docs/how-to/api-keys.md`` says how far that is from exact.
"""

import time
from typing import Literal

from llm_sidecar.auth.keys import Limits
from llm_sidecar.auth.window import Window
from llm_sidecar.errors import Refusal

Limit = Literal["requestsPerMinute", "tokensPerMinute", "concurrency"]
_WORDS: dict[Limit, str] = {
    "requestsPerMinute": "requests a minute",
    "tokensPerMinute": "tokens a minute",
    "concurrency": "requests at the same time",
}


class Quota:
    """What a key has used of its limits. They may change at any time; what was used stays used."""

    __slots__ = ("_requests", "_tokens", "limits", "running")

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.running = 0
        self._requests = Window()
        self._tokens = Window()

    def begin(self, sharers: int, now: float | None = None) -> float:
        """Count a request in and return when that was, or raise OverLimitError."""
        now = time.monotonic() if now is None else now
        limits = self.limits
        if limits.concurrency is not None and self.running >= max(1, limits.concurrency // sharers):
            raise OverLimitError("concurrency", limits.concurrency, sharers, 1)
        most = limits.requests_per_minute
        if most is not None and (wait_s := self._requests.wait_s(now, max(1, most // sharers) - 1)):
            raise OverLimitError("requestsPerMinute", most, sharers, wait_s)
        most = limits.tokens_per_minute
        if most is not None and (wait_s := self._tokens.wait_s(now, max(1, most // sharers) - 1)):
            raise OverLimitError("tokensPerMinute", most, sharers, wait_s)
        self.running += 1
        if limits.requests_per_minute is not None:
            self._requests.add(now, 1)
        return now

    def end(self, tokens: int, now: float | None = None) -> None:
        """Count a request out, and what it has cost."""
        self.running -= 1
        if tokens and self.limits.tokens_per_minute is not None:
            self._tokens.add(time.monotonic() if now is None else now, tokens)

    def undo(self, began: float) -> None:
        """Count a request out that no engine has begun: another sidecar may serve it, and counts it then."""
        self.running -= 1
        if self.limits.requests_per_minute is not None:
            self._requests.take_back(began, 1)


class OverLimitError(Refusal):
    """A key has used up one of its limits."""

    def __init__(self, limit: Limit, most: int, sharers: int, wait_s: int) -> None:
        share = "" if sharers == 1 else f", of which each of {sharers} servers gives out its part"
        super().__init__(429, "key_limit_exceeded", f"this key's limit is {most} {_WORDS[limit]}{share}", param=limit, retry_after_s=wait_s)
        self.limit = limit
