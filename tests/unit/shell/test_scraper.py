"""Sidecars that are asked again and again, some of them slow, gone or lying."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from llm_operator.shell.ports import Manifest
from llm_operator.shell.scraper import Scraper
from llm_operator.shell.telemetry import HttpTelemetry
from llm_sidecar.statistics import Statistics

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
KEY = "team/chat"


def pod(uid: str, address: str | None = None, phase: str = "Running") -> Manifest:
    metadata = {"uid": uid, "name": uid, "creationTimestamp": "2026-01-01T00:00:00Z"}
    return {"metadata": metadata, "status": {"phase": phase, "podIP": address or uid}}


@dataclass
class Sidecars:
    """Sidecars by address. ``hung`` ones never answer, ``lying`` ones what nobody can read."""

    statistics: Statistics = field(default_factory=lambda: Statistics("chat"))
    hung: set[str] = field(default_factory=set)
    lying: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    asked: Counter[str] = field(default_factory=Counter)
    at_once: int = 0
    most_at_once: int = 0
    now: datetime = BEGAN

    async def ask(self, address: str) -> bytes | None:
        self.asked[address] += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(3600 if address in self.hung else 0.001)
        finally:
            self.at_once -= 1
        if address in self.gone:
            return None
        return b"{}" if address in self.lying else self.statistics.expose()


@asynccontextmanager
async def scraping(sidecars: Sidecars) -> AsyncIterator[Scraper]:
    scraper = Scraper(sidecars.ask, now=lambda: sidecars.now, random=lambda: 0.5, interval_s=0.01)
    try:
        yield scraper
    finally:
        await scraper.close()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - what is waited for knows nothing of events
            await asyncio.sleep(0.005)


async def test_one_that_hangs_delays_no_other() -> None:
    sidecars = Sidecars(hung={"p1"})
    async with scraping(sidecars) as scraper:
        scraper.follow(KEY, [pod("p1"), pod("p2"), pod("p3")], ["r1"])
        await until(lambda: min(sidecars.asked["p2"], sidecars.asked["p3"]) >= 5)
        assert scraper.heard(KEY).keys() == {"p2", "p3"}
        assert sidecars.asked["p1"] == 1, "and it is asked once at a time"


async def test_what_is_kept_is_the_newest_answer() -> None:
    sidecars = Sidecars()
    async with scraping(sidecars) as scraper:
        scraper.follow(KEY, [pod("p1")], ["r1"])
        await until(lambda: bool(scraper.heard(KEY)))
        sidecars.statistics.record("r1", b"u", failed=False)
        sidecars.now += timedelta(seconds=9)
        await until(lambda: bool(scraper.heard(KEY)["p1"].replies[0].revisions))
        told = scraper.heard(KEY)["p1"]
    assert (told.created, told.at, told.replies[0].revisions["r1"].requests) == (BEGAN, sidecars.now, 1)


async def test_one_that_lies_or_is_gone_is_not_heard(caplog: pytest.LogCaptureFixture) -> None:
    sidecars = Sidecars(lying={"p1"}, gone={"p2"})
    async with scraping(sidecars) as scraper:
        scraper.follow(KEY, [pod("p1"), pod("p2")], ["r1"])
        await until(lambda: min(sidecars.asked["p1"], sidecars.asked["p2"]) >= 4)
        assert not scraper.heard(KEY)
    assert [record.message for record in caplog.records if "p1" in record.message] == [
        "pod p1: statistics cannot be read: Object missing required field `schemaVersion`"
    ], "it is said once"


async def test_pods_that_do_not_run_are_not_asked_and_thirty_two_at_once_at_most() -> None:
    sidecars = Sidecars()
    many = [pod(f"p{each}") for each in range(100)]
    async with scraping(sidecars) as scraper:
        scraper.follow(KEY, [*many, pod("pending", phase="Pending"), pod("done", phase="Failed")], ["r1"])
        await until(lambda: len(sidecars.asked) >= 100)
    assert sidecars.asked.keys() == {each["metadata"]["uid"] for each in many}
    assert sidecars.most_at_once == 32


async def test_who_is_followed_no_more_is_asked_no_more_and_what_it_told_is_kept_for_a_while() -> None:
    sidecars = Sidecars()
    async with scraping(sidecars) as scraper:
        scraper.follow(KEY, [pod("p1"), pod("p2")], ["r1"])
        await until(lambda: len(scraper.heard(KEY)) == 2)
        scraper.follow(KEY, [pod("p2")], ["r1"])
        before = sidecars.asked["p1"]
        await until(lambda: sidecars.asked["p2"] > before + 5)
        assert sidecars.asked["p1"] <= before + 1
        assert scraper.heard(KEY).keys() == {"p1", "p2"}
        sidecars.now += timedelta(minutes=4)
        scraper.follow(KEY, [pod("p2")], ["r1"])
        assert "p1" not in scraper.heard(KEY)
        scraper.follow(KEY, [], [])
        assert not scraper.heard(KEY)
        scraper.follow(KEY, [], [])


async def test_a_pod_with_another_address_is_asked_there() -> None:
    sidecars = Sidecars()
    async with scraping(sidecars) as scraper:
        scraper.follow(KEY, [pod("p1", "a1")], ["r1"])
        await until(lambda: sidecars.asked["a1"] > 0)
        scraper.follow(KEY, [pod("p1", "a2")], ["r1"])
        await until(lambda: sidecars.asked["a2"] > 0)


async def test_other_revisions_are_heard_from_the_beginning() -> None:
    sidecars = Sidecars()
    sidecars.statistics.record("r1", b"u", failed=False)
    async with scraping(sidecars) as scraper:
        scraper.follow(KEY, [pod("p1")], ["r1"])
        await until(lambda: bool(scraper.heard(KEY)))
        scraper.follow(KEY, [pod("p1")], ["r2"])
        assert not scraper.heard(KEY)
        await until(lambda: bool(scraper.heard(KEY)))
        assert not scraper.heard(KEY)["p1"].replies[0].revisions


@asynccontextmanager
async def served(answer: Callable[[], Any]) -> AsyncIterator[HttpTelemetry]:
    async def stats(_: web.Request) -> web.StreamResponse:
        return web.Response(body=answer())

    app = web.Application()
    app.router.add_get("/-/stats", stats)
    async with TestServer(app) as server, HttpTelemetry(port=server.port or 0) as telemetry:
        yield telemetry


async def test_statistics_come_over_http() -> None:
    statistics = Statistics("chat")
    statistics.record("r1", b"u", failed=False)
    async with served(statistics.expose) as telemetry:
        telemetry.follow(KEY, [pod("p1", "127.0.0.1")], ["r1"], ())
        await until(lambda: bool(telemetry.statistics(KEY)))
        assert telemetry.statistics(KEY)["p1"].replies[0].revisions["r1"].requests == 1


async def test_a_body_without_end_is_not_read() -> None:
    asked = []

    def endless() -> bytes:
        asked.append(1)
        return json.dumps({"epoch": "x" * (5 * 1024 * 1024)}).encode()

    async with served(endless) as telemetry:
        telemetry.follow(KEY, [pod("p1", "127.0.0.1")], ["r1"], ())
        await until(lambda: bool(asked))
        await asyncio.sleep(0.1)
        assert not telemetry.statistics(KEY)
