"""A request that the own engine does not simply serve: handed to whoever can, tried again where that is safe, held where nobody can."""

import time
from collections.abc import Iterator
from functools import partial

from llm_sidecar.errors import BUSY, LOST, NOT_BEGUN, Refusal
from llm_sidecar.hop.hold import Place
from llm_sidecar.hop.pool import Peer
from llm_sidecar.http.body import receive
from llm_sidecar.http.call import Call, too_late
from llm_sidecar.http.exchange import Exchange, Failing
from llm_sidecar.http.forward import Forward
from llm_sidecar.http.models import serve_models
from llm_sidecar.http.routes import Route
from llm_sidecar.http.services import Services
from llm_sidecar.live import Live
from llm_sidecar.shape import wants_stream
from llm_sidecar.table import Route as Assigned

_STREAMED = frozenset({"chat", "completion"})
_LONGER_S = 0.5
"""Who serves a request says that it took too long, and counts that once; the first hop only where nobody says so."""


class Journey:
    """Takes one request to its answer. Counts only what nobody else does: its own failures, against the assigned revision."""

    _forward: Forward | None
    _lost: Refusal | None
    _place: Place | None

    __slots__ = ("_assigned", "_exchange", "_forward", "_live", "_lost", "_lost_at", "_place", "_route", "_services", "error", "failed")

    def __init__(self, services: Services, exchange: Exchange, route: Route, live: Live, assigned: str) -> None:
        self._services = services
        self._exchange = exchange
        self._route = route
        self._live = live
        self._assigned = assigned
        self._forward = None
        self._lost, self._lost_at = None, ""
        self._place = None
        self.error = ""
        self.failed = False

    @property
    def stream(self) -> Failing | None:
        """Return the stream that has begun, if one has."""
        return self._forward.stream if self._forward is not None else None

    async def travel(self, refused: Refusal | None) -> None:
        """Take the request to the last byte of its answer, or raise Refusal. ``refused`` is what the own engine has said already."""
        exchange, hold = self._exchange, self._services.hold
        exchange.job = self
        try:
            await self._begin()
            if not hold.waiting:
                refused = await self._round(refused)
            elif refused is None:
                refused = _nobody()
            while refused is not None:
                await self._hold(refused)
                refused = await self._round(None)
        finally:
            if self._place is not None:
                hold.leave(self._place)
                self._services.metrics.hold_seconds.observe(self._place.held_s)

    async def hand_off(self, peer: Peer) -> bool:
        """Return whether a pod of the own engine has served the request; it is asked for a slot that is free, and only once."""
        exchange = self._exchange
        exchange.job = self
        await self._begin()
        try:
            await self._hand_over(self._live.routes[self._assigned], peer, hand_off=True)
        except Refusal as refusal:
            if exchange.started or refusal.code not in NOT_BEGUN:
                raise
            return False
        return True

    def count(self) -> None:
        """Add this request to the figures, if it failed here."""
        if not self.error or (self.error == "client_closed" and self._forward is not None):
            return  # who served it has counted it
        duration_s = time.perf_counter() - self._exchange.started_at - self._exchange.held_s
        if self._route.operation:
            self._services.metrics.failed(self._route.operation, self._assigned, self.error, duration_s)
            if not self._exchange.is_forced or not self._exchange.started:
                self._record(failed=self.failed)

    def _record(self, *, failed: bool) -> None:
        """Add the request to the statistics of the revision it was assigned to: who served it instead, or nobody, does not."""
        if self._exchange.preview:
            return
        self._services.metrics.statistics.record(self._assigned, self._exchange.unit, failed=failed)

    async def _begin(self) -> None:
        """Check and read the request, once."""
        exchange, limits = self._exchange, self._live.limits_of(self._assigned)
        if self._route.method == "POST" and exchange.content is None:
            await receive(exchange, self._services.hold, self._services.bodies, self._route, limits.max_body_bytes)
        exchange.limit(limits.total_timeout_ms / 1000 + _LONGER_S, partial(too_late, limits))

    async def _hold(self, refused: Refusal) -> None:
        """Wait until somebody can be reached; then begin anew with the table that is in force by then."""
        exchange, hold = self._exchange, self._services.hold
        if not hold.enabled or (self._place is None and self._services.drain.closed):
            raise refused.kept()
        exchange.no_limit()
        if self._place is None:
            booked, exchange.booked = exchange.booked, 0
            exchange.give_back()  # it is counted in the hold from here on
            self._place = hold.take(len(exchange.content or b""), booked)
        else:
            hold.back(self._place)
        try:
            await hold.wait(self._place, self._tell)
        finally:
            exchange.held_s = self._place.held_s
        self._live = self._services.snapshot.live or self._live
        if not exchange.announced:
            self._assigned = exchange.preview or self._live.assign(exchange.unit)
        elif self._assigned not in self._live.routes:
            raise Refusal(503, "revision_not_live", f"revision {self._assigned} went while this request waited for it", retry_after_s=1)
        limits = self._live.limits_of(self._assigned)
        exchange.limit(limits.total_timeout_ms / 1000 + _LONGER_S, partial(too_late, limits))

    def _tell(self) -> None:
        """Keep a client alive that waits for a stream. That names the revision, so only where there is no other one that could serve it."""
        exchange = self._exchange
        if exchange.announced or (len(self._live.routes) == 1 and self._route.kind in _STREAMED and wants_stream(exchange.content or b"")):
            exchange.revision = self._assigned.encode()
            exchange.keep_alive()

    async def _round(self, refused: Refusal | None) -> Refusal | None:
        """Ask everybody who could serve this request once. Return nothing when it was served, else why the first one did not."""
        first = refused
        if refused is not None:
            self._note(refused, self._live.routes[self._assigned].engine)
        full: Assigned | None = None
        for target, peer in self._ways(own_failed=refused is not None):
            if full is not None and target is not full:
                break  # it was not fled before it was held either
            if self._is_shunned(target):
                continue
            said = await self._try(target, peer)
            if said is None:
                return None
            if said.code in BUSY:
                full = target
            first = first or said
        if self._lost is not None:
            raise self._lost.kept()
        return first or _nobody()

    def _ways(self, *, own_failed: bool) -> Iterator[tuple[Assigned, Peer | None]]:
        """Return whom to ask for what: the assigned revision, then those a unit may fall back to; None is the own engine."""
        for target in self._targets:
            if target.revision in self._live.compiled and not own_failed:
                own_failed = True
                yield target, None
            for peer in self._peers(target):
                yield target, peer

    @property
    def _targets(self) -> list[Assigned]:
        assigned = self._live.routes.get(self._assigned)
        if self._exchange.preview or self._exchange.announced:  # another revision is not what was asked for
            return [assigned] if assigned is not None else []
        return [*([assigned] if assigned is not None else []), *(route for route in self._live.order if route is not assigned)]

    def _is_shunned(self, target: Assigned) -> bool:
        """Return whether this engine lost the request and another one might do better with it."""
        return target.engine == self._lost_at and any(each.engine != self._lost_at for each in self._targets)

    def _peers(self, target: Assigned) -> Iterator[Peer]:
        """Return a pod that is known to be ready, then the Service in front of all of them."""
        pool = self._services.pool
        peer = pool.pick(target.engine, self._exchange.own_name)
        if peer is not None:
            yield peer
        service = self._live.table.engines.get(target.engine)
        if service is not None:
            yield pool.service(service)

    async def _try(self, target: Assigned, peer: Peer | None) -> Refusal | None:
        """Ask one; return nothing when the request was served, or a refusal after which another may be asked."""
        exchange = self._exchange
        exchange.is_forced = bool(exchange.preview) or target.revision != self._assigned
        try:
            if peer is not None:
                await self._hand_over(target, peer)
            else:
                await self._serve_here(target)
        except Refusal as refusal:
            if exchange.started:
                raise
            exchange.revision = self._assigned.encode()
            self._note(refusal, target.engine)
            return refusal.kept()
        finally:
            if exchange.started and target.revision != self._assigned:
                self._services.metrics.fallbacks.labels(self._assigned, target.revision).inc()
                if self._route.operation:
                    self._record(failed=True)
        return None

    async def _hand_over(self, target: Assigned, peer: Peer, *, hand_off: bool = False) -> None:
        services = self._services
        self._forward = Forward(
            self._exchange,
            self._route,
            services.token,
            target.revision,
            self._live.generation,
            pass_busy=self._place is None and not hand_off,
            hand_off=hand_off,
        )
        await self._forward.serve(peer)

    async def _serve_here(self, target: Assigned) -> None:
        own = self._services.own
        if own is None:
            raise _nobody()
        if self._route.kind == "models":
            await serve_models(own.engine, self._exchange, self._route)
            return
        self._exchange.revision = target.revision.encode()
        call = Call(self._services, own, self._exchange, self._route, target.revision, self._live.compiled[target.revision])
        self._exchange.job = call
        try:
            await call.serve()
        except Refusal as refusal:
            if not self._exchange.started and (self._exchange.is_forced or self._may_go_on(refusal)):
                self._exchange.job = self
            raise

    def _note(self, refusal: Refusal, engine: str) -> None:
        """Remember and count an attempt that came to nothing, or raise where nobody else may be asked."""
        if not self._may_go_on(refusal):
            raise refusal.kept()
        if refusal.code in LOST:
            self._lost, self._lost_at = refusal.kept(), engine
        self._services.metrics.unserved.labels(self._assigned, refusal.code).inc()

    def _may_go_on(self, refusal: Refusal) -> bool:
        if refusal.code in BUSY:
            return self._place is not None
        return refusal.code in NOT_BEGUN or (refusal.code in LOST and self._lost is None)


def _nobody() -> Refusal:
    return Refusal(503, "engine_unavailable", "no engine of this deployment can be reached", retry_after_s=1)
