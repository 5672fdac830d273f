"""A raw client: sends exactly the bytes a test wants and reads answers with a parser that is not ours."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import h11

TIMEOUT_S = 10.0


@dataclass
class Answer:
    """An answer, with the moment each piece of its body came."""

    status: int
    headers: dict[str, str]
    body: bytes = b""
    pieces: list[tuple[float, bytes]] = field(default_factory=list)
    complete: bool = False

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """Return the error, having checked that it has the shape of one."""
        error = self.json["error"]
        assert set(error) == {"message", "type", "param", "code", "stage"}
        assert isinstance(error["message"], str)
        return dict(error)


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._http = h11.Connection(h11.CLIENT)

    def send(self, raw: bytes) -> None:
        self.writer.write(raw)

    async def answer(self, *, until: bytes | None = None) -> Answer:
        """Read an answer to its end, or until its body contains some bytes."""
        async with asyncio.timeout(TIMEOUT_S):
            return await self._answer(until)

    async def closed(self) -> bytes:
        """Wait until the server closes; return what it still said."""
        async with asyncio.timeout(TIMEOUT_S):
            try:
                return await self.reader.read()
            except ConnectionResetError:
                return b""

    async def _answer(self, until: bytes | None) -> Answer:
        if self._http.our_state is h11.IDLE:
            # What was really sent is the test's business; the parser only needs to know that a request is out.
            self._http.send(h11.Request(method="POST", target="/", headers=[("host", "x")]))
            self._http.send(h11.EndOfMessage())
        answer = Answer(0, {})
        while not answer.complete and (until is None or until not in answer.body):
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                data = await self.reader.read(65536)
                if not data and answer.status and "content-length" not in answer.headers:
                    break  # cut short
                self._http.receive_data(data)
            else:
                self._take(event, answer)
        return answer

    def _take(self, event: object, answer: Answer) -> None:
        if isinstance(event, h11.Response):
            answer.status = event.status_code
            answer.headers = {name.decode(): value.decode() for name, value in event.headers}
        elif isinstance(event, h11.Data):
            answer.pieces.append((time.perf_counter(), bytes(event.data)))
            answer.body += event.data
        elif isinstance(event, h11.EndOfMessage):
            answer.complete = True
            if self._http.their_state is h11.DONE:
                self._http.start_next_cycle()
        elif isinstance(event, h11.ConnectionClosed):
            raise ConnectionError("closed without an answer")


@contextlib.asynccontextmanager
async def connect(port: int) -> AsyncIterator[Client]:
    """Open a connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def post(path: str, body: Any, *headers: str) -> bytes:
    """Return a POST request; a body that is not bytes is sent as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"POST {path} HTTP/1.1", "host: x", f"content-length: {len(data)}", *headers]
    if not any(header.lower().startswith("content-type") for header in headers):
        lines.append("content-type: application/json")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + data


def get(path: str, *headers: str) -> bytes:
    """Return a GET request."""
    return ("\r\n".join([f"GET {path} HTTP/1.1", "host: x", *headers]) + "\r\n\r\n").encode()


async def ask(port: int, raw: bytes) -> Answer:
    """Send one request over a connection of its own."""
    async with connect(port) as client:
        client.send(raw)
        return await client.answer()
