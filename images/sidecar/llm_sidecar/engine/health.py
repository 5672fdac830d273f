"""Whether the engine serves: one real token at start, then what requests show, and a probe of our own only when none are there."""

import asyncio
import logging
import time
from collections.abc import Callable

import orjson

from llm_sidecar.engine.client import UpstreamClient, request_head
from llm_sidecar.engine.errors import EngineError, EngineUnreachableError

_log = logging.getLogger(__name__)
# Several tokens long: vLLM 0.32 for CPU dies of an illegal instruction when the first prompt of its life has fewer than five.
_PROBE = "The quick brown fox jumps over the lazy dog."
_OK = 200
_DEAD = 503


class Health:
    """Decides readiness of the engine. Being busy is never a reason: only silence of an idle engine and a dead one are."""

    def __init__(
        self,
        client: UpstreamClient,
        served_name: str,
        inflight: Callable[[], int],
        *,
        period_s: float = 1.0,
        idle_s: float = 10.0,
        token_timeout_s: float = 30.0,
        check_timeout_s: float = 2.0,
    ) -> None:
        self._client = client
        self._inflight = inflight
        self._period_s = period_s
        self._idle_s = idle_s
        self._token_timeout_s = token_timeout_s
        self._check_timeout_s = check_timeout_s
        body = orjson.dumps({"model": served_name, "prompt": _PROBE, "max_tokens": 1, "temperature": 0})
        self._token = (request_head("POST", "/v1/completions", (("content-type", "application/json"),), len(body)), body)
        self._check = request_head("GET", "/health", (), 0)
        self._last_success = float("-inf")
        self._wanted = asyncio.Event()
        self.ready = False
        self.reason = "EngineStarting"
        self.message = "the engine has not answered yet"

    def succeeded(self) -> None:
        """Note that a request got its answer from the engine."""
        self._last_success = time.monotonic()

    def suspect(self) -> None:
        """Ask for a look right now: a request could not reach the engine."""
        self._wanted.set()

    async def watch(self) -> None:
        """Follow the engine until cancelled."""
        while True:
            await self.look()
            self._wanted.clear()
            try:
                async with asyncio.timeout(self._period_s):
                    await self._wanted.wait()
            except TimeoutError:
                continue

    async def look(self) -> None:
        """Look once."""
        if not self.ready:
            await self._one_token()
            return
        await self._alive()
        if self.ready and not self._inflight() and time.monotonic() - self._last_success > self._idle_s:
            await self._one_token()

    async def _alive(self) -> None:
        try:
            status, _ = await self._ask(self._check, b"", self._check_timeout_s)
        except EngineUnreachableError as error:
            self._down("EngineUnreachable", str(error))
        except (EngineError, TimeoutError):
            return  # slow is not dead; an idle engine is asked for a token next
        else:
            if status == _DEAD:
                self._down("EngineDead", "the engine says that it died (503 on /health)")

    async def _one_token(self) -> None:
        try:
            status, body = await self._ask(*self._token, self._token_timeout_s)
        except EngineUnreachableError as error:
            # vLLM listens only once it can serve: refused before the first answer means that it is still loading.
            self._down("EngineStarting" if self._last_success == float("-inf") else "EngineUnreachable", str(error))
        except TimeoutError:
            self._down("EngineProbeFailed", f"no token within {self._token_timeout_s:g} s")
        except EngineError as error:
            self._down("EngineProbeFailed", str(error))
        else:
            if status == _OK:
                self._up()
            else:
                self._down("EngineProbeFailed", f"status {status} to a one-token request: {body[:300].decode(errors='replace')}")

    async def _ask(self, request: bytes, body: bytes, timeout_s: float) -> tuple[int, bytes]:
        async with asyncio.timeout(timeout_s):
            connection = await self._client.send(request, body)
            try:
                return connection.status, await connection.body()
            finally:
                self._client.release(connection)

    def _up(self) -> None:
        self.succeeded()
        if not self.ready:
            _log.info("engine answers")
        self.ready, self.reason, self.message = True, "", ""

    def _down(self, reason: str, message: str) -> None:
        if (reason, message) != (self.reason, self.message):
            _log.warning("engine not ready reason=%s: %s", reason, message)
        self.ready, self.reason, self.message = False, reason, message
