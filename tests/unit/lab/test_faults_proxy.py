"""The proxy against a small server: what reaches it, what comes back, and when the operator is killed."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.lab.faults.lane import Lane
from tests.lab.faults.plan import Action, Plan, Trigger
from tests.lab.faults.proxy import proxy

PODS = "/api/v1/namespaces/ns/pods"


@dataclass
class Upstream:
    """Answers everything, remembers it, and tells three events to who watches."""

    requests: list[str] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(f"{request.method} {request.path}")
        if "watch" not in request.query:
            return web.json_response({"number": len(self.requests)})
        response = web.StreamResponse()
        await response.prepare(request)
        for name in ("a", "b", "c"):
            event = {"type": "ADDED", "object": {"metadata": {"name": name}}}
            await response.write(json.dumps(event).encode() + b"\n")
        return response


@dataclass
class Setting:
    """A lane with its proxy between a client and the small server."""

    lane: Lane
    upstream: Upstream
    client: aiohttp.ClientSession
    url: str
    killed: list[int] = field(default_factory=list)

    async def ask(self, method: str = "GET", path: str = f"{PODS}/p") -> Any:
        async with self.client.request(method, self.url + path) as response:
            return await response.json(content_type=None)

    async def watched(self) -> list[str]:
        async with self.client.get(f"{self.url}{PODS}?watch=true") as response:
            lines = (await response.read()).splitlines()
        return [json.loads(line)["object"].get("metadata", {}).get("name", "gone") for line in lines]

    def plan(self, action: Action, verb: str = "get", **trigger: Any) -> None:
        self.lane.arm(Plan("w", Trigger(verb, "pods", **trigger), action))


@asynccontextmanager
async def setting() -> AsyncIterator[Setting]:
    upstream, lane = Upstream(), Lane()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", upstream.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with aiohttp.ClientSession() as session, aiohttp.ClientSession() as client, proxy(lane, session, server) as url:
        made = Setting(lane, upstream, client, url)
        lane.kill = lambda: made.killed.append(len(upstream.requests))
        yield made
    await runner.cleanup()


async def test_without_a_plan_everything_passes_and_is_noted() -> None:
    async with setting() as it:
        assert await it.ask() == {"number": 1}
        assert [(call.asked.verb, call.asked.name, call.status) for call in it.lane.calls] == [("get", "p", 200)]


async def test_a_refusal_comes_as_the_api_server_words_it_and_only_for_the_nth() -> None:
    async with setting() as it:
        it.plan(Action("status", 429, retry_after_s=7), nth=2)
        assert await it.ask() == {"number": 1}
        async with it.client.get(f"{it.url}{PODS}/p") as refused:
            assert refused.status == 429
            assert refused.headers["Retry-After"] == "7"
            assert (await refused.json())["reason"] == "TooManyRequests"
        assert await it.ask() == {"number": 2}
        assert it.lane.fired == 1


@pytest.mark.parametrize(("phase", "reached"), [("before", 0), ("after", 1)])
async def test_a_kill_strikes_before_the_server_has_heard_or_after_it_has_answered(phase: Any, reached: int) -> None:
    async with setting() as it:
        it.plan(Action("kill"), verb="patch", phase=phase)
        with pytest.raises(aiohttp.ClientError):
            await it.ask("PATCH")
        assert it.killed == [reached]
        assert len(it.upstream.requests) == reached


async def test_a_kill_during_a_request_lets_it_be_applied() -> None:
    async with setting() as it:
        it.plan(Action("kill"), phase="during")
        await it.ask()
        assert it.killed == [0]
        assert len(it.upstream.requests) == 1


@pytest.mark.parametrize(("phase", "reached"), [("before", 0), ("after", 1)])
async def test_a_reset_cuts_the_connection(phase: Any, reached: int) -> None:
    async with setting() as it:
        it.plan(Action("reset"), verb="patch", phase=phase)
        with pytest.raises(aiohttp.ClientError):
            await it.ask("PATCH")  # a GET that is cut is asked again by aiohttp itself
        assert len(it.upstream.requests) == reached


async def test_an_outage_lasts_and_ends_and_takes_watches_along() -> None:
    async with setting() as it:
        it.plan(Action("outage", seconds=0.3))
        for _ in range(2):
            with pytest.raises(aiohttp.ClientError):
                await it.ask()
        await asyncio.sleep(0.35)
        assert await it.ask() == {"number": 1}


async def test_a_stale_answer_is_the_first_one_once_there_has_been_another() -> None:
    async with setting() as it:
        it.plan(Action("stale", times=1))
        assert await it.ask() == {"number": 1}
        assert await it.ask() == {"number": 2}
        assert await it.ask() == {"number": 1}
        assert await it.ask() == {"number": 3}


@pytest.mark.parametrize(
    ("action", "names"),
    [
        (Action("drop"), ["a", "c"]),
        (Action("duplicate"), ["a", "b", "b", "c"]),
        (Action("delay", seconds=0.05), ["a", "b", "c"]),
        (Action("gap", seconds=0.05), ["a", "gone"]),
    ],
)
async def test_an_event_is_lost_doubled_or_late(action: Action, names: list[str]) -> None:
    async with setting() as it:
        it.plan(action, verb="watch", name="b")
        assert await it.watched() == names
        assert it.lane.fired == 1


async def test_a_watch_itself_can_be_refused() -> None:
    async with setting() as it:
        it.plan(Action("status", 410), verb="watch", event="")
        async with it.client.get(f"{it.url}{PODS}?watch=true") as refused:
            assert refused.status == 410
        assert await it.watched() == ["a", "b", "c"]


async def test_a_fault_waits_for_its_step() -> None:
    async with setting() as it:
        it.plan(Action("status", 500), step="edit")
        assert await it.ask() == {"number": 1}
        it.lane.step = "edit"
        assert (await it.ask())["code"] == 500


async def test_in_a_silence_nothing_comes_through_and_who_gives_up_has_asked_for_nothing() -> None:
    async with setting() as it:
        it.lane.silent_until = time.monotonic() + 0.5
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await it.ask("DELETE")
        await it.ask()
        assert it.lane.silent_s == 0
        assert it.upstream.requests == [f"GET {PODS}/p"]


async def test_what_waits_for_an_answer_can_be_cut_off() -> None:
    async with setting() as it:
        it.lane.silent_until = time.monotonic() + 5
        asking = asyncio.create_task(it.ask("PATCH"))
        await asyncio.sleep(0.1)
        it.lane.cut()
        with pytest.raises(aiohttp.ClientError):
            await asking
        assert it.upstream.requests == []
