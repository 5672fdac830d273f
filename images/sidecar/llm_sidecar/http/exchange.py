"""One public request from its first byte to its answer's last: identity, deadline, the client's presence, and how it ends."""

import asyncio
import os
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol

from llm_sidecar.errors import LOST, NOT_BEGUN, Refusal
from llm_sidecar.hop.wire import PREFIX, UNSERVED
from llm_sidecar.http.protocol import CLIENT
from llm_sidecar.live import Live

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_LAST_WORDS_S = 5.0
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_TRACE = re.compile(rb"[\x21-\x7e][\x20-\x7e]{0,511}")


def new_id() -> str:
    """Return a fresh request id."""
    return os.urandom(16).hex()


def revision_of(live: Live | None) -> bytes:
    """Return what an answer names that no revision has given."""
    return live.name if live is not None else b"none"


class ClientGoneError(Exception):
    """The client left; nobody waits for an answer any more."""


class Failing(Protocol):
    """A stream that can be ended with an error."""

    def fail(self, refusal: Refusal) -> bytes:
        """Return what tells the client that the stream ends here and why."""


class Job(Protocol):
    """Who works on a request, and what there is to count at its end."""

    error: str

    @property
    def stream(self) -> Failing | None:
        """Return the stream that has begun, if one has."""

    def count(self) -> None:
        """Add this request to the figures."""


class _Client(Protocol):
    def watch(self, gone: Callable[[], object]) -> None: ...
    def unwatch(self) -> None: ...
    def abort(self) -> None: ...


