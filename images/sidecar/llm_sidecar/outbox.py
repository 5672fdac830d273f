"""What one turn of the event loop wants to send, sent together at its end.

A write wakes whoever reads at the other end, which costs more than all the rest of it when he sleeps on another core. Sent one behind the
other, most find their reader awake; and what goes to the same reader in one turn is one write.
"""

import asyncio
from collections.abc import Callable
from weakref import WeakKeyDictionary

AT_ONCE = 16
"""As many wait at most, so that the first is not late because the turn is long."""

_of_loops: "WeakKeyDictionary[asyncio.AbstractEventLoop, Outbox]" = WeakKeyDictionary()


class Outbox:
    """Calls back at the end of the turn."""

    __slots__ = ("_loop", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: list[Callable[[], None]] = []

    @staticmethod
    def of(loop: asyncio.AbstractEventLoop) -> "Outbox":
        """Return the one of a loop."""
        outbox = _of_loops.get(loop)
        if outbox is None:
            outbox = _of_loops[loop] = Outbox(loop)
        return outbox

    def add(self, send: Callable[[], None]) -> None:
        """Have this called soon; it must not raise."""
        waiting = self._waiting
        if not waiting:
            self._loop.call_soon(self._send)
        waiting.append(send)
        if len(waiting) >= AT_ONCE:
            self._send()

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, []
        for send in waiting:
            send()
