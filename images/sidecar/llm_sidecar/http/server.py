"""Two uvicorn servers in one loop. They leave signals alone: the sidecar drains before it closes anything."""

import asyncio
import contextlib
import socket
from collections.abc import Generator
from typing import Any, cast

import uvicorn

from llm_sidecar.http.protocol import App, BoundedProtocol

KEEP_ALIVE_S = 75
"""Idle connections outlive those of usual clients and gateways, so that it is they who close first."""

_BACKLOG = 2048
_LEFT_OPEN_S = 5.0
_LOOK_EVERY_S = 0.01


class Server(uvicorn.Server):
    """A server that never installs signal handlers, sleeps while it has nothing to do, and ends as soon as it can."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._leaving = asyncio.Event()

    def leave(self) -> None:
        """Close the door and end when what is inside has ended."""
        self._leaving.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Do nothing."""
        yield

    async def main_loop(self) -> None:
        """Keep the date header current until it is time to leave."""
        while not self._leaving.is_set():
            await self.on_tick(0)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._leaving.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, let connections end, and drop those that do not."""
        for server in self.servers:
            server.close()
        for bound in sockets or ():
            bound.close()
        for connection in tuple(self.server_state.connections):
            connection.shutdown()
        end = asyncio.get_running_loop().time() + _LEFT_OPEN_S
        while self.server_state.connections and asyncio.get_running_loop().time() < end:  # noqa: ASYNC110  # uvicorn tells nobody
            await asyncio.sleep(_LOOK_EVERY_S)
        for task in tuple(self.server_state.tasks):
            task.cancel()
        for connection in tuple(self.server_state.connections):
            connection.transport.abort()


def create(app: App) -> Server:
    """Return a server for an application; it is given its socket when it runs."""
    config = uvicorn.Config(
        cast("Any", app),
        http=BoundedProtocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        backlog=_BACKLOG,
    )
    return Server(config)


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 takes a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=_BACKLOG, reuse_port=False)
