"""The public application: the allow-list of paths, who serves a request, and one way out for everything that ends one early."""

import asyncio
import logging

from llm_sidecar import subject
from llm_sidecar.auth.keys import PREVIEW
from llm_sidecar.errors import BUSY, LOST, NOT_BEGUN, Refusal
from llm_sidecar.hop.wire import PING, asked_revision, is_copy, is_forced, is_handed_off, key_of, previewed, trusted, unit_of
from llm_sidecar.http.body import receive
from llm_sidecar.http.call import Call
from llm_sidecar.http.cycle import Cycle, Header
from llm_sidecar.http.exchange import ClientGoneError, Exchange, new_id, revision_of
from llm_sidecar.http.journey import Journey
from llm_sidecar.http.models import serve_models
from llm_sidecar.http.routes import ROUTES, Route
from llm_sidecar.http.services import Services
from llm_sidecar.live import Live

_log = logging.getLogger(__name__)
_OK, _NO_CONTENT, _SERVER_ERROR, _UNAVAILABLE = 200, 204, 500, 503
_SHED = BUSY | {"hold_full", "hold_timeout", "start_failed", "draining", "no_revision"}
_ELSEWHERE = (NOT_BEGUN | LOST) - BUSY


class PublicApp:
    """The application on the public port."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._open: set[Exchange] = set()
        self._copied: set[Exchange] = set()
        own = services.own
        services.metrics.inflight.set_function(lambda: len(self._open))
        services.metrics.tasks.set_function(lambda: len(asyncio.all_tasks()))
        services.metrics.queue_depth.set_function(lambda: own.admission.queued if own is not None else 0)
        services.metrics.held.set_function(lambda: services.hold.waiting)
        services.metrics.body_bytes.set_function(lambda: services.bodies.bytes_taken)
        services.metrics.body_bytes_max.set_function(lambda: services.bodies.most_bytes)

    @property
    def inflight(self) -> int:
        """Return how many requests have not been answered to the end."""
        return len(self._open)

    def end_all(self) -> None:
        """End what is still open: the process is about to go."""
        for exchange in (*self._open, *self._copied):
            exchange.end(Refusal(503, "shutting_down", "this server is shutting down", retry_after_s=1))

    def stamp(self) -> list[Header]:
        """Return what marks an answer to bytes that never became a request."""
        return [(b"x-request-id", new_id().encode()), (b"x-llm-revision", revision_of(self._services.snapshot.live))]

    async def __call__(self, cycle: Cycle) -> None:
        """Serve one request."""
        live = self._services.snapshot.live
        exchange = Exchange(cycle, live) if live is None or live.table.shadow is None else self._services.copies.exchange(cycle, live)
        self._open.add(exchange)
        try:
            if exchange.marks is not None and await self._among_sidecars(exchange, exchange.marks):
                return
            route = self._route(exchange)
            if route.kind == "health":
                await exchange.answer(_OK, b"")
            else:
                if exchange.live is not None and exchange.live.needs_key and not exchange.hop:
                    self._let_in(exchange, exchange.live)
                await self._serve(exchange, route)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  # whatever it is, the client gets one JSON error
            await self._end_early(exchange, error)
        finally:
            exchange.finish()
            self._open.discard(exchange)
            if exchange.booked:
                self._services.hold.shrink(exchange.booked, 0)
            if self._services.drain.draining:
                self._services.drain.finished_one()
            job, exchange.job = exchange.job, None  # else the two would hold each other until the garbage collector comes by
            if job is not None:
                job.count()

    async def _among_sidecars(self, exchange: Exchange, marks: dict[bytes, bytes]) -> bool:
        """Heed what another sidecar says of a request; return whether it was one between sidecars and is served."""
        exchange.hop = asked_revision(marks, self._services.token)
        if exchange.hop:
            exchange.key, exchange.is_forced = key_of(marks), is_forced(marks)
            exchange.unit = unit_of(marks) or exchange.unit
        if exchange.hop and self._services.own is not None:
            exchange.is_handed_off = is_handed_off(marks)
            exchange.load = self._services.own.admission.get_load
        if exchange.hop and is_copy(marks):
            await self._serve_copy(exchange)
            return True
        if exchange.path == PING and exchange.method == "GET" and trusted(marks, self._services.token):
            await self._ping(exchange)
            return True
        return False

    async def _ping(self, exchange: Exchange) -> None:
        """Tell another sidecar whether this pod takes requests."""
        ready, _, _ = self._services.readiness()
        exchange.close = self._services.drain.draining
        await exchange.begin(_NO_CONTENT if ready else _UNAVAILABLE, b"text/plain", None if ready else 0)
        await exchange.write(b"", more=False)

    async def _serve_copy(self, exchange: Exchange) -> None:
        """Serve a copy of a request that somebody else has answered. No drain waits for it, and no figure of requests has it."""
        self._open.discard(exchange)
        self._copied.add(exchange)
        try:
            if self._services.drain.draining:
                raise Refusal(503, "draining", "this server is leaving")
            await self._serve(exchange, self._route(exchange))
        finally:
            exchange.job = None
            self._copied.discard(exchange)

    def _route(self, exchange: Exchange) -> Route:
        route = ROUTES.get(exchange.path)
        if route is None:
            raise Refusal(404, "not_found", f"no such path; there are: {', '.join(path.decode() for path in ROUTES)}")
        if exchange.method != route.method:
            allow = ((b"allow", route.method.encode()),)
            raise Refusal(405, "method_not_allowed", f"this path takes {route.method} only", headers=allow)
        if exchange.deadline:
            exchange.heed_deadline()
        drain = self._services.drain
        exchange.close = drain.draining
        if drain.closed and exchange.hop:
            raise self._shed(_leaving())
        return route

    def _let_in(self, exchange: Exchange, live: Live) -> None:
        """Ask for the key; one that permits it may say which revision serves, and the request is no sample of that one's units then."""
        key = self._services.doorman.authenticate(exchange.authorization)
        exchange.key = key.id
        wanted = previewed(exchange.marks) if exchange.marks is not None and PREVIEW in key.permissions else ""
        if wanted and wanted not in live.routes:
            raise Refusal(404, "revision_not_live", f"there are: {', '.join(live.routes)}", param="x-llm-preview")
        exchange.preview, exchange.is_forced = wanted, bool(wanted)

    async def _serve(self, exchange: Exchange, route: Route) -> None:
        """Serve with the own engine what is assigned to it, and hand on the rest; what another sidecar asks for is never handed on."""
        live, own = exchange.live, self._services.own
        if live is None:
            raise self._shed(Refusal(503, "no_revision", f"nothing to serve yet: {self._services.snapshot.error}", retry_after_s=1))
        revision = exchange.hop or exchange.preview or await self._assigned(exchange, route, live)
        compiled = live.compiled.get(revision)
        refused = _leaving() if self._services.drain.closed else None  # a client may keep a connection for longer than the door is open
        if refused is None and compiled is not None and own is not None and (exchange.hop or not self._services.hold.waiting):
            if revision != live.revision:
                exchange.revision = revision.encode()
            try:
                if own.admission.is_full and not exchange.hop and await self._handed_off(exchange, route, live, revision):
                    return
                if route.kind == "models":
                    await serve_models(own.engine, exchange, route)
                else:
                    exchange.job = call = Call(self._services, own, exchange, route, revision, compiled)
                    await call.serve()
            except Refusal as refusal:
                if exchange.hop or exchange.started or refusal.code not in _ELSEWHERE:
                    raise
                refused = refusal.kept()
            else:
                return
        if exchange.hop:
            raise Refusal(421, "revision_not_here", f"revision {exchange.hop} is not served by this pod")
        await Journey(self._services, exchange, route, live, revision).travel(refused)

    async def _assigned(self, exchange: Exchange, route: Route, live: Live) -> str:
        """Return the revision of a request by whose it is. Until that is known its body may be as large as any revision takes."""
        if not live.table.subject:
            return live.assign(exchange.unit)

        async def body() -> bytes:
            if route.method != "POST":
                return b""
            try:
                await receive(exchange, self._services.hold, self._services.bodies, route, live.max_body_bytes)
            except Refusal as refusal:
                self._shed(refusal)  # there is no job yet that would have it counted
                raise
            return exchange.body(live.max_body_bytes)

        exchange.unit = await subject.find(live.table.subject, exchange.headers, exchange.key, body) or exchange.unit
        return live.assign(exchange.unit)

    async def _handed_off(self, exchange: Exchange, route: Route, live: Live, revision: str) -> bool:
        """Return whether a pod of the same engine with a free slot has served a request that would have to wait here."""
        if not route.operation:
            return False
        peer = self._services.pool.less_loaded(live.routes[revision].engine, exchange.own_name)
        if peer is None:
            return False
        served = await Journey(self._services, exchange, route, live, revision).hand_off(peer)
        self._services.metrics.hand_offs.labels("served" if served else "returned").inc()
        return served

    async def _end_early(self, exchange: Exchange, error: BaseException) -> None:
        job = exchange.job
        if isinstance(error, asyncio.CancelledError):
            error = exchange.reason_for(error)
        if isinstance(error, ClientGoneError):
            if job is not None:
                job.error = "client_closed"
            return
        if not isinstance(error, Refusal):
            _log.error("request failed path=%s id=%s", exchange.path, exchange.request_id.decode(), exc_info=error)
            error = Refusal(500, "internal_error", "the sidecar failed on this request; its log says why")
        if exchange.hop and (error.code in _ELSEWHERE or (exchange.is_handed_off and error.code in BUSY)):
            exchange.job = None  # who asked goes on, and counts
        elif job is not None:
            job.error, job.failed = error.code, error.status >= _SERVER_ERROR
            self._shed(error)
        stream = job.stream if job is not None else None
        if not exchange.started:
            await exchange.close_with(exchange.refuse(error))
        elif stream is not None:
            self._services.metrics.stream_errors.labels(error.code).inc()
            await exchange.close_with(exchange.write(stream.fail(error), more=False))
        else:
            await exchange.cut()

    def _shed(self, refusal: Refusal) -> Refusal:
        if refusal.code in _SHED:
            self._services.metrics.shed.labels(refusal.code).inc()
        return refusal


def _leaving() -> Refusal:
    return Refusal(503, "draining", "this server is leaving; try again and another one answers", retry_after_s=1)