class Exchange:
    """Holds a request together. ``end`` stops whatever it waits for, from a timer, a lost connection or a shutdown."""

    __slots__ = (
        "_client",
        "_deadline",
        "_ended",
        "_loop",
        "_receive",
        "_send",
        "_task",
        "close",
        "content",
        "content_length",
        "content_type",
        "encoded",
        "held_s",
        "hop",
        "job",
        "live",
        "marks",
        "method",
        "own_address",
        "path",
        "request_id",
        "revision",
        "started",
        "started_at",
        "trace",
        "unit",
        "upstream_id",
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send, live: Live | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._receive = receive
        self._send = send
        self._task = asyncio.current_task()
        self._ended: Exception | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self.started_at = time.perf_counter()
        self.started = False
        self.close = False
        self.live = live
        self.revision = live.name if live is not None else b"none"
        self.method: str = scope["method"]
        self.path: bytes = scope["raw_path"]
        self.content_length: int | None = None
        self.content_type = b""
        self.encoded = False
        self.content: bytes | None = None
        self.held_s = 0.0
        self.hop = ""
        self.job: Job | None = None
        self.marks: dict[bytes, bytes] | None = None
        self.own_address: tuple[str, int] | None = scope.get("server")
        self.trace: tuple[tuple[str, str], ...] = ()
        self.unit = os.urandom(16)
        self.upstream_id = self.unit.hex()
        self.request_id = self.upstream_id.encode()
        self._read_headers(scope["headers"])
        self._client: _Client | None = scope.get(CLIENT)
        if self._client is not None:
            self._client.watch(self._gone)

    def end(self, reason: Exception) -> None:
        """Stop this request for a reason that ``reason_for`` gives back."""
        if self._ended is None and self._task is not None:
            self._ended = reason
            self._task.cancel()

    def limit(self, seconds: float, late: Callable[[], Refusal]) -> None:
        """End this request with a refusal this much time after it came, time held apart; replaces an earlier limit."""
        if self._deadline is not None:
            self._deadline.cancel()
        left = self.started_at + self.held_s + seconds - time.perf_counter()
        self._deadline = self._loop.call_later(max(0.0, left), self._expire, late)

    def no_limit(self) -> None:
        """Let this request take as long as it likes until the next limit."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def reason_for(self, cancelled: asyncio.CancelledError) -> Exception:
        """Return why this request was ended; a cancellation that is not ours goes on."""
        if self._ended is None or self._task is None:
            raise cancelled
        self._task.uncancel()
        return self._ended

    async def close_with(self, last: Awaitable[None]) -> None:
        """Send the last bytes of a request that failed; a client that does not read them is cut off."""
        try:
            async with asyncio.timeout(_LAST_WORDS_S):
                await last
        except TimeoutError:
            await self.cut()
        except asyncio.CancelledError as cancelled:
            self.reason_for(cancelled)

    async def cut(self) -> None:
        """Drop the connection in the middle of an answer that cannot be completed."""
        if self._client is not None:
            self._client.abort()
            await self._receive()  # until the loss is known, so that the server does not wonder about the missing rest

    def finish(self) -> None:
        """Let go of timer and client."""
        if self._deadline is not None:
            self._deadline.cancel()
        if self._client is not None:
            self._client.unwatch()
        self._task = None

    async def body(self, limit: int) -> bytes:
        """Read the body, never more than the limit. It is kept: another engine may have to be asked."""
        body = self.content
        if body is None:
            message = await self._receive()
            whole = message["type"] == "http.request" and not message["more_body"]
            self.content = body = message["body"] if whole else await self._rest(message, limit)
        if len(body) > limit:
            raise self.too_large(limit)
        return body

    async def _rest(self, message: MutableMapping[str, Any], limit: int) -> bytes:
        parts: list[bytes] = []
        size = 0
        while True:
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            parts.append(message["body"])
            size += len(message["body"])
            if size > limit:
                raise self.too_large(limit)
            if not message["more_body"]:
                return b"".join(parts)
            message = await self._receive()

    async def begin(self, status: int, content_type: bytes, length: int | None, extra: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        """Send status and headers."""
        headers = [
            (b"content-type", content_type),
            (b"x-request-id", self.request_id),
            (b"x-llm-revision", self.revision),
            *extra,
        ]
        if length is not None:
            headers.append((b"content-length", str(length).encode()))
        if self.close:
            headers.append((b"connection", b"close"))
        self.started = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, data: bytes, *, more: bool) -> None:
        """Send a piece of the body; waits while the client reads slowly."""
        await self._send({"type": "http.response.body", "body": data, "more_body": more})

    async def answer(
        self, status: int, body: bytes, content_type: bytes = b"application/json", extra: tuple[tuple[bytes, bytes], ...] = ()
    ) -> None:
        """Send a whole answer."""
        await self.begin(status, content_type, len(body), extra)
        await self.write(body, more=False)

    async def refuse(self, refusal: Refusal) -> None:
        """Send a refusal."""
        extra = tuple(refusal.headers)
        if refusal.retry_after_s is not None:
            extra = (*extra, (b"retry-after", str(refusal.retry_after_s).encode()))
        if self.hop and (refusal.code in NOT_BEGUN or refusal.code in LOST):
            extra = (*extra, (UNSERVED, refusal.code.encode()))
        await self.answer(refusal.status, refusal.body(), extra=extra)

    def too_large(self, limit: int) -> Refusal:
        """Return the refusal of a body beyond the limit."""
        return Refusal(413, "body_too_large", f"the body is larger than {limit} bytes, this deployment's limits.maxBodyBytes")

    def _expire(self, late: Callable[[], Refusal]) -> None:
        self.end(late())

    def _gone(self) -> None:
        self.end(ClientGoneError())

    def _read_headers(self, headers: list[tuple[bytes, bytes]]) -> None:
        trace = []
        for name, value in headers:
            if name == b"content-length":
                self.content_length = int(value)
            elif name == b"content-type":
                self.content_type = value
            elif name == b"content-encoding":
                self.encoded = value.lower() != b"identity"
            elif name == b"x-request-id":
                if _REQUEST_ID.fullmatch(value):
                    # At the engine an id must be unique among what runs, and clients repeat theirs when they retry.
                    self.upstream_id = f"{value.decode()}-{self.upstream_id[:8]}"
                    self.request_id = value
            elif name in {b"traceparent", b"tracestate"} and _TRACE.fullmatch(value):
                trace.append((name.decode(), value.decode()))
            elif name.startswith(PREFIX):
                self.marks = {**(self.marks or {}), name: value}
        self.trace = tuple(trace)
