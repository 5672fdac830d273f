"""A scripted engine on a real socket: answers what a test tells it to and remembers what it was sent."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from tests.unit.sidecar.support.process import free_port


@dataclass(frozen=True)
class Request:
    """One request as the engine saw it."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Script = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]

USAGE = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}


def http(body: bytes, status: str = "200 OK", content_type: str = "application/json", extra: str = "") -> bytes:
    """Return a whole answer."""
    return f"HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\n{extra}content-length: {len(body)}\r\n\r\n".encode() + body


def chunk(data: bytes) -> bytes:
    """Return one chunk of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"


def event(body: Any, *, compact: bool = True) -> bytes:
    """Return one server-sent event."""
    data = body if isinstance(body, bytes) else json.dumps(body, separators=(",", ":") if compact else None).encode()
    return b"data: " + data + b"\n\n"


def text_events(*texts: str, at_end: bool = True, always: bool = True, compact: bool = True) -> list[bytes]:
    """Return the events of a completion stream as vLLM writes them when it is told to report usage: on every one, and at the end."""
    nested = {**USAGE, "prompt_tokens_details": {"cached_tokens": 0}, "completion_tokens_details": None}
    chunks: list[dict[str, Any]] = [
        {"id": "cmpl-1", "choices": [{"index": 0, "text": text, "finish_reason": None}], "usage": nested, "prompt_token_ids": None}
        for text in texts
    ]
    if not always:
        for one in chunks:
            del one["usage"]
    if at_end:
        chunks.append({"id": "cmpl-1", "choices": [], "usage": nested, "system_fingerprint": "x"})
    return [*(event(one, compact=compact) for one in chunks), event(b"[DONE]")]


def streams(*events: bytes, pause_s: float = 0.0) -> Script:
    """Return a script that streams these events, one write each."""

    async def script(_request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD)
        for one in events:
            writer.write(chunk(one))
            await writer.drain()
            await asyncio.sleep(pause_s)
        writer.write(b"0\r\n\r\n")

    return script


def answers(*raw: bytes) -> Script:
    """Return a script that writes these bytes."""

    async def script(_request: Request, writer: asyncio.StreamWriter) -> None:
        for part in raw:
            writer.write(part)
            await writer.drain()

    return script


def completion(text: str = "hello") -> bytes:
    """Return a whole completion."""
    return json.dumps({"id": "cmpl-1", "choices": [{"index": 0, "text": text, "finish_reason": "length"}], "usage": USAGE}).encode()


@dataclass
class Engine:
    """The scripted engine. ``script`` answers requests for tokens; health, models and the probe answer by themselves."""

    script: Script = field(default_factory=lambda: answers(http(completion())))
    port: int = 0
    requests: list[Request] = field(default_factory=list)
    health_status: str = "200 OK"
    health_delay_s: float = 0.0
    probe_answer: bytes = field(default_factory=lambda: http(completion()))
    probes: int = 0
    models_answer: bytes = http(b'{"object":"list","data":[{"id":"chat"}]}')
    metrics: bytes = b"engine_up 1\n"
    aborted: asyncio.Event = field(default_factory=asyncio.Event)
    connections: int = 0
    drop_connections_on_next_request: bool = False
    _server: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def start(self) -> None:
        self.port = self.port or free_port()  # it comes back on the same one, which nobody else may have taken meanwhile
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def stop(self) -> None:
        """Go away at once: no listener, no connections."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in tuple(self._writers):
            writer.transport.abort()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        self.connections += 1
        try:
            await self._serve(reader, writer, self.connections)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._writers.discard(writer)
            self._tasks.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        while not writer.is_closing():
            request = await self._read(reader, number)
            if self.drop_connections_on_next_request:
                self.drop_connections_on_next_request = False
                return
            answering = asyncio.ensure_future(self._answer(request, writer))
            leaving = asyncio.ensure_future(reader.read(1))
            try:
                await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
                if not answering.done():
                    self.aborted.set()
                    return
                answering.result()
            except ConnectionError:
                self.aborted.set()
                raise
            finally:
                answering.cancel()
                leaving.cancel()
                await asyncio.gather(answering, leaving, return_exceptions=True)

    async def _read(self, reader: asyncio.StreamReader, number: int) -> Request:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.rstrip("\r\n").split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        return Request(method, target, headers, body, number)

    async def _answer(self, request: Request, writer: asyncio.StreamWriter) -> None:
        if request.target == "/health":
            await asyncio.sleep(self.health_delay_s)
            writer.write(http(b"", self.health_status))
        elif request.target == "/metrics":
            writer.write(http(self.metrics, content_type="text/plain"))
        elif request.target == "/v1/models":
            self.requests.append(request)
            writer.write(self.models_answer)
        elif b"quick brown fox" in request.body:
            self.probes += 1
            writer.write(self.probe_answer)
        else:
            self.requests.append(request)
            await self.script(request, writer)
        await writer.drain()


@contextlib.asynccontextmanager
async def engine_running(engine: Engine) -> AsyncIterator[Engine]:
    """Run a scripted engine."""
    await engine.start()
    try:
        yield engine
    finally:
        await engine.stop()
