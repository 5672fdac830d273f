"""One request and its answer on a connection: what has come of the body, and the bytes that go back."""

import asyncio
import http
from collections.abc import Callable, Sequence
from typing import Protocol

from llm_sidecar.errors import Refusal
from llm_sidecar.http.alarm import Alarm

HIGH_WATER = 64 * 1024
"""Bytes of a body that are held before reading pauses."""

Header = tuple[bytes, bytes]
Headers = tuple[bytes, int]
"""The lines of an answer's headers, and how many there are."""

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_WITHOUT_BODY = frozenset({204, 304})
_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in http.HTTPStatus}
_ALLOWED = bytes([9, *range(32, 127), *range(128, 256)])
_LINE_END = b"\r\n"


def lines(headers: Sequence[Header]) -> Headers:
    """Return headers as they are sent."""
    return b"".join([b"%b: %b\r\n" % header for header in headers]), len(headers)


class Link(Protocol):
    """What a cycle needs of its connection."""

    transport: asyncio.Transport
    address: tuple[str, int] | None
    deadline: Alarm
    blocked: bool

    @property
    def date(self) -> bytes:
        """Return the line with the date."""

    async def drain(self) -> None:
        """Wait until the client has read enough, or has gone."""

    def write(self, data: bytes) -> None:
        """Send bytes at the end of this turn of the loop."""

    def pause_reading(self) -> None:
        """Take nothing more from the client for now."""

    def resume_reading(self) -> None:
        """Go on."""

    def completed(self, cycle: "Cycle") -> None:
        """Note that the answer is complete."""


class Cycle:
    """A request as it comes in, and its answer as it goes out.

    ``gone`` is called when the client leaves before the answer is complete. ``refusal`` is set where the connection answers by itself.
    A client that does not read ``chunks`` gets a body of unknown length up to the end of the connection.
    """

    __slots__ = (
        "_chunked",
        "_chunks",
        "_continued",
        "_held",
        "_left",
        "_pieces",
        "_until_end",
        "_waiter",
        "body_complete",
        "complete",
        "disconnected",
        "gone",
        "headers",
        "keep_alive",
        "link",
        "method",
        "path",
        "refusal",
        "started",
        "task",
    )

    def __init__(
        self,
        link: Link,
        method: str,
        path: bytes,
        headers: list[Header],
        *,
        keep_alive: bool,
        chunks: bool = True,
        refusal: Refusal | None = None,
    ) -> None:
        self.link = link
        self.method = method
        self.path = path
        self.headers = headers
        self.keep_alive = keep_alive
        self._chunks = chunks
        self._continued = False
        self._pieces: list[bytes] = []
        self._held = 0
        self._waiter: asyncio.Future[None] | None = None
        self.body_complete = False
        self.refusal = refusal
        self.task: asyncio.Task[None] | None = None
        self.gone: Callable[[], object] | None = None
        self.disconnected = False
        self.started = False
        self.complete = False
        self._chunked = self._until_end = False
        self._left = 0

    # The request's body.

    def feed(self, piece: bytes) -> None:
        """Keep a piece of the body until somebody takes it."""
        self._pieces.append(piece)
        self._held += len(piece)
        if self.is_full:
            self.link.pause_reading()
        self._wake()

    @property
    def is_full(self) -> bool:
        """Return whether as much of the body is held as may be."""
        return self._held > HIGH_WATER

    def end_body(self) -> None:
        """Note that this was all of the body."""
        self.body_complete = True
        self._wake()

    def take(self) -> bytes:
        """Return what has come of the body since the last time."""
        pieces = self._pieces
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if pieces:
            self._pieces = []
            self._held = 0
            self.link.resume_reading()
        return data

    async def more(self) -> None:
        """Wait until more of the body has come, or its end, or the end of the connection."""
        if not self._continued and not self.started:
            self._continued = True
            if self._chunks and any(name == b"expect" and value.lower() == b"100-continue" for name, value in self.headers):
                self.link.write(_CONTINUE)
        while not (self._pieces or self.body_complete or self.disconnected):
            await self._wait()

    async def lost(self) -> None:
        """Wait until the client has gone."""
        while not self.disconnected:
            await self._wait()

    def disconnect(self) -> None:
        """Note that the client has gone."""
        self.disconnected = True
        self._wake()
        gone, self.gone = self.gone, None
        if gone is not None:
            gone()

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # The answer.

    def begin(self, status: int, headers: Headers, length: int | None) -> None:
        """Send status and headers; a body of unknown length goes in chunks, if the client reads them."""
        if not self.disconnected:
            self.link.write(self._head(status, headers, length))

    def write(self, data: bytes, *, more: bool) -> None:
        """Send a piece of the body."""
        if self.complete:
            raise RuntimeError("the answer is complete already")
        if self.disconnected:
            return
        if self._chunked:
            if data:
                data = b"%x\r\n%b\r\n" % (len(data), data) if more else b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data)
            elif not more:
                data = b"0\r\n\r\n"
        elif not self._until_end:
            self._left -= len(data)
            if self._left < 0 or (self._left and not more):
                raise RuntimeError("the body has another length than was announced")
        if data:
            self.link.write(data)
        if not more:
            self._complete()

    def answer(self, status: int, headers: Headers, body: bytes) -> None:
        """Send a whole answer."""
        if self.disconnected:
            return
        head = self._head(status, headers, len(body))
        if self._left > HIGH_WATER:
            self.link.write(head)
            self.link.write(body)
        else:
            self.link.write(head + body if self._left else head)
        self._left = 0
        self._complete()

    def _head(self, status: int, headers: Headers, length: int | None) -> bytes:
        if self.started:
            raise RuntimeError("the answer has begun already")
        self.started = True
        text, count = headers
        # Whatever a value came from, it must not become a header of its own.
        if text.translate(None, _ALLOWED) != _LINE_END * count:
            raise RuntimeError("a header of the answer has control characters")
        framing = b"" if self.keep_alive else b"connection: close\r\n"
        if status in _WITHOUT_BODY:
            length = 0
        elif length is not None:
            framing = b"%bcontent-length: %d\r\n" % (framing, length)
        elif self.method != "HEAD" and self._chunks:
            self._chunked = True
            framing += b"transfer-encoding: chunked\r\n"
        elif self.method != "HEAD":
            self._until_end = True
        self._left = 0 if self.method == "HEAD" or length is None else length
        return b"%b%b%b%b\r\n" % (_STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status, self.link.date, text, framing)

    def _complete(self) -> None:
        self.complete = True
        if self._pieces:
            self._pieces, self._held = [], 0  # of a body that nobody reads any more; its client may take long to send the rest
        self.link.completed(self)
