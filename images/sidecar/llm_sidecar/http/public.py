"""The public application: the allow-list of paths, and one way out for everything that ends a request early."""

import asyncio
import logging

from llm_sidecar.engine import answers
from llm_sidecar.engine.client import EngineClient, request_head
from llm_sidecar.engine.errors import EngineError, EngineUnreachableError
from llm_sidecar.errors import Refusal
from llm_sidecar.http.call import Call
from llm_sidecar.http.exchange import ClientGoneError, Exchange, Receive, Scope, Send, new_id, revision_of
from llm_sidecar.http.routes import ROUTES, Route
from llm_sidecar.http.services import Services

_log = logging.getLogger(__name__)
_MODELS_TIMEOUT_S = 10.0
_OK = 200
_SHED = frozenset({"queue_full", "queue_timeout", "draining", "no_revision"})


class PublicApp:
    """The ASGI application on the public port."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._open: set[Exchange] = set()
        services.metrics.inflight.set_function(lambda: len(self._open))
        own = services.own
        services.metrics.queue_depth.set_function(lambda: own.admission.queued if own is not None else 0)

    @property
    def inflight(self) -> int:
        """Return how many requests have not been answered to the end."""
        return len(self._open)

    def end_all(self) -> None:
        """End what is still open: the process is about to go."""
        for exchange in tuple(self._open):
            exchange.end(Refusal(503, "shutting_down", "this server is shutting down", retry_after_s=1))

    def stamp(self) -> list[tuple[bytes, bytes]]:
        """Return what marks an answer to bytes that never became a request."""
        return [(b"x-request-id", new_id().encode()), (b"x-llm-revision", revision_of(self._services.snapshot.live))]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        exchange = Exchange(scope, receive, send, self._services.snapshot.live)
        self._open.add(exchange)
        call: Call | None = None
        try:
            route = self._route(exchange)
            if route.kind == "health":
                await exchange.answer(_OK, b"")
            elif route.kind == "models" and self._services.own is not None:
                await self._models(exchange, route, self._services.own.engine)
            else:
                call = self._call(exchange, route)
                await call.serve()
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  # whatever it is, the client gets one JSON error
            await self._end_early(exchange, call, error)
        finally:
            exchange.finish()
            self._open.discard(exchange)
            if self._services.drain.draining:
                self._services.drain.finished_one()
            if call is not None:
                call.count()

    def _route(self, exchange: Exchange) -> Route:
        route = ROUTES.get(exchange.path)
        if route is None:
            raise Refusal(404, "not_found", f"no such path; there are: {', '.join(path.decode() for path in ROUTES)}")
        if exchange.method != route.method:
            allow = ((b"allow", route.method.encode()),)
            raise Refusal(405, "method_not_allowed", f"this path takes {route.method} only", headers=allow)
        drain = self._services.drain
        exchange.close = drain.draining
        if drain.closed and route.kind != "health":
            raise self._shed(Refusal(503, "draining", "this server is leaving; try again and another one answers", retry_after_s=1))
        return route

    def _call(self, exchange: Exchange, route: Route) -> Call:
        live, own = exchange.live, self._services.own
        if live is None or own is None or not live.revision:
            snapshot = self._services.snapshot
            raise self._shed(Refusal(503, "no_revision", f"nothing to serve yet: {snapshot.error}", retry_after_s=1))
        return Call(self._services, own, exchange, route, live.revision, live.compiled[live.revision])

    async def _models(self, exchange: Exchange, route: Route, engine: EngineClient) -> None:
        exchange.limit(_MODELS_TIMEOUT_S, Refusal(504, "engine_timeout", f"the engine did not answer within {_MODELS_TIMEOUT_S:g} s"))
        try:
            connection = await engine.send(request_head("GET", route.upstream, (("x-request-id", exchange.upstream_id),), 0))
            try:
                body = await connection.body()
            finally:
                engine.release(connection)
        except EngineUnreachableError as error:
            raise answers.unreachable(str(error)) from error
        except EngineError as error:
            raise answers.broken(str(error)) from error
        status = connection.status
        if status != _OK:
            status, body = answers.normalise(status, body)
        await exchange.answer(status, body)

    async def _end_early(self, exchange: Exchange, call: Call | None, error: BaseException) -> None:
        if isinstance(error, asyncio.CancelledError):
            error = exchange.reason_for(error)
        if isinstance(error, ClientGoneError):
            if call is not None:
                call.error = "client_closed"
            return
        if not isinstance(error, Refusal):
            _log.error("request failed path=%s id=%s", exchange.path, exchange.request_id.decode(), exc_info=error)
            error = Refusal(500, "internal_error", "the sidecar failed on this request; its log says why")
        if call is not None:
            call.error = error.code
            self._shed(error)
        if not exchange.started:
            await exchange.close_with(exchange.refuse(error))
        elif call is not None and call.stream is not None:
            self._services.metrics.stream_errors.labels(error.code).inc()
            await exchange.close_with(exchange.write(call.stream.fail(error), more=False))
        else:
            await exchange.cut()

    def _shed(self, refusal: Refusal) -> Refusal:
        if refusal.code in _SHED:
            self._services.metrics.shed.labels(refusal.code).inc()
        return refusal
