"""The server side of a connection: uvicorn's, with bounds on headers and an answer in our own shape for what is not HTTP."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from llm_sidecar.errors import Refusal

MAX_HEADER_BYTES = 32 * 1024
MAX_HEADER_COUNT = 128
HEADER_TIMEOUT_S = 10.0
LINGER_S = 10.0
"""How long the rest of a body nobody wants is read, so that the client sees the answer instead of a reset."""

_REASONS = {400: "Bad Request", 408: "Request Timeout", 431: "Request Header Fields Too Large"}

CLIENT = "llm_sidecar.client"
"""Key of this protocol in the ASGI scope: how the app learns that the client went away."""


class BoundedProtocol(HttpToolsProtocol):
    """Reads request heads of at most so many bytes within so many seconds, and tells the app at once when the client leaves."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._own_app = self.app
        self._in_head = True
        self._begun = False
        self._head_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._gone: Callable[[], object] | None = None

    # For the app.

    def watch(self, gone: Callable[[], object]) -> None:
        """Call this when the client leaves before its answer is complete."""
        self._gone = gone

    def unwatch(self) -> None:
        """Stop watching."""
        self._gone = None

    def abort(self) -> None:
        """Drop the connection with whatever could not be sent."""
        self.transport.abort()

    # For the transport.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn narrows it the same way
        """Give the first request head its time."""
        super().connection_made(transport)
        self._arm(HEADER_TIMEOUT_S)

    def data_received(self, data: bytes) -> None:
        """Count what belongs to a head before it is parsed: a header may never end."""
        if self.transport.is_closing():
            return
        counted = self._in_head
        if counted:
            self._head_bytes += len(data)
        super().data_received(data)
        if not self._in_head or self.transport.is_closing():
            return
        if counted and self._head_bytes > MAX_HEADER_BYTES:
            self._refuse(431, "headers_too_large", f"the request's head is larger than {MAX_HEADER_BYTES} bytes")
        elif self._timer is None and (self._begun or self._head_bytes):
            self._arm(HEADER_TIMEOUT_S)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the app."""
        self._disarm()
        super().connection_lost(exc)
        if self._gone is not None:
            gone, self._gone = self._gone, None
            gone()

    # For the parser.

    def on_message_begin(self) -> None:
        """Begin a head."""
        super().on_message_begin()
        self.app = self._own_app
        self._in_head = self._begun = True

    def on_headers_complete(self) -> None:
        """End a head; one that cannot be accepted is answered in the app's place and ends the connection."""
        self._in_head = self._begun = False
        self._head_bytes = 0
        self._disarm()
        refusal = self._judge()
        if refusal is not None:
            self.url = b"/"
            self.app = _answer_with(refusal, self._stamp())
        cast("dict[str, Any]", self.scope)[CLIENT] = self
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Stop the clock of a body that was read only to be thrown away; the next head may begin."""
        self._disarm()
        self._in_head = True
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Bound how long the rest of an unread body may take."""
        if not self._in_head and self._timer is None and not self.transport.is_closing():
            self._arm(LINGER_S)
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP."""
        self._refuse(400, "invalid_http", msg.rstrip("."))

    def _judge(self) -> Refusal | None:
        # The raw target decides: what a URL parser would make of another form must not matter.
        if self.url[:1] != b"/" or self.url[:2] == b"//":
            return Refusal(400, "invalid_target", "the request target is not a plain path")
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > MAX_HEADER_BYTES or len(self.headers) > MAX_HEADER_COUNT:
            return Refusal(431, "headers_too_large", f"the head is larger than {MAX_HEADER_BYTES} bytes or {MAX_HEADER_COUNT} headers")
        if self.parser.should_upgrade():
            return Refusal(400, "upgrade_not_supported", "this server speaks HTTP/1.1 only; send the request without Upgrade")
        return None

    def _stamp(self) -> list[tuple[bytes, bytes]]:
        # An app that marks its own answers marks those given in its place too.
        stamp = getattr(self._own_app, "stamp", None)
        return stamp() if stamp is not None else []

    def _refuse(self, status: int, code: str, message: str) -> None:
        body = Refusal(status, code, message).body()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
            *self._stamp(),
        ]
        head = f"HTTP/1.1 {status} {_REASONS[status]}\r\n".encode() + b"".join(b"%s: %s\r\n" % header for header in headers) + b"\r\n"
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:  # never into the middle of an answer
            self.transport.write(head + body)
        self.transport.close()

    def _arm(self, seconds: float) -> None:
        self._disarm()
        self._timer = self.loop.call_later(seconds, self._expired)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expired(self) -> None:
        self._timer = None
        if self.transport.is_closing():
            return
        if self._in_head:
            self._refuse(408, "head_timeout", f"the request's head did not arrive within {HEADER_TIMEOUT_S:g} s")
        else:
            self.transport.close()


def _answer_with(
    refusal: Refusal, stamp: list[tuple[bytes, bytes]]
) -> Callable[[Any, Any, Callable[[Any], Awaitable[None]]], Awaitable[None]]:
    async def answer(_scope: Any, _receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        body = refusal.body()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), (b"connection", b"close"), *stamp]
        await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return answer
