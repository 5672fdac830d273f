"""Questions that are asked again and again, of servers some of which are slow, gone or lying."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from llm_operator.api.config import Gates
from llm_operator.core.gates.fetched import PROMETHEUS, Fetched, Question
from llm_operator.shell.telemetry import HttpTelemetry

KEY = "team/chat"
QUERY = Question("promql/cost", PROMETHEUS, 'sum(cost{llm_revision="a+b"})', 0.01, 2)


def question(webhook: str, text: str = "{}") -> Question:
    return Question(f"webhook/{webhook}", webhook, text, 0.01, 1)


@dataclass
class Servers:
    """Prometheus and a few webhooks behind one port. ``asked`` has what was asked of each."""

    asked: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    numbers: int = 0

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/prefix/api/v1/query", self._query)
        app.router.add_post("/{name}", self._answer)
        return app

    async def _query(self, request: web.Request) -> web.Response:
        form = await request.post()
        self._note(request, str(form["query"]))
        self.numbers += 1
        answer = web.json_response({"number": self.numbers})
        answer.enable_compression()  # as Prometheus does for whoever says that he can read it
        return answer

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self._note(request, await request.text())
        name = request.match_info["name"]
        if name == "hung":
            await asyncio.sleep(3600)
        if name == "elsewhere":
            raise web.HTTPFound("/judge")
        return web.Response(text="x" * (300 * 1024) if name == "endless" else "fine", status=503 if name == "down" else 200)

    def _note(self, request: web.Request, text: str) -> None:
        self.asked.setdefault(request.path, []).append((text, request.headers.get("Authorization", "")))


@asynccontextmanager
async def asking(servers: Servers, token_file: str = "") -> AsyncIterator[HttpTelemetry]:
    async with TestServer(servers.app()) as server:
        base = f"http://127.0.0.1:{server.port}"
        webhooks: dict[str, Any] = {name: {"url": f"{base}/{name}"} for name in ("judge", "hung", "elsewhere", "endless", "down")}
        webhooks["gone"] = {"url": "http://127.0.0.1:1/"}
        webhooks["locked"] = {"url": f"{base}/judge", "tokenFile": token_file or "/nowhere/token"}
        gates = {"prometheus": {"url": f"{base}/prefix/", "tokenFile": token_file}, "webhooks": webhooks}
        async with HttpTelemetry(Gates.model_validate(gates)) as telemetry:
            yield telemetry


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not holds():  # noqa: ASYNC110 - what is waited for knows nothing of events
            await asyncio.sleep(0.005)


async def answered(telemetry: HttpTelemetry, gate: str) -> Fetched:
    await until(lambda: bool(telemetry.answers(KEY).get(gate)))
    return telemetry.answers(KEY)[gate][-1]


async def test_prometheus_is_asked_its_query_and_the_last_answers_are_kept() -> None:
    servers = Servers()
    async with asking(servers) as telemetry:
        telemetry.follow(KEY, [], ["r1"], [QUERY])
        await until(lambda: servers.numbers >= 4)
        await until(lambda: len(telemetry.answers(KEY)["promql/cost"]) == 2)
        first, second = telemetry.answers(KEY)["promql/cost"]
    assert json.loads(second.body)["number"] == json.loads(first.body)["number"] + 1
    assert (first.status, first.at <= second.at) == (200, True)
    assert set(servers.asked["/prefix/api/v1/query"]) == {(QUERY.text, "")}


async def test_a_webhook_is_asked_in_json() -> None:
    servers = Servers()
    async with asking(servers) as telemetry:
        telemetry.follow(KEY, [], ["r1"], [question("judge", '{"revision": "ü"}')])
        found = await answered(telemetry, "webhook/judge")
    assert (found.status, found.body) == (200, "fine")
    assert servers.asked["/judge"][0] == ('{"revision": "ü"}', "")


async def test_whoever_wants_a_token_gets_the_one_that_lies_there_now(tmp_path: Path) -> None:
    servers, token = Servers(), tmp_path / "token"
    token.write_text("one\n")
    async with asking(servers, str(token)) as telemetry:
        telemetry.follow(KEY, [], ["r1"], [QUERY, question("locked")])
        await until(lambda: {"/judge", "/prefix/api/v1/query"} <= servers.asked.keys())
        token.write_text("two\n")
        await until(lambda: servers.asked["/judge"][-1][1] == "Bearer two")
    assert servers.asked["/judge"][0][1] == servers.asked["/prefix/api/v1/query"][0][1] == "Bearer one"


async def test_a_token_that_is_missing_is_said_and_nothing_is_sent() -> None:
    servers = Servers()
    async with asking(servers) as telemetry:
        telemetry.follow(KEY, [], ["r1"], [question("locked")])
        found = await answered(telemetry, "webhook/locked")
    assert (found.status, servers.asked) == (0, {})
    assert "/nowhere/token" in found.body


async def test_what_is_no_answer_is_kept_as_one_that_says_why() -> None:
    async with asking(Servers()) as telemetry:
        telemetry.follow(KEY, [], ["r1"], [question(name) for name in ("gone", "endless", "down", "elsewhere", "unknown")])
        found = {name: await answered(telemetry, f"webhook/{name}") for name in ("gone", "endless", "down", "elsewhere", "unknown")}
    assert {name: each.status for name, each in found.items()} == {"gone": 0, "endless": 0, "down": 503, "elsewhere": 302, "unknown": 0}
    assert "longer than" in found["endless"].body
    assert "not set up" in found["unknown"].body
    assert found["gone"].body


async def test_a_redirect_is_not_followed() -> None:
    servers = Servers()
    async with asking(servers) as telemetry:
        telemetry.follow(KEY, [], ["r1"], [question("elsewhere")])
        await until(lambda: len(servers.asked.get("/elsewhere", ())) >= 3)
    assert "/judge" not in servers.asked


async def test_a_server_that_hangs_keeps_no_other_waiting() -> None:
    servers = Servers()
    async with asking(servers) as telemetry:
        telemetry.follow(KEY, [], ["r1"], [question("hung"), question("judge")])
        await until(lambda: len(servers.asked.get("/judge", ())) >= 5)
        assert telemetry.answers(KEY)["webhook/hung"] == ()
    assert len(servers.asked["/hung"]) == 1


async def test_another_question_begins_without_answers_and_the_same_one_keeps_its_own() -> None:
    servers = Servers()
    async with asking(servers) as telemetry:
        telemetry.follow(KEY, [], ["r1"], [QUERY, question("judge", "1")])
        await until(lambda: all(telemetry.answers(KEY).values()))
        telemetry.follow(KEY, [], ["r1"], [QUERY, question("judge", "2")])
        assert telemetry.answers(KEY)["promql/cost"]
        assert telemetry.answers(KEY)["webhook/judge"] == ()
        await until(lambda: servers.asked["/judge"][-1][0] == "2")
        telemetry.follow(KEY, [], (), ())
        assert not telemetry.answers(KEY)
        asked = servers.numbers
        await asyncio.sleep(0.1)
        assert servers.numbers <= asked + 1, "one that was on its way"


async def test_deployments_do_not_share_answers() -> None:
    async with asking(Servers()) as telemetry:
        telemetry.follow(KEY, [], ["r1"], [question("judge")])
        await answered(telemetry, "webhook/judge")
        assert not telemetry.answers("team/other")
