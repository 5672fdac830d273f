"""The admin application: probes, figures, status and drain. It is about the sidecar; readiness alone also asks for the engine."""

import hmac
import logging
from collections.abc import Awaitable, Callable

import orjson

from llm_sidecar.bundle import SCHEMA_VERSION
from llm_sidecar.http.cycle import Cycle, lines
from llm_sidecar.http.engine_metrics import EngineMetrics
from llm_sidecar.http.services import Services

_log = logging.getLogger(__name__)
_TEXT = b"text/plain; charset=utf-8"
_METRICS = b"text/plain; version=0.0.4; charset=utf-8"
_JSON = b"application/json"

_Answer = tuple[int, bytes, bytes]


class AdminApp:
    """The application on the admin port."""

    def __init__(
        self,
        services: Services,
        engine_metrics: EngineMetrics | None,
        deployment: str,
        engine: str,
        inflight: Callable[[], int],
    ) -> None:
        self._services = services
        self._engine_metrics = engine_metrics
        self._names = (deployment, engine)
        self._inflight = inflight
        self._routes: dict[bytes, Callable[[Cycle], Awaitable[_Answer]]] = {
            b"/livez": self._alive,
            b"/startupz": self._alive,
            b"/readyz": self._ready,
            b"/metrics": self._metrics,
            b"/status": self._status,
            b"/-/stats": self._stats,
            b"/-/shadow": self._shadow,
            b"/drain": self._drain,
        }

    async def __call__(self, cycle: Cycle) -> None:
        """Serve one request."""
        route = self._routes.get(cycle.path)
        if route is None:
            status, content_type, body = 404, _TEXT, b"not found\n"
        elif cycle.method != "GET" and not (cycle.method == "POST" and route == self._drain):
            status, content_type, body = 405, _TEXT, b"method not allowed\n"
        else:
            status, content_type, body = await route(cycle)
        cycle.answer(status, lines([(b"content-type", content_type)]), body)

    async def _alive(self, _cycle: Cycle) -> _Answer:
        return 200, _TEXT, b"ok\n"

    async def _ready(self, _cycle: Cycle) -> _Answer:
        ready, reason, message = self._services.readiness()
        return 200 if ready else 503, _TEXT, f"{reason}{': ' if message else ''}{message}\n".encode()

    async def _metrics(self, _cycle: Cycle) -> _Answer:
        metrics, snapshot, own = self._services.metrics, self._services.snapshot, self._services.own
        engine = await self._engine_metrics.fetch() if self._engine_metrics is not None else b""
        metrics.engine_scrape_success.set(bool(engine))
        metrics.engine_ready.set(own is not None and own.health.ready)
        metrics.keys.usable.set(not self._services.doorman.error)
        metrics.config_reload_success.set(snapshot.live is not None and not snapshot.error)
        return 200, _METRICS, metrics.expose() + engine

    async def _status(self, _cycle: Cycle) -> _Answer:
        snapshot, own = self._services.snapshot, self._services.own
        live = snapshot.live
        ready, reason, message = self._services.readiness()
        deployment, engine = self._names
        return (
            200,
            _JSON,
            orjson.dumps(
                {
                    "schemaVersion": 1,
                    "deployment": deployment,
                    "engine": engine,
                    "revision": live.revision or None if live is not None else None,
                    "reaches": self._services.reach.reached(),
                    "revisions": sorted(live.compiled) if live is not None else [],
                    "generation": snapshot.generation,
                    "ready": ready,
                    "reason": reason,
                    "draining": self._services.drain.draining,
                    "inflight": self._inflight(),
                    "held": self._services.hold.waiting,
                    "running": own.admission.running if own is not None else 0,
                    "slots": own.admission.slots if own is not None else None,
                    "queued": own.admission.queued if own is not None else 0,
                    "error": snapshot.error or message,
                    "errorGeneration": snapshot.error_generation,
                    "bundleSchema": SCHEMA_VERSION,
                }
            ),
        )

    async def _stats(self, _cycle: Cycle) -> _Answer:
        return 200, _JSON, self._services.metrics.statistics.expose()

    async def _shadow(self, cycle: Cycle) -> _Answer:
        """Tell what requests and answers were kept in pairs; they are users' own words, so not to everybody who may read figures."""
        if not self._trusts(cycle):
            return 403, _TEXT, b"forbidden\n"
        return 200, _JSON, self._services.copies.pairs.expose()

    def _trusts(self, cycle: Cycle) -> bool:
        given = next((value for name, value in cycle.headers if name == b"x-llm-pod-token"), b"")
        return hmac.compare_digest(given, self._services.token)

    async def _drain(self, cycle: Cycle) -> _Answer:
        if not self._trusts(cycle):
            _log.warning("drain refused: wrong or missing token")
            return 403, _TEXT, b"forbidden\n"
        await self._services.drain.run()
        return 200, _TEXT, b"drained\n"
