"""What one turn of the event loop wants to send, sent together at its end.

A write wakes whoever reads at the other end, which costs more than all the rest of it when he sleeps on another core. Sent one behind the
other, most find their reader awake; and what goes to the same reader in one turn is one write.
"""

import asyncio
from collections.abc import Callable
from weakref import WeakKeyDictionary

AT_ONCE = 16
"""As many wait at most, so that the first is not late because the turn is long."""

ALONE = 4
DIRECT = 64
"""Who is alone gains nothing by waiting: after a few turns with one each, so many go at once before it is tried again."""

_of_loops: "WeakKeyDictionary[asyncio.AbstractEventLoop, Outbox]" = WeakKeyDictionary()


class Outbox:
    """Calls back at the end of the turn."""

    __slots__ = ("_alone", "_direct", "_loop", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: list[Callable[[], None]] = []
        self._alone = 0
        self._direct = 0

    @staticmethod
    def of(loop: asyncio.AbstractEventLoop) -> "Outbox":
        """Return the one of a loop."""
        outbox = _of_loops.get(loop)
        if outbox is None:
            outbox = _of_loops[loop] = Outbox(loop)
        return outbox

    def add(self, send: Callable[[], None]) -> None:
        """Have this called soon, perhaps at once; it must not raise."""
        if self._direct:
            self._direct -= 1
            send()
            return
        waiting = self._waiting
        if not waiting:
            self._loop.call_soon(self._send)
        waiting.append(send)
        if len(waiting) >= AT_ONCE:
            self._send()

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._alone = self._alone + 1 if len(waiting) == 1 else 0
        if self._alone >= ALONE:
            self._direct = DIRECT
        for send in waiting:
            send()
