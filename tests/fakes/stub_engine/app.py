"""Every path of the stub: vLLM's, and ``/-/`` for whoever switches its faults or asks what it saw."""

import asyncio
import json
import time
from collections import deque
from dataclasses import asdict
from http import HTTPStatus
from typing import Any

from . import wire
from .answer import body_hash, chat_tokens_of, completion_tokens_of
from .engine import Engine
from .faults import FaultBox, Faults
from .generate import Generator
from .http import Exchange, Handler
from .metrics import CONTENT_TYPE, Metrics
from .options import Options

_SEEN = 64
_GUARDED = ("/v1", "/v2", "/inference")


class App:
    """Routes requests and counts answers."""

    def __init__(self, options: Options, engine: Engine, metrics: Metrics, faults: FaultBox) -> None:
        self._options = options
        self._engine = engine
        self._metrics = metrics
        self._faults = faults
        self._created = int(time.time())
        self._seen: deque[dict[str, Any]] = deque(maxlen=_SEEN)
        self._generator = Generator(options, engine, faults)
        self._routes: dict[str, dict[str, Handler]] = {
            "/health": {"GET": self._health},
            "/ping": {"GET": self._health, "POST": self._health},
            "/version": {"GET": self._version},
            "/load": {"GET": self._load},
            "/metrics": {"GET": self._show_metrics},
            "/tokenize": {"POST": self._tokenize},
            "/v1/models": {"GET": self._models},
            "/v1/chat/completions": {"POST": self._generate},
            "/v1/completions": {"POST": self._generate},
            "/-/faults": {"GET": self._show_faults, "POST": self._switch_faults, "DELETE": self._clear_faults},
            "/-/requests": {"GET": self._show_requests},
        }

    async def __call__(self, exchange: Exchange) -> None:
        """Answer one request."""
        request = exchange.request
        route = self._routes.get(request.path)
        try:
            if not self._may(exchange):
                await exchange.answer_json(HTTPStatus.UNAUTHORIZED, {"error": "Unauthorized"})
            elif route is None:
                await exchange.answer_json(HTTPStatus.NOT_FOUND, {"detail": "Not Found"})
            elif request.method not in route:
                await exchange.answer_json(HTTPStatus.METHOD_NOT_ALLOWED, {"detail": "Method Not Allowed"})
            else:
                await route[request.method](exchange)
        finally:
            if exchange.status and not request.path.startswith("/-/"):
                self._metrics.count_http(request.path if route else "none", request.method, exchange.status)

    def _may(self, exchange: Exchange) -> bool:
        if not self._options.api_keys or not exchange.request.path.startswith(_GUARDED):
            return True
        return exchange.request.headers.get("authorization", "").removeprefix("Bearer ") in self._options.api_keys

    async def _health(self, exchange: Exchange) -> None:
        await exchange.answer(503 if self._faults.now.unhealthy else 200)

    async def _version(self, exchange: Exchange) -> None:
        await exchange.answer_json(200, {"version": wire.VERSION})

    async def _load(self, exchange: Exchange) -> None:
        await exchange.answer_json(200, {"server_load": self._engine.jobs})

    async def _models(self, exchange: Exchange) -> None:
        await exchange.answer_json(200, wire.models(self._options.names, self._options.model, self._options.max_model_len, self._created))

    async def _generate(self, exchange: Exchange) -> None:
        request = exchange.request
        body = request.body.decode(errors="replace")
        self._seen.append({"path": request.path, "hash": body_hash(request.body), "headers": dict(request.headers), "body": body})
        await self._generator.answer(exchange)

    async def _tokenize(self, exchange: Exchange) -> None:
        body = json.loads(exchange.request.body)
        count = chat_tokens_of(body["messages"]) if "messages" in body else completion_tokens_of(body["prompt"])
        answer = {"count": count, "max_model_len": self._options.max_model_len, "tokens": list(range(count)), "token_strs": None}
        await exchange.answer_json(200, answer)

    async def _show_metrics(self, exchange: Exchange) -> None:
        self._engine.refresh_gauges()
        text = self._metrics.render()
        match self._faults.now.metrics:
            case "missing":
                await exchange.answer_json(404, {"detail": "Not Found"})
                return
            case "error":
                await exchange.answer_json(500, {"detail": "Internal Server Error"})
                return
            case "hang":
                await asyncio.get_running_loop().create_future()
            case "empty":
                text = ""
            case "garbage":
                text = "\x00<html>vllm:num_requests_running NaN NaN\nvllm:{{{ 1\n"
            case "nan":
                text = "\n".join(line if line.startswith("#") else f"{line.rpartition(' ')[0]} NaN" for line in text.splitlines()) + "\n"
            case "foreign":
                text = text.replace("vllm:", "other:")
        await exchange.answer(200, text.encode(), kind=CONTENT_TYPE)

    async def _show_faults(self, exchange: Exchange) -> None:
        await exchange.answer_json(200, asdict(self._faults.now))

    async def _switch_faults(self, exchange: Exchange) -> None:
        try:
            changed = self._faults.now.changed(json.loads(exchange.request.body))
        except (ValueError, AttributeError) as error:
            await exchange.answer_json(400, {"error": str(error)})
            return
        await self._put_faults(exchange, changed)

    async def _clear_faults(self, exchange: Exchange) -> None:
        await self._put_faults(exchange, Faults())

    async def _put_faults(self, exchange: Exchange, faults: Faults) -> None:
        if faults.metrics == "reset":
            self._metrics.reset()
            faults = faults.changed({"metrics": ""})
        self._faults.now = faults
        await exchange.answer_json(200, asdict(faults))
        if faults.exit_code is not None:
            raise SystemExit(faults.exit_code)

    async def _show_requests(self, exchange: Exchange) -> None:
        await exchange.answer_json(200, list(self._seen))
