"""One request on its way through: limits, body, prompt, engine, answer, figures."""

import time
from functools import partial
from typing import TYPE_CHECKING

from llm_sidecar.bundle import Limits
from llm_sidecar.compile import Compiled
from llm_sidecar.engine import answers
from llm_sidecar.engine.client import post_head
from llm_sidecar.engine.connection import Connection
from llm_sidecar.engine.errors import EngineError, EngineLostError, EngineUnreachableError
from llm_sidecar.errors import NOT_BEGUN, Refusal
from llm_sidecar.http.cycle import Header
from llm_sidecar.http.exchange import Exchange
from llm_sidecar.http.prepare import Answered, Prepared, answered, guarded, prepare
from llm_sidecar.http.routes import Route
from llm_sidecar.http.services import Own, Services
from llm_sidecar.judging import Judging
from llm_sidecar.shape import check_nesting, too_large
from llm_sidecar.stream.relay import Filter
from llm_sidecar.stream.scanner import EventTooLargeError

if TYPE_CHECKING:
    from llm_sidecar.stream.answers import Usage

BODY_TIMEOUT_S = 30.0
_OK = 200
_SERVER_ERROR = 500
_STREAM_HEADERS = ((b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no"))
_RETRY_SOON = ((b"retry-after", b"1"),)
_RETRY_STATUSES = frozenset({429, 503})


def check_head(exchange: Exchange, route: Route, max_body_bytes: int) -> None:
    """Raise Refusal for a request whose headers already say that it cannot be served."""
    if exchange.encoded:
        raise Refusal(415, "encoding_not_supported", "send the body without content-encoding")
    if route.kind != "generate" and not exchange.content_type.lower().startswith(b"application/json"):
        raise Refusal(415, "type_not_supported", "send the body as content-type: application/json")
    if exchange.content_length is not None and exchange.content_length > max_body_bytes:
        raise too_large(max_body_bytes)


def body_too_slow() -> Refusal:
    """Return what ends a request whose body does not come."""
    return Refusal(408, "body_timeout", "the request's body did not arrive in time")


def too_late(limits: Limits) -> Refusal:
    """Return what ends a request that takes longer than it may."""
    total_s = limits.total_timeout_ms / 1000
    return Refusal(504, "total_timeout", f"no complete answer within {total_s:g} s, this deployment's limits.totalTimeout")


class Call:
    """A request for tokens that the own engine serves. Created per request; knows at its end what there is to count."""

    __slots__ = (
        "_compiled",
        "_exchange",
        "_first_at",
        "_judging",
        "_own",
        "_revision",
        "_route",
        "_services",
        "_usage",
        "_waited_s",
        "error",
        "failed",
        "stream",
    )

    def __init__(self, services: Services, own: Own, exchange: Exchange, route: Route, revision: str, compiled: Compiled) -> None:
        self._services = services
        self._own = own
        self._exchange = exchange
        self._route = route
        self._revision = revision
        self._compiled = compiled
        self._judging: Judging | None = None
        self._usage: Usage | None = None
        self._first_at = 0.0
        self._waited_s = 0.0
        self.stream: Filter | None = None
        self.error = ""
        self.failed = False

    async def serve(self) -> None:
        """Take the request through to the last byte of its answer, or raise Refusal."""
        check_head(self._exchange, self._route, self._compiled.limits.max_body_bytes)
        self._exchange.reserve(self._services.bodies)
        key = self._exchange.key
        entry = self._services.doorman.enter(key) if key else None
        if entry is None:
            await self._admit()
            return
        try:
            await self._admit()
        except Refusal as refusal:
            if refusal.code in NOT_BEGUN:
                entry.undo()
                entry = None
            raise
        finally:
            if entry is not None:
                entry.end(*self._tokens())

    async def _admit(self) -> None:
        exchange, limits = self._exchange, self._compiled.limits
        total_s, late = limits.total_timeout_ms / 1000, partial(too_late, limits)
        admission = self._own.admission
        began = time.perf_counter()
        if not admission.take():
            exchange.limit(total_s, late)
            await admission.acquire(may_wait=not exchange.is_handed_off)
        if exchange.load is not None:
            exchange.load = admission.get_load_of_others  # its own slot is free when the answer is
        try:
            if not exchange.arrived:
                exchange.limit(min(total_s, BODY_TIMEOUT_S), body_too_slow)
                await exchange.receive(limits.max_body_bytes)
            body = exchange.body(limits.max_body_bytes)
            self._waited_s = time.perf_counter() - began
            exchange.limit(total_s, late)
            prepared = await self._prepare(body)
            if prepared.unknown_keys:
                self._services.metrics.unknown_keys.inc(prepared.unknown_keys)
            await self._forward(prepared)
        finally:
            admission.release()

    async def _prepare(self, body: bytes) -> Prepared:
        compiled, name = self._compiled, self._services.served_name
        check_nesting(body, compiled.limits)
        if compiled.pipeline is None:
            return prepare(self._route, compiled, name, body)
        judging = self._judging = Judging(self._services.metrics.stages)
        self._exchange.degraded = judging.bypassed
        return await guarded(self._route, compiled, name, body, judging)

    def count(self) -> None:
        """Add this request to the figures."""
        now = time.perf_counter()
        duration_s = now - self._exchange.started_at
        metrics, operation, revision = self._services.metrics, self._route.operation, self._revision
        bound = metrics.bind(operation, revision)
        prompt_tokens, tokens = self._tokens()
        if prompt_tokens or tokens:
            bound.input_tokens.observe(prompt_tokens)
            bound.output_tokens.observe(tokens)
        first_token_s = per_token_s = 0.0
        if self.error:
            metrics.failed(operation, revision, self.error, duration_s)
        else:
            bound.duration.observe(duration_s)
            metrics.overhead.observe(max(0.0, duration_s - self._waited_s))
            if self._first_at:
                first_token_s = self._first_at - self._exchange.started_at
                bound.time_to_first_token.observe(first_token_s)
                if tokens > 1:
                    per_token_s = (now - self._first_at) / (tokens - 1)
                    bound.time_per_output_token.observe(per_token_s)
        if not self._exchange.is_forced:
            metrics.statistics.record(
                revision,
                self._exchange.unit,
                failed=self.failed,
                first_token_s=max(0.0, first_token_s - self._exchange.held_s),
                per_token_s=per_token_s,
                prompt_tokens=prompt_tokens,
                completion_tokens=tokens,
            )

    def _tokens(self) -> tuple[int, int]:
        """Return the tokens of prompt and answer. A stream that was cut short has cost its tokens all the same."""
        usage = self._usage if self.stream is None else self.stream.usage
        return (usage.prompt_tokens, usage.completion_tokens or 0) if usage is not None else (0, 0)

    async def _forward(self, prepared: Prepared) -> None:
        exchange = self._exchange
        head = post_head(self._route.upstream, exchange.upstream_id, exchange.trace, len(prepared.body))
        asked = time.perf_counter()
        try:
            connection = await self._own.engine.send(head, prepared.body)
        except EngineUnreachableError as error:
            self._own.health.suspect()
            raise answers.unreachable(str(error)) from error
        except EngineLostError as error:
            self._own.health.suspect()
            raise answers.lost(str(error)) from error
        except EngineError as error:
            self._own.health.suspect()
            raise answers.broken(str(error)) from error
        try:
            if connection.status == _OK and connection.headers.get(b"content-type", b"").startswith(b"text/event-stream"):
                self._waited_s += time.perf_counter() - asked
                await self._relay(connection, prepared.stream(self._compiled, self._judging), classic_lines=prepared.echo is not None)
            else:
                body = await connection.body()
                self._waited_s += time.perf_counter() - asked
                told = await answered(self._route, self._compiled, self._judging, prepared.echo, connection.status, body)
                await exchange.answer(told.status, told.body, extra=self._note(told))
        except (EngineError, EventTooLargeError) as error:
            self._own.health.suspect()
            raise answers.broken(str(error)) from error
        finally:
            self._own.engine.release(connection)

    def _note(self, told: Answered) -> tuple[Header, ...]:
        """Note how the engine has answered, and return the headers to say besides."""
        self._usage = told.usage
        if told.status == _OK:
            self._own.health.succeeded()
            return ()
        self.error, self.failed = str(told.status), told.status >= _SERVER_ERROR
        return _RETRY_SOON if told.status in _RETRY_STATUSES else ()

    async def _relay(self, connection: Connection, stream: Filter, *, classic_lines: bool) -> None:
        exchange = self._exchange
        content_type = b"application/x-ndjson" if classic_lines else b"text/event-stream; charset=utf-8"
        self.stream = stream
        await exchange.begin(_OK, content_type, None, _STREAM_HEADERS)
        last = False
        while not last:
            waited = time.perf_counter()
            data = await connection.chunk()
            now = time.perf_counter()
            self._waited_s += now - waited
            out = stream.feed(data)
            last = connection.drained
            if last:
                out += stream.finish()
            if out and not self._first_at:
                self._first_at = now
            if out or last:
                await exchange.write(out, more=not last)
        if stream.error or not stream.done:
            self.error, self.failed = "stream_error" if stream.error else "stream_truncated", True
            self._services.metrics.stream_errors.labels(self.error).inc()
        else:
            self._own.health.succeeded()
