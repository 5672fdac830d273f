"""Admission: at most so many requests at the engine, a short first-come first-served queue before it, and a quick no beyond."""

import asyncio
import contextlib
import math
from collections import deque

from llm_sidecar.bundle import Limits
from llm_sidecar.errors import Refusal


class Admission:
    """Slots for running requests. ``limits`` may change at any time; who already runs is never interrupted."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.running = 0

    @property
    def queued(self) -> int:
        """Return how many requests wait for a slot."""
        return len(self._waiting)

    @property
    def slots(self) -> int:
        """Return how many requests may run at once."""
        return self._limits.max_concurrency

    @property
    def is_full(self) -> bool:
        """Return whether a request would have to wait."""
        return self.running >= self._limits.max_concurrency or bool(self._waiting)

    def get_load(self) -> float:
        """Return how many requests there are, for each slot."""
        return (self.running + len(self._waiting)) / self._limits.max_concurrency

    def get_load_of_others(self) -> float:
        """Return the load without a request that has a slot and asks for it."""
        return self.get_load() - 1 / self._limits.max_concurrency

    def set_limits(self, limits: Limits) -> None:
        """Apply new limits: more slots let waiting requests in at once."""
        self._limits = limits
        self._admit()

    def take(self) -> bool:
        """Take a slot if one is free and nobody waits for it."""
        if self.running < self._limits.max_concurrency and not self._waiting:
            self.running += 1
            return True
        return False

    async def acquire(self, *, may_wait: bool = True) -> None:
        """Take a slot, waiting in line if need be; raise Refusal 429 when the line is full or the wait runs out."""
        if self.take():
            return
        if len(self._waiting) >= self._limits.queue or not may_wait:
            raise self._refusal(
                "queue_full", f"all {self._limits.max_concurrency} slots and {self._limits.queue} places in the queue are taken"
            )
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(self._limits.queue_timeout_ms / 1000):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():  # the slot came in the very moment we gave up: pass it on
                self.release()
            else:
                with contextlib.suppress(ValueError):  # a cancelled turn may have been taken off the line already
                    self._waiting.remove(turn)
            if isinstance(error, TimeoutError):
                raise self._refusal("queue_timeout", f"no slot became free within {self._limits.queue_timeout_ms} ms") from None
            raise

    def release(self) -> None:
        """Give a slot back."""
        self.running -= 1
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self.running < self._limits.max_concurrency:
            turn = self._waiting.popleft()
            if not turn.done():
                self.running += 1
                turn.set_result(None)

    def _refusal(self, code: str, message: str) -> Refusal:
        return Refusal(429, code, message, retry_after_s=max(1, math.ceil(self._limits.queue_timeout_ms / 1000)))
