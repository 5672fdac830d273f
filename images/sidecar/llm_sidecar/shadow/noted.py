"""A request whose answer is noted on its way to the client. Only those of which a copy may be sent are one of these."""

import time
from collections.abc import Callable

from llm_sidecar.http.cycle import Cycle, Header
from llm_sidecar.http.exchange import Exchange
from llm_sidecar.live import Live

PART_BYTES_MAX = 256 * 1024
"""The largest request, and the largest answer, of which there are pairs."""


class Noted(Exchange):
    """Calls ``finished`` at its end. ``answered`` has the answer by then, if that was complete and not too large."""

    __slots__ = ("_finished", "_pieces", "_size", "answer_type", "answered", "is_too_large", "seconds", "status")

    def __init__(self, cycle: Cycle, live: Live, finished: Callable[["Noted"], None]) -> None:
        super().__init__(cycle, live)
        self._finished = finished
        self._pieces: list[bytes] = []
        self._size = 0
        self.is_too_large = False
        self.answered: bytes | None = None
        self.answer_type = b""
        self.status = 0
        self.seconds = 0.0

    async def begin(self, status: int, content_type: bytes, length: int | None, extra: tuple[Header, ...] = ()) -> None:
        """Send status and headers."""
        await super().begin(status, content_type, length, extra)
        self.status, self.answer_type = status, content_type

    async def write(self, data: bytes, *, more: bool) -> None:
        """Send a piece of the body."""
        await super().write(data, more=more)
        self._note(data, last=not more)

    async def answer(self, status: int, body: bytes, content_type: bytes = b"application/json", extra: tuple[Header, ...] = ()) -> None:
        """Send a whole answer."""
        await super().answer(status, body, content_type, extra)
        self.status, self.answer_type = status, content_type
        self._note(body, last=True)

    def finish(self) -> None:
        """Let go of timer and client, and tell of it."""
        super().finish()
        self._finished(self)

    def _note(self, data: bytes, *, last: bool) -> None:
        self._size += len(data)
        if self._size > PART_BYTES_MAX:
            self.is_too_large = True
            self._pieces.clear()
            return
        self._pieces.append(data)
        if last:
            self.answered, self.seconds = b"".join(self._pieces), time.perf_counter() - self.started_at
            self._pieces.clear()
