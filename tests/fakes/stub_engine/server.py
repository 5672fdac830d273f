"""The life of one stub: starts like vLLM (refusing connections until it can serve), ends like vLLM (three ways, by --shutdown-timeout)."""

import asyncio
import signal
from collections.abc import Mapping

from .app import App
from .engine import Engine
from .faults import FaultBox
from .http import Connection
from .metrics import Metrics
from .options import Options

_LOOK_EVERY_S = 0.02
_LAST_WORDS_S = 0.5


class Stub:
    """One listening stub engine."""

    def __init__(self, options: Options, env: Mapping[str, str]) -> None:
        self.options = options
        self.faults = FaultBox(env)
        self.metrics = Metrics(options.names[0], options.max_model_len, kv_tokens=options.pace.kv_tokens)
        self.engine = Engine(options, self.metrics)
        self.port = options.port
        self._app = App(options, self.engine, self.metrics, self.faults)
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Load the pretended model, then listen: a port that answers is an engine that serves."""
        await asyncio.sleep(self.options.pace.startup_s)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(self._app, self._connections), self.options.host, self.options.port, backlog=2048
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Return when vLLM's process would be gone after SIGTERM."""
        if self._server is None:
            return
        loop = asyncio.get_running_loop()
        if self.options.shutdown_timeout_s == 0:
            self.engine.abort_all()
            await self._until_idle(loop.time() + _LAST_WORDS_S)
        else:
            self.engine.closed = True
            if not await self._until_idle(loop.time() + self.options.shutdown_timeout_s):
                self.engine.freeze()
                self._server.close()
                await self._until_idle(None)
        self._server.close()
        for connection in tuple(self._connections):
            connection.close_if_idle()

    async def close(self) -> None:
        """Break everything off at once, as SIGKILL would."""
        if self._server is not None:
            self._server.close()
        connections = tuple(self._connections)
        for connection in connections:
            connection.cut()
        await asyncio.gather(*(connection.closed.wait() for connection in connections))

    async def _until_idle(self, deadline: float | None) -> bool:
        while self.engine.jobs:
            if deadline is not None and asyncio.get_running_loop().time() >= deadline:
                return False
            await asyncio.sleep(_LOOK_EVERY_S)
        return True


async def serve(options: Options, env: Mapping[str, str]) -> None:
    """Run one stub until SIGTERM or SIGINT has taken its course."""
    ending = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ending.set)
    stub = Stub(options, env)
    starting = asyncio.ensure_future(stub.start())
    waiting = asyncio.ensure_future(ending.wait())
    await asyncio.wait({starting, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if starting.done():
        starting.result()
        await waiting
        await stub.stop()
    else:
        starting.cancel()
