"""The time a client is willing to wait ends a request wherever it is, and goes along when it is handed on."""

import asyncio
import time

from llm_sidecar.bundle import Bundle, Limits
from tests.unit.sidecar.conftest import MakePod
from tests.unit.sidecar.support.engine import Request, streams, text_events
from tests.unit.sidecar.support.fleet import Fleet
from tests.unit.sidecar.support.pod import Pod

ASK = {"prompt": "x"}


def within(seconds: float) -> str:
    return f"x-request-deadline: {time.time() + seconds:.3f}"


async def hang(_request: Request, _writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


async def test_a_time_that_has_passed_is_refused_before_the_body_is_read(pod: Pod) -> None:
    answer = await pod.post("/v1/completions", b"not even JSON", within(-1))
    assert (answer.status, answer.error["code"], answer.error["param"]) == (504, "deadline_exceeded", "x-request-deadline")
    assert not pod.engine.requests


async def test_what_is_no_time_is_refused(pod: Pod) -> None:
    for text in ("soon", "nan", "1e9", "-5", "2026-11-27T00:00:00Z"):
        answer = await pod.post("/v1/completions", ASK, f"x-request-deadline: {text}")
        assert (answer.status, answer.error["code"]) == (400, "invalid_deadline")


async def test_a_request_with_time_left_is_served(pod: Pod) -> None:
    assert (await pod.post("/v1/completions", ASK, within(60))).status == 200


async def test_the_deadline_ends_a_request_at_the_engine_and_one_in_the_queue(make_pod: MakePod) -> None:
    pod = await make_pod(Bundle(limits=Limits(max_concurrency=1, queue=5, queue_timeout_ms=60_000)))
    pod.engine.script = hang
    both = await asyncio.gather(*(pod.post("/v1/completions", ASK, within(0.5)) for _ in range(2)))
    assert [(answer.status, answer.error["code"]) for answer in both] == [(504, "deadline_exceeded")] * 2
    await asyncio.wait_for(pod.engine.aborted.wait(), 5)


async def test_a_stream_ends_at_the_deadline_with_an_error_event(pod: Pod) -> None:
    pod.engine.script = streams(*text_events(*["a"] * 500), pause_s=0.02)
    answer = await pod.post("/v1/completions", {**ASK, "stream": True}, within(0.5))
    assert b'"code":"deadline_exceeded"' in answer.body
    assert answer.body.endswith(b"data: [DONE]\n\n")


async def test_a_request_that_is_held_waits_no_longer_than_its_client(fleet: Fleet) -> None:
    await fleet.start("e1", engine_up=False)
    fleet.publish("r1")
    await fleet["e1"].until(lambda status: status["generation"] == 1)
    answer = await fleet["e1"].post("/v1/completions", ASK, within(0.5))
    assert (answer.status, answer.error["code"]) == (504, "deadline_exceeded")


async def test_the_deadline_goes_along_with_a_hop(fleet: Fleet) -> None:
    await fleet.start("e1", "e2")
    fleet.publish("r2", peers=["e2"])
    await fleet.until_ready("e2")
    await fleet["e1"].until(lambda status: status["generation"] == 1)
    fleet["e2"].engine.script = hang
    answer = await fleet["e1"].post("/v1/completions", ASK, within(1))
    assert (answer.status, answer.error["code"]) == (504, "deadline_exceeded")
    await fleet["e2"].until(lambda status: status["inflight"] == 0)
