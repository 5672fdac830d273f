"""The proxy between an operator and the API server: passes everything on, and at the right moment does to it what a plan says."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from http import HTTPStatus

import aiohttp
from aiohttp import web

from tests.lab.faults.asked import Asked, read
from tests.lab.faults.lane import Lane, Recorded
from tests.lab.faults.plan import Action

_BODY_MAX = 8 << 20
_HOP_BY_HOP = frozenset({"connection", "transfer-encoding", "content-length", "host", "accept-encoding", "keep-alive"})
_REASONS = {
    400: "BadRequest",
    403: "Forbidden",
    404: "NotFound",
    409: "Conflict",
    410: "Expired",
    412: "Conflict",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


class CutError(Exception):
    """The connection is to be cut without an answer."""


class Proxy:
    """Serves one lane. Speaks plain HTTP to the operator and the lab's TLS to the API server; credentials pass as they are."""

    def __init__(self, lane: Lane, session: aiohttp.ClientSession, server: str) -> None:
        self._lane = lane
        self._session = session
        self._server = server
        self._open: set[asyncio.Transport] = set()
        lane.cut = self.cut_all

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Pass one request on, or do to it what is planned."""
        transport = request.transport
        try:
            return await self._handle(request)
        except (CutError, aiohttp.ClientError, ConnectionError):
            if transport is not None:
                transport.abort()
            return web.Response(status=HTTPStatus.BAD_GATEWAY)  # to nobody: the connection is gone

    def cut_all(self) -> None:
        """Cut every connection that waits for an answer, watches among them."""
        for transport in list(self._open):
            transport.abort()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        lane = self._lane
        asked = read(
            request.method, request.path, request.query, request.headers.get("Content-Type", ""), request.headers.get("User-Agent", "")
        )
        body = await request.read()
        if lane.is_away:
            raise CutError
        with self._counted(request):
            await self._silence()
            action = lane.strikes(asked, url=request.path_qs)
            phase = lane.plan.trigger.phase if lane.plan else "before"
            if action and phase == "before":
                answer = await self._instead(action, request)
                if answer is not None:
                    return answer
            if asked.verb == "watch":
                return await self._stream(asked, request)
            if action and phase == "during":
                # The request is on its way when the operator dies; whether it is applied is the server's own affair.
                passing = asyncio.ensure_future(self._pass_on(asked, request, body))
                await asyncio.sleep(0)
                lane.kill()
                return await asyncio.shield(passing)
            done = asyncio.ensure_future(self._pass_on(asked, request, body))
            answer = await asyncio.shield(done)  # a write that was sent is applied, also when its sender dies meanwhile
            await self._silence()
            if action and phase == "after":
                return await self._instead(action, request) or answer
            return answer

    async def _silence(self) -> None:
        """Wait for the end of a silence; who gives up meanwhile and closes the connection has asked for nothing."""
        if self._lane.silent_s:
            await asyncio.sleep(self._lane.silent_s)

    @contextlib.contextmanager
    def _counted(self, request: web.Request) -> Iterator[None]:
        transport = request.transport
        if transport is not None:
            self._open.add(transport)
        try:
            yield
        finally:
            if transport is not None:
                self._open.discard(transport)

    async def _instead(self, action: Action, request: web.Request) -> web.StreamResponse | None:
        """Do what is planned; return the answer to give in place of the server's, or None for the server's own."""
        lane = self._lane
        if action.do == "kill":
            lane.kill()
        if action.do in {"kill", "reset"}:
            raise CutError
        if action.do == "outage":
            self.outage(action.seconds)
            raise CutError
        if action.do in {"delay", "hang"}:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.Event().wait(), action.seconds)
            lane.cleared()
            if action.do == "hang":
                raise CutError
            return None
        if action.do == "stale":
            earlier = lane.earlier(request.path_qs)
            return web.Response(status=earlier.status, body=earlier.body, content_type=earlier.content_type) if earlier else None
        return refusal(action)

    def outage(self, seconds: float) -> None:
        """Let nothing pass for a time, and cut what is open."""
        self._lane.away_until = self._lane.cleared_at = time.monotonic() + seconds
        self.cut_all()

    async def _pass_on(self, asked: Asked, request: web.Request, body: bytes) -> web.Response:
        async with self._session.request(
            request.method, self._server + request.path_qs, data=body or None, headers=_headers(request)
        ) as upstream:
            data = await upstream.read()
            self._lane.took(asked, upstream.status, body)
            if not asked.writes:
                self._lane.record(request.path_qs, Recorded(upstream.status, upstream.content_type, data))
            headers = {name: value for name, value in upstream.headers.items() if name in {"Content-Type", "Retry-After", "Warning"}}
            return web.Response(status=upstream.status, body=data, headers=headers)

    async def _stream(self, asked: Asked, request: web.Request) -> web.StreamResponse:
        """Pass a watch on line by line."""
        async with self._session.get(self._server + request.path_qs, headers=_headers(request)) as upstream:
            self._lane.took(asked, upstream.status, b"")
            answer = web.StreamResponse(status=upstream.status, headers={"Content-Type": upstream.headers.get("Content-Type", "")})
            await answer.prepare(request)
            async for line in upstream.content:
                if not await self._line(asked, line, answer):
                    break
            return answer

    async def _line(self, asked: Asked, line: bytes, answer: web.StreamResponse) -> bool:
        """Pass one line on, or do to it what is planned; return whether the watch goes on."""
        event = json.loads(line)
        await self._silence()
        action = None
        if event["type"] != "BOOKMARK":
            action = self._lane.strikes(asked, name=event["object"].get("metadata", {}).get("name", ""), event=event["type"])
        if action is None:
            await answer.write(line)
        elif action.do == "kill":
            self._lane.kill()
            raise CutError
        elif action.do == "duplicate":
            await answer.write(line + line)
        elif action.do == "delay":
            await asyncio.sleep(action.seconds)
            self._lane.cleared()
            await answer.write(line)
        elif action.do == "gap":
            await asyncio.sleep(action.seconds)  # what happens meanwhile is never told, only what is there after it
            self._lane.cleared()
            gone = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Expired", "code": 410, "message": "too old"}
            await answer.write(json.dumps({"type": "ERROR", "object": gone}).encode() + b"\n")
            return False
        elif action.do == "reset":
            raise CutError
        return True  # "drop": nobody hears of it


def refusal(action: Action) -> web.Response:
    """Return an answer as the API server gives it when it refuses."""
    reason = action.reason or _REASONS.get(action.code, "InternalError")
    message = f"the fault lab answers {action.code} {reason}"
    status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "reason": reason}
    headers = {"Retry-After": str(action.retry_after_s)} if action.retry_after_s else {}
    return web.json_response({**status, "code": action.code}, status=action.code, headers=headers)


@asynccontextmanager
async def proxy(lane: Lane, session: aiohttp.ClientSession, server: str) -> AsyncIterator[str]:
    """Serve a lane while the context lasts; yields the URL an operator reaches it at."""
    serving = Proxy(lane, session, server)
    app = web.Application(client_max_size=_BODY_MAX)
    app.router.add_route("*", "/{path:.*}", serving.handle)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        serving.cut_all()
        await runner.cleanup()


def _headers(request: web.Request) -> dict[str, str]:
    passed = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
    return {**passed, "Accept-Encoding": "identity"}
