"""Clients that wait for a stream while no engine can be reached: they hear something now and then, and events alone from then on."""

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from llm_sidecar.bundle import Bundle, Limits
from llm_sidecar.shape import wants_stream
from tests.unit.sidecar.support.engine import answers, http, streams, text_events
from tests.unit.sidecar.support.fleet import Fleet
from tests.unit.sidecar.support.pod import route

if TYPE_CHECKING:
    from tests.unit.sidecar.support.client import Answer

STREAM = {"prompt": "x", "stream": True}
REFUSED = b'{"error":\n{"message": "too long", "type": "BadRequestError", "param": null, "code": 400}}'
COMMENT = b": waiting for an engine\n\n"


@pytest.fixture
async def entry(fleet: Fleet) -> Fleet:
    """Return an entry that tells those who wait at once, in front of one engine that is not there yet."""
    await fleet.start("entry", "e1", engine_up=False)
    fleet.publish("r1")
    await fleet.until_ready("entry")
    fleet["entry"].sidecar._services.hold.telling_s = 0.05
    return fleet


async def waits(fleet: Fleet, body: dict[str, Any], *headers: str, path: str = "/v1/completions") -> "asyncio.Task[Answer]":
    """Send a request and let it wait for a while."""
    task = asyncio.create_task(fleet["entry"].post(path, body, *headers))
    await fleet["entry"].until(lambda status: status["held"] == 1)
    await asyncio.sleep(0.2)
    return task


async def test_who_waits_for_a_stream_hears_comments_and_then_the_stream(entry: Fleet) -> None:
    entry["e1"].engine.script = streams(*text_events("a", "b"))
    task = await waits(entry, STREAM)
    await entry["e1"].engine.start()
    answer = await task
    assert (answer.status, answer.headers["x-llm-revision"]) == (200, "r1")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.body.startswith(COMMENT * 2)
    rest = answer.body.replace(COMMENT, b"")
    assert rest.startswith(b"data: ")
    assert rest.endswith(b"data: [DONE]\n\n")
    assert await entry["entry"].figure("llm_sidecar_stream_errors_total") == 0


@pytest.mark.parametrize(
    ("path", "body"),
    [("/v1/completions", {"prompt": "x"}), ("/generate", {"prompt": "x", "stream": True})],
    ids=["no stream", "the classic route"],
)
async def test_others_hear_nothing_before_their_answer(entry: Fleet, path: str, body: dict[str, Any]) -> None:
    task = await waits(entry, body, path=path)
    await entry["e1"].engine.start()
    assert COMMENT not in (await task).body


async def test_where_another_revision_could_serve_it_none_is_named_before_one_does(fleet: Fleet) -> None:
    await fleet.start("entry", "e1", "e2", engine_up=False)
    fleet.publish("r1", route("r2", "e2", 0))
    await fleet.until_ready("entry")
    fleet["entry"].sidecar._services.hold.telling_s = 0.05
    fleet["e2"].engine.script = streams(*text_events("a"))
    task = await waits(fleet, STREAM)
    fleet.publish("r2")
    await fleet["e2"].engine.start()
    answer = await task
    assert (answer.status, answer.headers["x-llm-revision"], COMMENT in answer.body) == (200, "r2", False)


async def test_a_revision_that_was_named_serves_or_nobody_does(entry: Fleet) -> None:
    task = await waits(entry, STREAM)
    await entry.start("e2")
    entry.publish("r2")
    answer = await task
    assert (answer.status, answer.headers["x-llm-revision"]) == (200, "r1")
    assert b'"code":"revision_not_live"' in answer.body
    assert answer.body.endswith(b"data: [DONE]\n\n")


async def test_a_wait_that_is_too_long_ends_the_stream_with_an_error(entry: Fleet) -> None:
    entry.publish("r1", bundles={"r1": Bundle(limits=Limits(hold_timeout_ms=200))})
    await entry.until_ready("entry")
    answer = await entry["entry"].post("/v1/completions", STREAM)
    assert answer.status == 200
    assert b'"code":"hold_timeout"' in answer.body
    assert answer.body.endswith(b"data: [DONE]\n\n")


async def test_what_the_engine_refuses_is_the_last_event(entry: Fleet) -> None:
    entry["e1"].engine.script = answers(http(REFUSED, "400 Bad Request"))
    task = await waits(entry, STREAM)
    await entry["e1"].engine.start()
    events = (await task).body.replace(COMMENT, b"").split(b"\n\n")
    assert [events[0].startswith(b'data: {"error"'), *events[1:]] == [True, b"data: [DONE]", b""]


async def test_a_pod_whose_engine_is_away_tells_too(fleet: Fleet) -> None:
    await fleet.start("e1")
    fleet.publish("r1")
    await fleet.until_ready()
    await fleet["e1"].engine.stop()
    fleet["e1"].sidecar._services.hold.telling_s = 0.05
    fleet["e1"].engine.script = streams(*text_events("a"))
    task = asyncio.create_task(fleet["e1"].post("/v1/completions", STREAM))
    await fleet["e1"].until(lambda status: status["held"] == 1)
    await asyncio.sleep(0.2)
    await fleet["e1"].engine.start()
    answer = await task
    assert answer.body.startswith(COMMENT)
    assert answer.body.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("body", [b"", b"[", b'{"stream": 1}', b"\xff", b'{"stream": false}', b"[" * 10_000])
def test_a_body_that_does_not_ask_for_a_stream(body: bytes) -> None:
    assert not wants_stream(body)


def test_a_body_that_does() -> None:
    assert wants_stream(b'{"model": "chat", "stream": true, "n": 1}')
