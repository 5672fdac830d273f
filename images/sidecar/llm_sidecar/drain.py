"""Leaving without losing a request: readiness off, accept for a while, then close the door and wait for what is inside."""

import asyncio
import enum
import logging
from collections.abc import Callable

_log = logging.getLogger(__name__)


class Phase(enum.Enum):
    """How far the drain is."""

    SERVING = "serving"
    LEAVING = "leaving"  # unready, still accepting: endpoints take time to leave everywhere
    CLOSED = "closed"  # new requests are refused
    DONE = "done"


class Drain:
    """One drain per process, however often and by whomever it is asked for."""

    def __init__(self, inflight: Callable[[], int], minimum_s: float, max_stream_s: float) -> None:
        self._inflight = inflight
        self._minimum_s = minimum_s
        self._max_stream_s = max_stream_s
        self._task: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self.phase = Phase.SERVING

    @property
    def draining(self) -> bool:
        """Return whether leaving has begun."""
        return self.phase is not Phase.SERVING

    @property
    def closed(self) -> bool:
        """Return whether new requests are refused."""
        return self.phase is Phase.CLOSED or self.phase is Phase.DONE

    async def run(self) -> None:
        """Drain, or wait for the drain that runs; a caller that goes away does not stop it."""
        if self._task is None:
            self.phase = Phase.LEAVING
            self._task = asyncio.create_task(self._run())
        await asyncio.shield(self._task)

    def finished_one(self) -> None:
        """Note that a request ended."""
        self._changed.set()

    async def _run(self) -> None:
        _log.info("draining inflight=%d minimum=%gs", self._inflight(), self._minimum_s)
        await asyncio.sleep(self._minimum_s)
        self.phase = Phase.CLOSED
        try:
            async with asyncio.timeout(self._max_stream_s):
                while self._inflight():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            _log.warning("drain ends with requests still open inflight=%d after=%gs", self._inflight(), self._max_stream_s)
        self.phase = Phase.DONE
        _log.info("drained inflight=%d", self._inflight())
