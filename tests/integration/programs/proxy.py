"""A TCP relay in front of a store: slow, silent, broken off or answering in its place as told; it counts what reaches the client."""

import asyncio
import threading
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

_CHUNK = 64 * 1024


class Proxy:
    """Relays to one endpoint from a thread of its own; its fields may be changed at any time."""

    def __init__(self, endpoint: str) -> None:
        parts = urlsplit(endpoint)
        self._upstream = (parts.hostname or "", parts.port or 80)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.bytes_per_s = 0.0
        self.break_each_after: int | None = None
        self.answers: list[bytes] = []
        self.silent = False
        self.relayed = 0
        self.connections = 0

    @property
    def endpoint(self) -> str:
        """Return the URL clients use."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(asyncio.start_server(self._accept, "127.0.0.1", 0), self._loop).result(10)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            if self.silent:
                await reader.read()
            elif self.answers:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(self.answers.pop(0))
                await writer.drain()
            else:
                await self._relay(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(*self._upstream)
        forward = asyncio.create_task(self._pump(reader, up_writer))
        try:
            await self._pump_back(up_reader, writer)
        finally:
            forward.cancel()
            up_writer.close()
            await asyncio.gather(forward, return_exceptions=True)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()

    async def _pump_back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        passed = 0
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
            self.relayed += len(data)
            passed += len(data)
            if self.break_each_after is not None and passed >= self.break_each_after:
                writer.transport.abort()
                return
            if self.bytes_per_s:
                await asyncio.sleep(len(data) / self.bytes_per_s)


def http_answer(status: str, body: str = "", *, kind: str = "application/xml", **headers: str) -> bytes:
    """Return the bytes of an answer that closes its connection."""
    lines = [f"HTTP/1.1 {status}", f"content-type: {kind}", f"content-length: {len(body.encode())}", "connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def listing_answer(*objects: tuple[str, int, str]) -> bytes:
    """Return a bucket listing of (key, size, etag); an object without ETag has none in the listing."""
    rows = "".join(
        f"<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><Size>{size}</Size>"
        + (f"<ETag>{etag}</ETag>" if etag else "")
        + "</Contents>"
        for key, size, etag in objects
    )
    body = f"<ListBucketResult><Name>b</Name><KeyCount>{len(objects)}</KeyCount><IsTruncated>false</IsTruncated>{rows}</ListBucketResult>"
    return http_answer("200 OK", f'<?xml version="1.0" encoding="UTF-8"?>{body}')
