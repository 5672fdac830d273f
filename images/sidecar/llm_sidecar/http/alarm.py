"""A timer for what is set with every request and hardly ever goes off: setting it later costs a comparison, not a new timer."""

import asyncio
from collections.abc import Callable

_NEVER = float("inf")


class Alarm:
    """Calls back once, at the time it was last set to."""

    __slots__ = ("_armed_for", "_at", "_call", "_handle", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._at = self._armed_for = _NEVER
        self._call: Callable[[], object] | None = None
        self._handle: asyncio.TimerHandle | None = None

    def set(self, at: float, call: Callable[[], object]) -> None:
        """Call at this time of the loop instead of at any earlier set one."""
        self._at, self._call = at, call
        if at < self._armed_for:
            self._arm(at)

    def clear(self) -> None:
        """Don't call. The timer runs on: the next time that is set is most likely later."""
        self._at, self._call = _NEVER, None

    def close(self) -> None:
        """Stop the timer for good."""
        self.clear()
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _arm(self, at: float) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._armed_for = at
        self._handle = self._loop.call_at(at, self._ring)

    def _ring(self) -> None:
        self._handle, self._armed_for = None, _NEVER
        call, at = self._call, self._at
        if call is None:
            return
        if at > self._loop.time():
            self._arm(at)
            return
        self.clear()
        call()
