import asyncio
import gzip
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st

from llm_operator.core.observed import SidecarReport
from llm_operator.shell.ports import Manifest
from llm_operator.shell.telemetry import HttpTelemetry, read_report, url

STATUS: dict[str, Any] = {
    "schemaVersion": 1,
    "deployment": "chat",
    "engine": "abc",
    "revision": "def",
    "generation": 7,
    "ready": True,
    "reason": "Serving",
    "draining": False,
    "inflight": 2,
    "queued": 0,
    "error": "",
    "errorGeneration": None,
    "bundleSchema": 1,
}


def pod(uid: str, address: str | None = "127.0.0.1") -> Manifest:
    return {"metadata": {"uid": uid, "name": uid}, "status": {"podIP": address} if address else {}}


@asynccontextmanager
async def sidecar(answer: Callable[[], web.StreamResponse] | None = None, delay_s: float = 0) -> AsyncIterator[HttpTelemetry]:
    async def status(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(delay_s)
        return answer() if answer else web.json_response(STATUS)

    app = web.Application()
    app.router.add_get("/status", status)
    async with TestServer(app) as server, HttpTelemetry(port=server.port or 0) as telemetry:
        yield telemetry


async def test_a_sidecar_says_what_it_runs() -> None:
    async with sidecar() as telemetry:
        reports = await telemetry.reports([pod("u-1")])
    assert reports == {
        "u-1": SidecarReport(engine="abc", revision="def", generation=7, ready=True, reason="Serving", inflight=2, bundle_schema=1)
    }


async def test_a_sidecar_that_has_no_revision_yet_reports_none() -> None:
    report = read_report(msgspec.json.encode(STATUS | {"revision": None, "generation": None}))
    assert report == SidecarReport(engine="abc", revision="", generation=None, ready=True, reason="Serving", inflight=2)


async def test_a_pod_without_an_address_is_not_asked() -> None:
    async with sidecar() as telemetry:
        assert await telemetry.reports([pod("u-1", None)]) == {"u-1": None}


async def test_a_pod_that_does_not_listen_does_not_hold_up_the_others() -> None:
    async with sidecar() as telemetry:
        reports = await telemetry.reports([pod("u-1"), pod("u-2", "127.0.0.254x")])
    assert reports["u-1"] is not None
    assert reports["u-2"] is None


async def test_slow_sidecars_are_waited_for_together_and_a_second_at_most() -> None:
    async with sidecar(delay_s=5) as telemetry:
        began = time.monotonic()
        reports = await telemetry.reports([pod(f"u-{number}") for number in range(5)])
    assert time.monotonic() - began < 3
    assert set(reports.values()) == {None}


@pytest.mark.parametrize(
    "answer",
    [
        lambda: web.Response(status=503),
        lambda: web.Response(text="<html>"),
        lambda: web.json_response(STATUS | {"inflight": -1}),
        lambda: web.json_response(STATUS | {"error": "x" * 10_000}),
        lambda: web.json_response({key: value for key, value in STATUS.items() if key != "engine"}),
        lambda: web.Response(body=b" " * 100_000 + msgspec.json.encode(STATUS)),
        lambda: web.Response(status=302, headers={"Location": "http://169.254.169.254/status"}),
        lambda: web.Response(body=gzip.compress(msgspec.json.encode(STATUS)), headers={"Content-Encoding": "gzip"}),
    ],
    ids=[
        "unready",
        "html",
        "negative",
        "long",
        "incomplete",
        "huge",
        "redirect",
        "compressed",
    ],
)
async def test_an_answer_that_is_no_status_counts_as_none(answer: Callable[[], web.StreamResponse]) -> None:
    async with sidecar(answer) as telemetry:
        assert await telemetry.reports([pod("u-1")]) == {"u-1": None}


@given(st.binary(max_size=200))
def test_no_bytes_make_the_reader_fail(body: bytes) -> None:
    assert read_report(body) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=2), max_leaves=3
)


@given(st.sampled_from(sorted(STATUS)), json_values)
def test_any_value_in_any_field_gives_a_report_or_none(field: str, value: Any) -> None:
    report = read_report(msgspec.json.encode(STATUS | {field: value}))
    assert report is None or isinstance(report.inflight, int)


def test_addresses_of_ipv6_pods_are_put_in_brackets() -> None:
    assert url("10.0.0.1", 9090, "/status") == "http://10.0.0.1:9090/status"
    assert url("fd00::1", 9090, "/status") == "http://[fd00::1]:9090/status"


async def test_without_a_session_nothing_is_asked() -> None:
    assert await HttpTelemetry().reports([pod("u-1")]) == {"u-1": None}


async def test_an_entry_in_which_somebody_waits_is_heard() -> None:
    heard = asyncio.Event()

    async def status(_: web.Request) -> web.StreamResponse:
        return web.json_response(STATUS | {"held": 1})

    app = web.Application()
    app.router.add_get("/status", status)
    entry = {"metadata": {"uid": "u-1", "name": "u-1", "labels": {}}, "status": {"podIP": "127.0.0.1", "phase": "Running"}}
    async with (
        TestServer(app) as server,
        HttpTelemetry(port=server.port or 0, grew=lambda name: heard.set() if name == "ns/chat" else None) as told,
    ):
        told.listen("ns/chat", [entry])
        await asyncio.wait_for(heard.wait(), 10)
