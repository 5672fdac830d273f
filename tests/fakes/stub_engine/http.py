"""Just enough HTTP/1.1 on asyncio for hundreds of open streams: keep-alive, both body framings, streamed answers, client aborts seen."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote, urlsplit

log = logging.getLogger(__name__)

_MAX_HEAD_BYTES = 64 * 1024
_MAX_BODY_BYTES = 256 * 1024 * 1024
_KEEP_ALIVE_S = 5.0  # uvicorn's, and so vLLM's: a client that reuses a connection must live with it

JSON_TYPE = "application/json"
SSE_TYPE = "text/event-stream; charset=utf-8"


@dataclass(frozen=True)
class Request:
    """One request, its body complete; header names are lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class BadRequestError(Exception):
    """Bytes that are no HTTP request."""


class Exchange:
    """One request and the way to answer it."""

    def __init__(self, request: Request, connection: "Connection") -> None:
        self.request = request
        self.status = 0
        self._connection = connection

    async def answer(self, status: int, body: bytes = b"", *, kind: str = JSON_TYPE, headers: Mapping[str, str] | None = None) -> None:
        """Send a whole answer."""
        named = {"content-length": str(len(body))} | ({"content-type": kind} if body else {}) | dict(headers or {})
        await self._send(self._head(status, named) + body)

    async def answer_json(self, status: int, body: Any, *, headers: Mapping[str, str] | None = None) -> None:
        """Send a whole answer as JSON."""
        await self.answer(status, dumps(body), headers=headers)

    async def start_stream(self, headers: Mapping[str, str] | None = None) -> None:
        """Send the head of an answer whose end is not known yet."""
        await self._send(self._head(200, {"content-type": SSE_TYPE, "transfer-encoding": "chunked"} | dict(headers or {})))

    async def event(self, data: bytes) -> None:
        """Send one server-sent event."""
        await self._send(b"%x\r\ndata: %b\n\n\r\n" % (len(data) + 8, data))

    async def end_stream(self) -> None:
        """End a streamed answer."""
        await self._send(b"0\r\n\r\n")

    async def send_raw(self, data: bytes) -> None:
        """Send bytes as they are, for answers that break the protocol on purpose."""
        await self._send(data)

    def cut(self) -> None:
        """Break the connection off where it is."""
        self._connection.cut()

    def _head(self, status: int, headers: Mapping[str, str]) -> bytes:
        self.status = status
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", f"date: {formatdate(usegmt=True)}", "server: uvicorn"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    async def _send(self, data: bytes) -> None:
        await self._connection.send(data)


Handler = Callable[[Exchange], Awaitable[None]]


class Connection(asyncio.Protocol):
    """One client; its requests are answered one after the other, and its leaving cancels the one that is being answered."""

    def __init__(self, handler: Handler, connections: "set[Connection]") -> None:
        self._handler = handler
        self._connections = connections
        self._buffer = bytearray()
        self._task: asyncio.Task[None] | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self.closed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._connections.add(self)
        self._wait_idle()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio's own
        self._connections.discard(self)
        self._transport = None
        self.closed.set()
        self._stop_idle()
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._task is None:
            self._next()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    async def send(self, data: bytes) -> None:
        """Write, waiting while the client reads too slowly."""
        if self._transport is not None:
            self._transport.write(data)
            await self._writable.wait()

    def cut(self) -> None:
        """Reset the connection: the client sees it end inside an answer."""
        if self._transport is not None:
            self._transport.abort()

    def close_if_idle(self) -> None:
        """Close the connection if no request is being answered on it."""
        if self._task is None and self._transport is not None:
            self._transport.close()

    def _next(self) -> None:
        try:
            request = _take(self._buffer)
        except BadRequestError:
            if self._transport is not None:
                self._transport.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                self._transport.close()
            return
        if request is None:
            return
        self._stop_idle()
        self._task = asyncio.get_running_loop().create_task(self._serve(request))

    async def _serve(self, request: Request) -> None:
        try:
            await self._handler(Exchange(request, self))
        except Exception:
            log.exception("%s %s", request.method, request.path)
            self.cut()
        finally:
            self._task = None
        if self._transport is None:
            return
        if request.headers.get("connection", "").lower() == "close":
            self._transport.close()
        else:
            self._wait_idle()
            self._next()

    def _wait_idle(self) -> None:
        self._idle = asyncio.get_running_loop().call_later(_KEEP_ALIVE_S, self.close_if_idle)

    def _stop_idle(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None


def dumps(body: Any) -> bytes:
    """Return JSON without spaces, as vLLM sends it."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def _take(buffer: bytearray) -> Request | None:
    """Cut one whole request off the front of the buffer, or return None while bytes are missing."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        if len(buffer) > _MAX_HEAD_BYTES:
            raise BadRequestError
        return None
    try:
        first, *lines = buffer[:end].decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if "chunked" in headers.get("transfer-encoding", "").lower():
            framed = _chunked(buffer, end + 4)
        else:
            framed = _sized(buffer, end + 4, int(headers.get("content-length", "0")))
    except ValueError as error:
        raise BadRequestError from error
    if framed is None:
        return None
    body, used = framed
    del buffer[:used]
    return Request(method, unquote(urlsplit(target).path), headers, body)


def _sized(buffer: bytearray, start: int, length: int) -> tuple[bytes, int] | None:
    if not 0 <= length <= _MAX_BODY_BYTES:
        raise BadRequestError
    return (bytes(buffer[start : start + length]), start + length) if len(buffer) >= start + length else None


def _chunked(buffer: bytearray, start: int) -> tuple[bytes, int] | None:
    body = bytearray()
    while (line_end := buffer.find(b"\r\n", start)) >= 0:
        size = int(buffer[start:line_end].split(b";")[0], 16)
        start = line_end + 2
        if len(buffer) < start + size + 2:
            return None
        body += buffer[start : start + size]
        start += size + 2
        if size == 0:
            return bytes(body), start
        if len(body) > _MAX_BODY_BYTES:
            raise BadRequestError
    return None
