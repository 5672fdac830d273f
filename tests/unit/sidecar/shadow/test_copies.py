"""Copies of requests: both answers are kept, and whatever becomes of a copy, no client notices. Sidecars are real, engines scripted."""

import asyncio
import time
from typing import Any

import pytest

from llm_sidecar.bundle import Bundle, Limits
from llm_sidecar.shadow.copies import NOTED_FOR_EACH
from llm_sidecar.shadow.noted import PART_BYTES_MAX
from llm_sidecar.table import WHOLE, Shadow
from tests.unit.sidecar.support.client import connect, post
from tests.unit.sidecar.support.engine import STREAM_HEAD, Request, answers, completion, http, streams, text_events
from tests.unit.sidecar.support.eventually import eventually
from tests.unit.sidecar.support.figures import total
from tests.unit.sidecar.support.fleet import HOP, Fleet, text_of
from tests.unit.sidecar.support.pod import TOKEN, route

ASK = {"prompt": "x"}
STREAM = {**ASK, "stream": True}
NO_REQUESTS = route("r2", "e2", weight=0, slot=0)


def copying(fleet: Fleet, *, sample: int = WHOLE, at_a_time: int = 2, bundle: Bundle | None = None) -> int:
    """Have copies of stable's requests sent to the second engine, which gets none."""
    shadow = Shadow(revision="r2", sample=sample, max_in_flight=at_a_time)
    bundles = {} if bundle is None else {"r2": bundle}
    return fleet.publish("r1", NO_REQUESTS, peers=["e1", "e2"], shadow=shadow, bundles=bundles)


@pytest.fixture
async def two(fleet: Fleet) -> Fleet:
    """Return a pod of stable and one of the revision that is tried."""
    await fleet.start("e1", "e2")
    copying(fleet)
    await fleet.until_ready()
    return fleet


async def outcomes(fleet: Fleet, name: str = "e1") -> dict[str, float]:
    text = (await fleet[name].admin_get("/metrics")).body.decode()
    found = ("answered", "refused", "failed", "timeout", "full", "too_large", "nobody")
    counted = {each: total(text, f'llm_sidecar_shadow_copies_total{{outcome="{each}"}}') for each in found}
    return {each: count for each, count in counted.items() if count}


async def until_counted(fleet: Fleet, **expected: float) -> None:
    async with asyncio.timeout(10):
        while await outcomes(fleet) != expected:  # noqa: ASYNC110  # the other side of a socket tells nobody
            await asyncio.sleep(0.01)


async def pairs(fleet: Fleet, name: str = "e1") -> list[dict[str, Any]]:
    answer = await fleet[name].admin_get("/-/shadow", f"x-llm-pod-token: {TOKEN}")
    assert answer.status == 200
    found: list[dict[str, Any]] = answer.json["pairs"]
    return found


async def hangs(_request: Request, writer: asyncio.StreamWriter) -> None:
    writer.write(STREAM_HEAD)
    await asyncio.Event().wait()


