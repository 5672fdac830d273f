"""Two uvicorn servers in one loop. They leave signals alone: the sidecar drains before it closes anything."""

import contextlib
import socket
from collections.abc import Generator
from typing import Any

import uvicorn

from llm_sidecar.http.protocol import BoundedProtocol

KEEP_ALIVE_S = 75
"""Idle connections outlive those of usual clients and gateways, so that it is they who close first."""

_BACKLOG = 2048
_LEFT_OPEN_S = 5


class Server(uvicorn.Server):
    """A server that never installs signal handlers."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Do nothing."""
        yield


def create(app: Any) -> Server:
    """Return a server for an ASGI application; it is given its socket when it runs."""
    config = uvicorn.Config(
        app,
        http=BoundedProtocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=_LEFT_OPEN_S,
        backlog=_BACKLOG,
    )
    return Server(config)


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 takes a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=_BACKLOG, reuse_port=False)
