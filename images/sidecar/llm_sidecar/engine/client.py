"""The pool of connections to one address."""

import asyncio
import socket
import time

from llm_sidecar.engine.connection import Connection
from llm_sidecar.engine.errors import EngineBrokenError, EngineLostError, EngineUnreachableError

_MAX_IDLE_S = 4.0  # vLLM closes idle connections after 5 s; staying below makes the race on a closing one rare
_MAX_IDLE = 256
_SILENCE_S = 10


class UpstreamClient:
    """Sends requests to one address, reusing connections, most recently used first.

    An address that ``may_vanish`` is on another machine, which can go without a word.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        connect_timeout_s: float = 2.0,
        max_idle: int = _MAX_IDLE,
        max_idle_s: float = _MAX_IDLE_S,
        may_vanish: bool = False,
    ) -> None:
        self._host = host
        self._port = port
        self._connect_timeout_s = connect_timeout_s
        self._max_idle = max_idle
        self._max_idle_s = max_idle_s
        self._may_vanish = may_vanish
        self._idle: list[Connection] = []

    async def send(self, request: bytes, body: bytes = b"") -> Connection:
        """Send a request and return its connection when the status is known; the caller reads it and then releases it.

        A connection that was kept alive may turn out to be closed by the other side. Only then, and only if not one byte
        of an answer came, the request goes once more over a new connection.
        """
        reused = self._take()
        if reused is None:
            return await self._exchange(await self._connect(), request, body)
        try:
            return await self._exchange(reused, request, body)
        except EngineLostError as lost:
            try:
                connection = await self._connect()
            except EngineUnreachableError:
                # Not the race on a closing connection: the other side went away, maybe with this request half done.
                raise lost from None
        return await self._exchange(connection, request, body)

    def release(self, connection: Connection) -> None:
        """Take back a connection: kept when its answer was read to the end, closed otherwise."""
        if connection.reusable and len(self._idle) < self._max_idle:
            connection.idle_since = time.monotonic()
            self._idle.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        """Close all idle connections."""
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    async def _exchange(self, connection: Connection, request: bytes, body: bytes) -> Connection:
        try:
            connection.send(request, body)
            await connection.head()
        except EngineBrokenError as error:
            connection.close()
            if connection.touched:
                raise
            raise EngineLostError(str(error)) from error
        except BaseException:
            connection.close()
            raise
        return connection

    def _take(self) -> Connection | None:
        if not self._idle:
            return None
        connection = self._idle.pop()
        if not connection.closed and time.monotonic() - connection.idle_since < self._max_idle_s:
            return connection
        # Those below are older still.
        connection.close()
        self.close()
        return None

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                transport, connection = await loop.create_connection(lambda: Connection(loop), self._host, self._port)
        except TimeoutError as error:
            raise EngineUnreachableError(f"no connection to the engine within {self._connect_timeout_s} s") from error
        except OSError as error:
            raise EngineUnreachableError(f"no connection to the engine: {error.strerror or error}") from error
        if self._may_vanish:
            _notice_silence(transport.get_extra_info("socket"))
        return connection


def _notice_silence(opened: socket.socket) -> None:
    """Have the kernel give a connection up when the other machine is silent, whether it owes an acknowledgement or an answer."""
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        (socket.TCP_KEEPIDLE, _SILENCE_S // 2),
        (socket.TCP_KEEPINTVL, 1),
        (socket.TCP_KEEPCNT, _SILENCE_S // 2),
        (socket.TCP_USER_TIMEOUT, _SILENCE_S * 1000),
    ):
        opened.setsockopt(socket.IPPROTO_TCP, option, value)


def request_head(method: str, path: str, headers: tuple[tuple[str, str], ...], length: int, host: str = "engine") -> bytes:
    """Return a request's first bytes."""
    lines = [f"{method} {path} HTTP/1.1", f"host: {host}", f"content-length: {length}", *(f"{name}: {value}" for name, value in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def post_head(path: str, request_id: str, headers: tuple[tuple[str, str], ...], length: int) -> bytes:
    """Return the first bytes of a request for tokens: what ``request_head`` would, for every request there is."""
    more = "".join([f"{name}: {value}\r\n" for name, value in headers]) if headers else ""
    text = (
        f"POST {path} HTTP/1.1\r\nhost: engine\r\ncontent-length: {length}\r\ncontent-type: application/json\r\n"
        f"x-request-id: {request_id}\r\n{more}\r\n"
    )
    return text.encode("latin-1")