async def is_gone(_request: Request, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def test_both_answers_to_a_request_are_kept_as_a_pair(two: Fleet) -> None:
    answer = await two["e1"].post("/v1/completions", ASK, "x-request-id: mine")
    assert (answer.status, text_of(answer), answer.headers["x-llm-revision"]) == (200, "e1", "r1")
    await until_counted(two, answered=1)
    (pair,) = await pairs(two)
    assert (pair["id"], pair["path"], pair["request"]) == ("mine", "/v1/completions", '{"prompt": "x"}')
    assert [(pair[arm]["revision"], pair[arm]["status"]) for arm in ("stable", "canary")] == [("r1", 200), ("r2", 200)]
    assert pair["stable"]["body"].encode() == answer.body
    assert '"text": "e2"' in pair["canary"]["body"]
    (seen,) = two["e2"].engine.requests
    assert seen.headers["x-request-id"].startswith("mine-")
    assert not {name for name in seen.headers if name.startswith("x-llm-")}


async def test_a_stream_and_what_the_canary_streams_are_a_pair(two: Fleet) -> None:
    for name in ("e1", "e2"):
        two[name].engine.script = streams(*text_events(name, "!"))
    answer = await two["e1"].post("/v1/completions", STREAM)
    await until_counted(two, answered=1)
    (pair,) = await pairs(two)
    assert pair["stable"]["body"].encode() == answer.body
    assert pair["stable"]["contentType"].startswith("text/event-stream")
    assert '"text":"e2"' in pair["canary"]["body"].replace(" ", "")
    assert pair["canary"]["body"].endswith("data: [DONE]\n\n")


@pytest.mark.parametrize(
    ("script", "outcome"),
    [(hangs, ""), (is_gone, "refused"), (answers(http(b"{}", "500 Internal Server Error")), "answered"), (None, "refused")],
    ids=["hangs", "gone at once", "fails", "not there"],
)
async def test_whatever_becomes_of_a_copy_its_client_gets_stables_answer_at_once(two: Fleet, script: Any, outcome: str) -> None:
    if script is None:
        await two["e2"].engine.stop()
    else:
        two["e2"].engine.script = script
    began = time.perf_counter()
    for _ in range(3):
        answer = await two["e1"].post("/v1/completions", ASK)
        assert (answer.status, text_of(answer)) == (200, "e1")
    assert time.perf_counter() - began < 5, "a client waited for a copy"
    if outcome:
        async with asyncio.timeout(10):
            while outcome not in await outcomes(two):  # noqa: ASYNC110  # the other side of a socket tells nobody
                await asyncio.sleep(0.01)
    assert await two["e1"].figure("llm_sidecar_unserved_total") == 0
    assert await two["e1"].figure("llm_sidecar_fallbacks_total") == 0


async def test_without_a_sidecar_to_send_it_to_a_copy_is_counted_and_forgotten(two: Fleet) -> None:
    for shutting in two["e2"].sidecar._servers:
        shutting.leave()
    answer = await two["e1"].post("/v1/completions", ASK)
    assert text_of(answer) == "e1"
    await until_counted(two, failed=1)
    assert await pairs(two) == []


async def test_an_answer_of_the_canary_that_failed_is_kept_too(two: Fleet) -> None:
    two["e2"].engine.script = answers(http(b'{"error":{"message":"no"}}', "500 Internal Server Error"))
    await two["e1"].post("/v1/completions", ASK)
    await until_counted(two, answered=1)
    (pair,) = await pairs(two)
    assert (pair["stable"]["status"], pair["canary"]["status"]) == (200, 500)


async def test_what_is_more_than_may_be_on_its_way_is_dropped_and_counted(two: Fleet) -> None:
    two["e2"].engine.script = hangs
    for _ in range(5):
        await two["e1"].post("/v1/completions", ASK)
    await until_counted(two, full=3)
    await eventually(lambda: len(two["e2"].engine.requests) == 2, "two copies at the canary")


async def test_answers_are_noted_only_as_far_as_there_is_room(two: Fleet) -> None:
    go = asyncio.Event()

    async def waits(_request: Request, writer: asyncio.StreamWriter) -> None:
        await go.wait()
        writer.write(http(completion("e1")))

    two["e1"].engine.script = waits
    asked = [asyncio.create_task(two["e1"].post("/v1/completions", ASK)) for _ in range(2 * NOTED_FOR_EACH + 3)]
    await eventually(lambda: len(two["e1"].engine.requests) == len(asked), "all at stable")
    assert await outcomes(two) == {"full": 3}
    go.set()
    assert {text_of(await each) for each in asked} == {"e1"}
    await eventually(lambda: not two["e1"].sidecar._services.copies._noting, "nothing noted any more")


async def test_what_is_too_large_is_no_pair(two: Fleet) -> None:
    large = completion("y" * (PART_BYTES_MAX + 1))
    await two["e1"].post("/v1/completions", {"prompt": "x" * (PART_BYTES_MAX + 1)})
    await until_counted(two, too_large=1)
    two["e2"].engine.script = answers(http(large))
    await two["e1"].post("/v1/completions", ASK)
    await until_counted(two, too_large=2)
    two["e1"].engine.script = answers(http(large))
    assert (await two["e1"].post("/v1/completions", ASK)).body == large
    await until_counted(two, too_large=3)
    assert await pairs(two) == []


async def test_a_copy_takes_as_long_as_a_request_may_and_no_longer(two: Fleet) -> None:
    copying(two, bundle=Bundle(limits=Limits(total_timeout_ms=1000)))
    await two.until_ready()
    two["e2"].engine.script = hangs
    await two["e1"].post("/v1/completions", ASK)
    await until_counted(two, timeout=1)
    await asyncio.wait_for(two["e2"].engine.aborted.wait(), 10)


async def test_a_copy_ends_when_nobody_asks_for_it_any_more(two: Fleet) -> None:
    two["e2"].engine.script = hangs
    await two["e1"].post("/v1/completions", ASK)
    await eventually(lambda: two["e2"].engine.requests, "a copy at the canary")
    two.publish("r1", NO_REQUESTS, peers=["e1", "e2"])
    await asyncio.wait_for(two["e2"].engine.aborted.wait(), 10)
    await eventually(lambda: not two["e1"].sidecar._services.copies.running, "no copy on its way")
    await two.until_ready()
    await two["e1"].post("/v1/completions", ASK)
    assert len(two["e2"].engine.requests) == 1


async def test_pairs_are_forgotten_with_the_revision_that_was_tried(two: Fleet) -> None:
    await two["e1"].post("/v1/completions", ASK)
    await until_counted(two, answered=1)
    two.publish("r1", NO_REQUESTS, peers=["e1", "e2"])
    await two.until_ready()
    assert len(await pairs(two)) == 1, "somebody may still want to judge them"
    two.publish("r1", peers=["e1", "e2"])
    await two["e1"].until(lambda status: status["generation"] == 3)
    assert await pairs(two) == []


@pytest.mark.parametrize("leaving", ["e1", "e2"])
async def test_no_drain_waits_for_a_copy(two: Fleet, leaving: str) -> None:
    two["e2"].engine.script = hangs
    await two["e1"].post("/v1/completions", ASK)
    await eventually(lambda: two["e2"].engine.requests, "a copy at the canary")
    assert (await two[leaving].status())["inflight"] == 0
    began = time.perf_counter()
    drained = await two[leaving].admin_get("/drain", f"x-llm-pod-token: {TOKEN}")
    assert (drained.status, time.perf_counter() - began < 4) == (200, True)


async def test_a_pod_that_leaves_takes_no_copies(two: Fleet) -> None:
    await two["e2"].admin_get("/drain", f"x-llm-pod-token: {TOKEN}")
    await two["e1"].post("/v1/completions", ASK)
    await until_counted(two, refused=1)
    assert two["e2"].engine.requests == []


async def test_a_full_canary_refuses_copies_and_keeps_its_slots_for_requests(two: Fleet) -> None:
    copying(two, bundle=Bundle(limits=Limits(max_concurrency=1)))
    await two.until_ready()
    two["e2"].engine.script = hangs
    own = asyncio.create_task(two["e2"].post("/v1/completions", ASK, *HOP, "x-llm-revision: r2"))
    await eventually(lambda: two["e2"].engine.requests, "a request at the canary")
    await two["e1"].post("/v1/completions", ASK)
    await until_counted(two, refused=1)
    assert len(two["e2"].engine.requests) == 1
    own.cancel()
    await asyncio.gather(own, return_exceptions=True)


async def test_copies_are_in_no_figure_that_revisions_are_compared_by(two: Fleet) -> None:
    for _ in range(3):
        await two["e1"].post("/v1/completions", ASK)
        await eventually(lambda: not two["e1"].sidecar._services.copies.running, "the copy to end")
    await until_counted(two, answered=3)
    assert (await two["e2"].admin_get("/-/stats")).json["revisions"] == {}
    figures = (await two["e2"].admin_get("/metrics")).body.decode()
    assert total(figures, "gen_ai_server_request_duration_seconds_count") == 0
    assert total(figures, "llm_sidecar_shed_total") == 0
    stable = (await two["e1"].admin_get("/-/stats")).json["revisions"]
    assert set(stable) == {"r1"}
    assert sum(row[0] for row in stable["r1"]["buckets"].values()) == 3


async def test_only_what_stable_has_answered_well_is_copied(two: Fleet) -> None:
    await two["e1"].get("/v1/models")
    await two["e1"].get("/nothing")
    two["e1"].engine.script = answers(http(b'{"error":{"message":"no"}}', "400 Bad Request"))
    assert (await two["e1"].post("/v1/completions", ASK)).status == 400
    two["e1"].engine.script = hangs
    async with connect(two["e1"].port) as client:
        client.send(post("/v1/completions", STREAM))
        await eventually(lambda: len(two["e1"].engine.requests) == 3, "the stream to begin")
    await eventually(lambda: not two["e1"].sidecar._public.inflight, "the client to be gone")
    assert await outcomes(two) == {}
    assert two["e2"].engine.requests == []


async def test_what_the_canary_is_assigned_is_not_copied(fleet: Fleet) -> None:
    await fleet.start("e1", "e2")
    shadow = Shadow(revision="r2", sample=WHOLE, max_in_flight=2)
    fleet.publish("r1", route("r2", "e2", slot=0), peers=["e1", "e2"], shadow=shadow)
    await fleet.until_ready()
    assert text_of(await fleet["e1"].post("/v1/completions", ASK)) == "e2"
    assert await outcomes(fleet) == {}
    assert len(fleet["e2"].engine.requests) == 1


async def test_a_sidecar_without_an_engine_sends_copies_too(fleet: Fleet) -> None:
    await fleet.start("entry", "e1", "e2")
    copying(fleet)
    await fleet.until_ready()
    assert text_of(await fleet["entry"].post("/v1/completions", ASK)) == "e1"
    async with asyncio.timeout(10):
        while not await pairs(fleet, "entry"):  # noqa: ASYNC110  # the other side of a socket tells nobody
            await asyncio.sleep(0.01)
    assert len(fleet["e2"].engine.requests) == 1, "the pod that served it has sent no copy of its own"
    assert await outcomes(fleet) == {}


async def test_about_as_many_are_copied_as_are_asked_for(two: Fleet) -> None:
    copying(two, sample=WHOLE // 2, at_a_time=16)
    await two.until_ready()
    for _ in range(100):
        await two["e1"].post("/v1/completions", ASK)
    await eventually(lambda: not two["e1"].sidecar._services.copies.running, "the last copy")
    assert 25 <= (await outcomes(two))["answered"] <= 75


async def test_users_words_are_shown_only_to_who_has_the_token(two: Fleet) -> None:
    assert (await two["e1"].admin_get("/-/shadow")).status == 403
    assert (await two["e1"].admin_get("/-/shadow", "x-llm-pod-token: wrong")).status == 403


async def test_from_a_client_the_mark_of_a_copy_means_nothing(two: Fleet) -> None:
    answer = await two["e1"].post("/v1/completions", ASK, "x-llm-shadow: 1", "x-llm-hop: 1")
    assert text_of(answer) == "e1"
    assert await two["e1"].figure("gen_ai_server_request_duration_seconds_count") == 1
