"""One keep-alive connection to the engine: sends a request, hands out the answer, and slows the engine down when nobody reads."""

import asyncio
from typing import Any, cast

import httptools

from llm_sidecar.engine.errors import AnswerTooLargeError, EngineBrokenError
from llm_sidecar.outbox import Outbox

HIGH_WATER = 64 * 1024
"""Bytes of a streamed answer held before reading from the engine pauses."""

MAX_ANSWER = 64 * 1024 * 1024
"""Bytes of an answer that is held whole."""

_MAX_HEADERS = 64 * 1024
_MIN_FINAL_STATUS = 200


class Connection(asyncio.Protocol):
    """Carries one exchange at a time. Reusable after an answer was read to its end, else it must be closed."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._outbox = Outbox.of(loop)
        self._unsent = b""
        self._parser: Any = None
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._failure = ""
        self._paused = False
        self.idle_since = 0.0
        self._begin()

    def _begin(self) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.touched = False
        self._header_bytes = 0
        self._chunks: list[bytes] = []
        self._held = 0
        self._whole = 0
        self._complete = False
        self._keep_alive = False
        self._surplus = False
        self._busy = False

    # What the client calls.

    def send(self, request: bytes, body: bytes) -> None:
        """Start an exchange."""
        self._begin()
        self._busy = True
        transport = self._transport
        if transport is None or self._failure:
            raise EngineBrokenError("the connection is closed")
        if len(body) < HIGH_WATER:
            self._unsent = request + body
            self._outbox.add(self._send)
        else:
            transport.write(request)
            transport.write(body)

    def _send(self) -> None:
        unsent, self._unsent = self._unsent, b""
        if unsent and self._transport is not None and not self._transport.is_closing():
            self._transport.write(unsent)

    async def head(self) -> None:
        """Wait for status and headers."""
        while not self.status:
            await self._wait()

    async def chunk(self) -> bytes:
        """Return the next bytes of the body as soon as there are any, or nothing at its end."""
        while not self._chunks:
            if self._complete:
                return b""
            await self._wait()
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._held = 0
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return data

    async def body(self, limit: int = MAX_ANSWER) -> bytes:
        """Return the whole body, or raise AnswerTooLargeError."""
        self._whole = limit
        while not self._complete and self._held <= limit:
            if self._paused and self._transport is not None:
                self._paused = False
                self._transport.resume_reading()
            await self._wait()
        if self._held > limit:
            raise AnswerTooLargeError(f"the engine's answer is larger than {limit} bytes")
        return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)

    def close(self) -> None:
        """Give the connection up; for the engine this is the sign to stop working on the request."""
        self._unsent = b""
        if self._transport is not None:
            self._transport.abort()

    @property
    def drained(self) -> bool:
        """Return whether the whole body has been handed out."""
        return self._complete and not self._chunks

    @property
    def closed(self) -> bool:
        """Return whether nothing can be sent any more."""
        return self._transport is None or bool(self._failure) or self._transport.is_closing()

    @property
    def reusable(self) -> bool:
        """Return whether the exchange ended cleanly and another may follow."""
        return self._complete and self._keep_alive and not self._surplus and not self.closed and self._written()

    def _written(self) -> bool:
        return self._transport is not None and self._transport.get_write_buffer_size() == 0

    async def _wait(self) -> None:
        if self._failure:
            raise EngineBrokenError(self._failure)  # a new one each time: one that is kept holds all that it went through
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, message: str) -> None:
        self._failure = self._failure or message
        self._wake()

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport, and begin to read."""
        self._transport = cast("asyncio.Transport", transport)
        self._parser = httptools.HttpResponseParser(self)

    def data_received(self, data: bytes) -> None:
        """Feed the parser; bytes nobody asked for end the connection."""
        if not self._busy or self._complete:
            self._surplus = True
            self.close()
            return
        self.touched = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(f"the engine's answer is not HTTP: {error}")
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the exchange: cleanly only if the body was delimited by the end of the connection."""
        self._paused = False
        self._transport = self._parser = None  # they know this object too, and nobody else would let go of it
        until_end = self.status and b"content-length" not in self.headers and b"transfer-encoding" not in self.headers
        if until_end and not self._complete and exc is None and not self._failure:
            self._complete = True
            self._wake()
        self._fail("the engine closed the connection")

    # What the parser calls.

    def on_message_begin(self) -> None:
        """Notice a second answer to one request."""
        self._surplus = self._complete

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep one header."""
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > _MAX_HEADERS:
            raise EngineBrokenError("headers too large")
        self.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """Let the reader see the status, unless this is only an interim answer."""
        status = self._parser.get_status_code()
        if status >= _MIN_FINAL_STATUS:
            self.status = status
            self._wake()

    def on_body(self, body: bytes) -> None:
        """Keep the bytes; pause the engine when a streamed answer is not read fast enough."""
        if self._surplus:
            return
        self._chunks.append(body)
        self._held += len(body)
        if self._whole:
            if self._held > self._whole:
                self._wake()
            return
        if self._held > HIGH_WATER and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def on_message_complete(self) -> None:
        """End the exchange, or drop an interim answer."""
        if not self.status:
            self.headers.clear()
            return
        self._keep_alive = self._parser.should_keep_alive()
        self._complete = True
        self._wake()
