"""Which engines can be reached: asked through their Services every second, as a request would go, and told to the operator."""

import asyncio
import time
from collections.abc import Callable

from llm_sidecar.engine.errors import EngineError
from llm_sidecar.hop.hold import Hold
from llm_sidecar.hop.pool import Pool
from llm_sidecar.hop.wire import ping_head
from llm_sidecar.live import Live
from llm_sidecar.snapshot import Snapshot
from llm_sidecar.table import Engine

FRESH_S = 3.0
"""How long an answer counts."""

_TIMEOUT_S = 1.0
_TAKES_REQUESTS = 204


class Reach:
    """Asks the engines of the table whether they take requests, and opens the hold when one that gets units does.

    The hold hears in each round whether any does.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        pool: Pool,
        hold: Hold,
        engine: str,
        token: bytes,
        own_ready: Callable[[], bool],
        *,
        period_s: float = 1.0,
        held_period_s: float = 0.25,
    ) -> None:
        self._snapshot = snapshot
        self._pool = pool
        self._hold = hold
        self._engine = engine
        self._ping = ping_head(token)
        self._at: dict[str, float] = {}
        self._own_ready = own_ready
        self._period_s = period_s
        self._held_period_s = held_period_s  # somebody waits

    def reached(self) -> list[str]:
        """Return the other engines that took requests within the last seconds."""
        now = time.monotonic()
        return sorted(engine for engine, at in self._at.items() if now - at <= FRESH_S)

    async def watch(self) -> None:
        """Ask until cancelled."""
        while True:
            live = self._snapshot.live
            if live is not None:
                await self._look(live)
            self._hold.began.clear()
            try:
                async with asyncio.timeout(self._held_period_s if self._hold.waiting else self._period_s):
                    await self._hold.began.wait()
            except TimeoutError:
                continue

    async def _look(self, live: Live) -> None:
        others = {engine: where for engine, where in live.table.engines.items() if engine != self._engine}
        self._at = {engine: at for engine, at in self._at.items() if engine in others}
        answers = await asyncio.gather(*(self._ask(where) for where in others.values()))
        taking = {engine for engine, yes in zip(others, answers, strict=True) if yes}
        self._at |= dict.fromkeys(taking, time.monotonic())
        lately = set(self.reached())
        self._hold.reachable = any(self._takes(route.engine, lately) for route in live.order)
        if self._hold.waiting and any(self._takes(route.engine, taking) for route in live.order):
            self._hold.open()

    def _takes(self, engine: str, taking: set[str]) -> bool:
        return engine in taking or (engine == self._engine and self._own_ready())

    async def _ask(self, where: Engine) -> bool:
        client = self._pool.service(where).client
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                connection = await client.send(self._ping)
                client.release(connection)
        except (EngineError, TimeoutError):
            return False
        return connection.status == _TAKES_REQUESTS
