"""Sends copies of requests that stable has answered to the revision that is tried, after their clients have had their answers.

So no client waits for one, whatever becomes of it. All that is on its way is bounded, and what would be more is dropped and counted.
"""

import asyncio
import logging
import random
import time

from prometheus_client import Counter

from llm_sidecar.engine.connection import Connection
from llm_sidecar.engine.errors import AnswerTooLargeError, EngineError
from llm_sidecar.hop.pool import Peer, Pool
from llm_sidecar.hop.wire import UNSERVED, hop_head, says_hop
from llm_sidecar.http.cycle import Cycle
from llm_sidecar.http.exchange import Exchange
from llm_sidecar.http.routes import ROUTES
from llm_sidecar.live import Live
from llm_sidecar.shadow.noted import PART_BYTES_MAX, Noted
from llm_sidecar.shadow.pairs import Pair, Pairs, Told
from llm_sidecar.snapshot import Snapshot
from llm_sidecar.table import WHOLE, Shadow

NOTED_FOR_EACH = 4
"""Answers that may be noted at a time for each copy that may be on its way: most of them are complete at another time."""

_OK = 200
_log = logging.getLogger(__name__)


class Copies:
    """Chooses requests, and sends copies of them. ``pairs`` has the answers."""

    def __init__(self, snapshot: Snapshot, pool: Pool, token: bytes, counter: Counter) -> None:
        self.pairs = Pairs()
        self._snapshot = snapshot
        self._pool = pool
        self._token = token
        self._counter = counter
        self._random = random.Random()  # noqa: S311  # chooses a sample, keeps no secret
        self._noting = 0
        self._running: dict[asyncio.Task[None], str] = {}
        self._closed = False

    @property
    def running(self) -> int:
        """Return how many copies are on their way."""
        return len(self._running)

    def exchange(self, cycle: Cycle, live: Live) -> Exchange:
        """Return what holds a request together while there are copies: one that is noted for the sample."""
        shadow = live.table.shadow
        if shadow is None or self._closed or self._random.random() * WHOLE >= shadow.sample or not _asks_for_tokens(cycle):
            return Exchange(cycle, live)
        if self._noting >= shadow.max_in_flight * NOTED_FOR_EACH:
            self._count("full")
            return Exchange(cycle, live)
        self._noting += 1
        return Noted(cycle, live, self._finished)

    def follow(self, live: Live) -> None:
        """End the copies that nobody asks for any more, and forget what was said by revisions that are gone."""
        shadow = live.table.shadow
        self._cancel(but=shadow.revision if shadow is not None else "")
        self.pairs.forget(live.routes)

    def close(self) -> None:
        """End all copies: the process is about to go."""
        self._closed = True
        self._cancel(but="")

    def _cancel(self, but: str) -> None:
        for task, revision in self._running.items():
            if revision != but:
                task.cancel()

    def _finished(self, noted: Noted) -> None:
        """Send a copy of a request that has ended, if stable has answered it and there is room."""
        self._noting -= 1
        live = self._snapshot.live
        shadow = live.table.shadow if live is not None else None
        if live is None or shadow is None or self._closed or not _is_sample(noted, live):
            return
        if noted.is_too_large or len(noted.content or b"") > PART_BYTES_MAX:
            self._count("too_large")
        elif len(self._running) >= shadow.max_in_flight:
            self._count("full")
        elif noted.answered is not None:
            task = asyncio.create_task(self._send(noted, noted.answered, live, shadow))
            self._running[task] = shadow.revision
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a copy of a request failed", exc_info=error)

    async def _send(self, noted: Noted, answered: bytes, live: Live, shadow: Shadow) -> None:
        route = live.routes.get(shadow.revision)
        peer = self._peer(live, route.engine if route is not None else "", noted.own_name)
        if peer is None:
            self._count("nobody")
            return
        body, began = noted.content or b"", time.perf_counter()
        content_type = (("content-type", noted.content_type.decode("latin-1")),) if noted.content_type else ()
        head = hop_head(
            noted.method,
            noted.path,
            len(body),
            token=self._token,
            revision=shadow.revision,
            generation=live.generation,
            request_id=noted.request_id,
            key="",  # nobody's limits are used up by it
            unit=noted.unit,
            hand_off=True,
            forced=True,
            copy=True,
            headers=content_type,
        )
        try:
            async with asyncio.timeout(live.limits_of(shadow.revision).total_timeout_ms / 1000):
                connection = await peer.client.send(head, body)
                try:
                    said = await connection.body(PART_BYTES_MAX)
                finally:
                    peer.client.release(connection)
        except TimeoutError:
            self._count("timeout")
        except AnswerTooLargeError:
            self._count("too_large")
        except EngineError:
            self._count("failed")
        else:
            stable = Told(live.table.stable, noted.status, noted.answer_type, answered, noted.seconds)
            self._answered(noted, stable, connection, said, shadow.revision, time.perf_counter() - began)

    def _answered(self, noted: Noted, stable: Told, connection: Connection, said: bytes, revision: str, seconds: float) -> None:
        if UNSERVED in connection.headers:
            self._count("refused")
            return
        self._count("answered")
        canary = Told(revision, connection.status, connection.headers.get(b"content-type", b""), said, seconds)
        self.pairs.keep(Pair(noted.request_id, time.time(), noted.path, noted.content or b"", stable, canary))

    def _peer(self, live: Live, engine: str, own_name: str) -> Peer | None:
        """Return whom to send a copy. What becomes of it there says nothing about where requests should go."""
        service = live.table.engines.get(engine)
        return self._pool.pick(engine, own_name) or (self._pool.service(service) if service is not None else None)

    def _count(self, outcome: str) -> None:
        self._counter.labels(outcome).inc()


def _asks_for_tokens(cycle: Cycle) -> bool:
    """Return whether a request is one that could be copied, and comes from a client: whoever hands one over has chosen already."""
    route = ROUTES.get(cycle.path)
    return route is not None and bool(route.operation) and not says_hop(cycle.headers)


def _is_sample(noted: Noted, live: Live) -> bool:
    """Return whether stable has answered a request, to the end and well, and not because it was asked to."""
    is_whole = noted.status == _OK and (noted.answered is not None or noted.is_too_large)
    return is_whole and not noted.preview and noted.revision == live.table.stable.encode()
