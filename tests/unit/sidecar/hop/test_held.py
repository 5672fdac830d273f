"""Requests that wait for an engine: in pods whose engine is gone and in the entry, which has none. Engines are scripted."""

import asyncio

import pytest

from llm_sidecar.bundle import Bundle, Limits
from llm_sidecar.table import Subject
from tests.unit.sidecar.support.client import Answer, ask, connect, post
from tests.unit.sidecar.support.engine import Request, completion, http, streams, text_events
from tests.unit.sidecar.support.eventually import eventually
from tests.unit.sidecar.support.fleet import Fleet, text_of
from tests.unit.sidecar.support.pod import TOKEN, Pod, route

BODY = {"prompt": "x"}


def held(**limits: int) -> dict[str, Bundle]:
    return {"r1": Bundle(limits=Limits(**limits)), "r2": Bundle(limits=Limits(**limits))}


async def hold(pod: Pod, count: int) -> list[asyncio.Task[Answer]]:
    """Send requests one after the other and wait until all are held."""
    before = (await pod.status())["held"]
    tasks = []
    for number in range(count):
        tasks.append(asyncio.create_task(pod.post("/v1/completions", {"prompt": str(before + number)})))
        await pod.until(lambda status, wanted=before + number + 1: status["held"] == wanted)  # type: ignore[misc]  # mypy cannot infer the default
    return tasks


def orders(pod: Pod) -> list[str]:
    return [request.json["prompt"] for request in pod.engine.requests]


@pytest.fixture
async def entry(fleet: Fleet) -> Fleet:
    """Return an entry in front of one engine that is not there yet."""
    await fleet.start("entry", "e1", engine_up=False)
    fleet.publish("r1")
    await fleet["e1"].until(lambda status: status["generation"] == 1)
    await fleet.until_ready("entry")
    return fleet


async def test_an_entry_is_ready_with_a_snapshot_and_has_no_engine(fleet: Fleet) -> None:
    await fleet.start("entry")
    pod = fleet["entry"]
    assert (await pod.status())["reason"] == "NoSnapshot"
    refused = await pod.post("/v1/completions", BODY)
    assert (refused.status, refused.error["code"]) == (503, "no_revision")
    fleet.publish("r1")
    status = await pod.until(lambda status: bool(status["ready"]))
    assert (status["engine"], status["revision"], status["revisions"], status["generation"]) == ("", None, [], 1)
    assert (await pod.admin_get("/metrics")).status == 200
    assert await pod.figure("llm_sidecar_engine_ready") == 0
    assert pod.engine.probes == 0


async def test_an_entry_hands_everything_on(entry: Fleet) -> None:
    await entry["e1"].engine.start()
    await entry.until_ready()
    answer = await entry["entry"].post("/v1/completions", BODY)
    assert (text_of(answer), answer.headers["x-llm-revision"]) == ("e1", "r1")
    assert (await entry["entry"].get("/v1/models")).status == 200
    entry["e1"].engine.script = streams(*text_events("a", "b"))
    assert (await entry["entry"].post("/v1/completions", {**BODY, "stream": True})).body.endswith(b"data: [DONE]\n\n")


async def test_requests_wait_for_the_engine_and_go_in_the_order_they_came(entry: Fleet) -> None:
    entry.publish("r1", bundles=held(max_concurrency=1))
    await entry.until_ready("entry")
    waiting = await hold(entry["entry"], 5)
    assert await entry["entry"].figure("llm_sidecar_held") == 5
    await entry["e1"].engine.start()
    answers = await asyncio.gather(*waiting)
    assert [answer.status for answer in answers] == [200] * 5
    assert orders(entry["e1"]) == ["0", "1", "2", "3", "4"]
    assert (await entry["entry"].status())["held"] == 0
    assert await entry["entry"].figure("llm_sidecar_hold_seconds_count") == 5


async def test_more_than_the_engine_takes_at_once_are_still_all_served(entry: Fleet) -> None:
    # The entry lets as many go as one engine takes, but others ask that engine too: the surplus comes back and waits again.
    waits = Bundle(limits=Limits(max_concurrency=2, queue=0))
    entry.publish("r1", bundles={"r1": waits})
    await entry.until_ready("entry")

    async def script(_request: Request, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.02)
        writer.write(http(completion()))

    entry["e1"].engine.script = script
    waiting = await hold(entry["entry"], 10)
    await entry["e1"].engine.start()
    others = [await entry["e1"].post("/v1/completions", BODY) for _ in range(20)]
    answers = await asyncio.gather(*waiting)
    assert [answer.status for answer in answers] == [200] * 10
    assert {answer.status for answer in others} <= {200, 429}


async def test_the_entry_lets_as_many_go_as_the_pods_take_that_are_ready(fleet: Fleet) -> None:
    await fleet.start("entry", "e1", "e1-b", engine_up=False)
    pods, two_each = [fleet["e1"], fleet["e1-b"]], held(max_concurrency=2)
    fleet.publish("r1", bundles=two_each, peers=["e1", "e1-b"])
    await fleet.until_ready("entry")
    gate = asyncio.Event()

    async def script(_request: Request, writer: asyncio.StreamWriter) -> None:
        await gate.wait()
        writer.write(http(completion()))

    for pod in pods:
        pod.engine.script = script
    waiting = await hold(fleet["entry"], 5)
    for pod in reversed(pods):  # the first one is behind the Service, by which the entry sees that somebody can be reached
        await pod.engine.start()
        await pod.until(lambda status: bool(status["ready"]))
    await eventually(lambda: [len(pod.engine.requests) for pod in pods] == [2, 2], "as many as both pods take")
    assert (await fleet["entry"].status())["held"] == 1
    gate.set()
    assert [answer.status for answer in await asyncio.gather(*waiting)] == [200] * 5


async def test_a_full_engine_is_not_fled_by_those_who_were_held_either(fleet: Fleet) -> None:
    await fleet.start("entry", "e1", "e2", engine_up=False)
    # The second revision may be fallen back to, and gets as good as no units.
    fleet.publish("r1", route("r2", "e2", 1, slot=0), bundles={"r1": Bundle(limits=Limits(max_concurrency=1, queue=0))})
    await fleet.until_ready("entry")
    fleet["entry"].sidecar._services.hold.set_limits(Limits())

    async def script(_request: Request, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.05)
        writer.write(http(completion()))

    fleet["e1"].engine.script = script
    waiting = await hold(fleet["entry"], 4)
    await fleet["e1"].engine.start()
    await fleet["e1"].until(lambda status: bool(status["ready"]))
    await fleet["e2"].engine.start()
    answers = await asyncio.gather(*waiting)
    assert [(answer.status, answer.headers["x-llm-revision"]) for answer in answers] == [(200, "r1")] * 4


async def test_over_the_bounds_is_429_at_once(entry: Fleet) -> None:
    entry.publish("r1", bundles=held(hold_requests=2, hold_bytes=100))
    await entry.until_ready("entry")
    waiting = await hold(entry["entry"], 1)
    large = await entry["entry"].post("/v1/completions", {"prompt": "x" * 80})
    assert (large.status, large.error["code"], large.headers["retry-after"]) == (429, "hold_full", "10")
    waiting += await hold(entry["entry"], 1)
    third = await entry["entry"].post("/v1/completions", BODY)
    assert (third.status, third.error["code"]) == (429, "hold_full")
    assert await entry["entry"].figure("llm_sidecar_shed_total") == 2
    await entry["e1"].engine.start()
    assert [answer.status for answer in await asyncio.gather(*waiting)] == [200, 200]


async def test_a_body_larger_than_all_that_may_wait_is_413_whether_somebody_waits_or_not(entry: Fleet) -> None:
    entry.publish("r1", bundles=held(hold_bytes=100))
    await entry.until_ready("entry")
    alone = await entry["entry"].post("/v1/completions", {"prompt": "x" * 100})
    (waiting,) = await hold(entry["entry"], 1)
    behind = await entry["entry"].post("/v1/completions", {"prompt": "x" * 100})
    assert [(each.status, each.error["code"]) for each in (alone, behind)] == [(413, "body_too_large")] * 2
    assert "limits.hold.bytes is 100" in alone.error["message"]
    await entry["e1"].engine.start()
    assert (await waiting).status == 200


def head(length: str, body: str = "{", path: str = "/v1/completions") -> bytes:
    """Return a request whose body does not come to its end."""
    return f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{length}\r\n\r\n{body}".encode()


@pytest.mark.parametrize("subject", [(), (Subject(body_field="user"),)], ids=["any unit", "the subject is in the body"])
@pytest.mark.parametrize("length", ["content-length: 60", "transfer-encoding: chunked"])
async def test_bodies_that_come_at_once_have_no_more_room_than_those_that_wait(
    entry: Fleet, length: str, subject: tuple[Subject, ...]
) -> None:
    entry.publish("r1", bundles=held(hold_bytes=100, max_body_bytes=60), subject=subject)
    await entry.until_ready("entry")
    pod = entry["entry"]
    async with connect(pod.port) as coming:
        coming.send(head(length, "{" if "content" in length else "1\r\n{\r\n"))
        await pod.until(lambda status: status["inflight"] == 1)
        async with connect(pod.port) as other:
            other.send(head("content-length: 41"))
            refused = await other.answer()
        assert (refused.status, refused.error["code"], refused.headers["retry-after"]) == (429, "hold_full", "10")
        assert "of 60 bytes in all with those that are coming" in refused.error["message"]
        assert (await pod.status())["held"] == 0
    await pod.until(lambda status: status["inflight"] == 0)
    assert pod.sidecar._services.hold._booked == 0, "whoever left has given its room back"
    waiting = await hold(pod, 2)
    assert pod.sidecar._services.hold._booked == 0, "whoever waits has a place instead"
    await entry["e1"].engine.start()
    assert [answer.status for answer in await asyncio.gather(*waiting)] == [200, 200]


async def test_a_small_body_that_does_not_say_how_large_it_is_needs_no_more_room_than_it_has(entry: Fleet) -> None:
    entry.publish("r1", bundles=held(hold_bytes=80, max_body_bytes=60))
    await entry.until_ready("entry")
    pod = entry["entry"]
    async with connect(pod.port) as first, connect(pod.port) as second, connect(pod.port) as whole:
        for number, client in enumerate((first, second), 1):
            client.send(head("transfer-encoding: chunked", 'e\r\n{"prompt":"x"}\r\n'))
            await pod.until(lambda status, wanted=number: status["inflight"] == wanted)  # type: ignore[misc]  # mypy cannot infer the default
            client.send(b"0\r\n\r\n")
            await pod.until(lambda status, wanted=number: status["held"] == wanted)  # type: ignore[misc]  # mypy cannot infer the default
        whole.send(head("transfer-encoding: chunked", 'e\r\n{"prompt":"x"}\r\n0\r\n\r\n'))
        await pod.until(lambda status: status["held"] == 3)
        await entry["e1"].engine.start()
        assert [(await client.answer()).status for client in (first, second, whole)] == [200, 200, 200]


async def test_where_an_engine_is_reached_no_body_needs_room_in_the_hold(entry: Fleet) -> None:
    entry.publish("r1", bundles=held(hold_bytes=10))
    await entry["e1"].engine.start()
    await entry.until_ready()
    await entry["entry"].until(lambda status: status["reaches"] == ["e1"])
    assert (await entry["entry"].post("/v1/completions", {"prompt": "longer than ten bytes"})).status == 200


async def test_a_wait_that_is_too_long_is_429(entry: Fleet) -> None:
    entry.publish("r1", bundles=held(hold_timeout_ms=200))
    await entry.until_ready("entry")
    answer = await entry["entry"].post("/v1/completions", BODY)
    assert (answer.status, answer.error["code"], answer.headers["retry-after"]) == (429, "hold_timeout", "10")
    assert (await entry["entry"].status())["held"] == 0


async def test_who_waits_for_an_engine_that_did_not_start_is_told_so_and_the_next_one_served_when_it_did(entry: Fleet) -> None:
    entry.publish("r1", bundles=held())
    await entry.until_ready("entry")
    (waiting,) = await hold(entry["entry"], 1)
    entry.publish("r1", bundles=held(), failed="not ready: no node is free")
    answer = await waiting
    assert (answer.status, answer.error["code"], answer.headers["retry-after"]) == (503, "start_failed", "30")
    assert answer.error["message"].endswith("is not ready: no node is free")
    await entry["e1"].engine.start()
    await entry["e1"].until(lambda status: bool(status["ready"]))
    assert (await entry["entry"].post("/v1/completions", BODY)).status == 200


async def test_time_held_is_not_time_of_the_request(entry: Fleet) -> None:
    entry.publish("r1", bundles=held(total_timeout_ms=400))
    await entry.until_ready("entry")
    (waiting,) = await hold(entry["entry"], 1)
    await asyncio.sleep(0.6)
    await entry["e1"].engine.start()
    assert (await waiting).status == 200


async def test_a_client_that_leaves_frees_its_place(entry: Fleet) -> None:
    entry.publish("r1", bundles=held(hold_requests=1))
    await entry.until_ready("entry")
    async with connect(entry["entry"].port) as client:
        client.send(post("/v1/completions", BODY))
        await entry["entry"].until(lambda status: status["held"] == 1)
    await entry["entry"].until(lambda status: status["held"] == 0 and status["inflight"] == 0)
    waiting = await hold(entry["entry"], 1)
    await entry["e1"].engine.start()
    assert (await waiting[0]).status == 200


async def test_who_comes_while_others_wait_lines_up_behind_them(entry: Fleet) -> None:
    entry.publish("r1", bundles=held(max_concurrency=1))
    await entry.until_ready("entry")
    go = asyncio.Event()

    async def script(_request: Request, writer: asyncio.StreamWriter) -> None:
        await go.wait()
        writer.write(http(completion()))

    entry["e1"].engine.script = script
    waiting = await hold(entry["entry"], 3)
    await entry["e1"].engine.start()
    await eventually(lambda: entry["e1"].engine.requests, "the first")
    # Named, not counted: a held request that is just being tried again is not held for that moment.
    waiting.append(asyncio.create_task(entry["entry"].post("/v1/completions", {"prompt": "last"})))
    await entry["entry"].until(lambda status: status["held"] == 3)
    go.set()
    assert [answer.status for answer in await asyncio.gather(*waiting)] == [200] * 4
    assert orders(entry["e1"]) == ["0", "1", "2", "last"]


async def test_held_requests_take_the_table_that_is_in_force_when_they_go(fleet: Fleet) -> None:
    await fleet.start("entry", "e2")
    fleet.publish("r1", route("r2", "e2", 0), to=["entry"])
    await fleet.until_ready("entry")
    (waiting,) = await hold(fleet["entry"], 1)
    fleet.publish("r1", route("r2", "e2", 0))
    await fleet.until_ready("e2")
    await asyncio.sleep(0.6)
    assert not waiting.done()  # it is there, but it has no weight yet
    fleet.publish("r2")
    answer = await waiting
    assert (answer.status, answer.headers["x-llm-revision"]) == (200, "r2")


async def test_a_pod_holds_requests_while_its_own_engine_is_away(fleet: Fleet) -> None:
    await fleet.start("e1")
    fleet.publish("r1")
    await fleet.until_ready()
    await fleet["e1"].engine.stop()
    waiting = await hold(fleet["e1"], 3)
    await fleet["e1"].engine.start()
    answers = await asyncio.gather(*waiting)
    assert [(answer.status, answer.headers["x-llm-revision"]) for answer in answers] == [(200, "r1")] * 3
    assert sorted(orders(fleet["e1"])) == ["0", "1", "2"]


async def test_a_drain_lets_held_requests_finish_and_tells_the_rest(fleet: Fleet) -> None:
    await fleet.start("entry", LLM_DRAIN_MAX_STREAM_S="2")
    await fleet.start("e1", engine_up=False)
    fleet.publish("r1")
    await fleet.until_ready("entry")
    waiting = await hold(fleet["entry"], 2)
    draining = asyncio.create_task(ask(fleet["entry"].admin, post("/drain", b"", f"x-llm-pod-token: {TOKEN}")))
    await fleet["entry"].until(lambda status: status["draining"])
    await fleet["e1"].engine.start()
    assert [(await task).status for task in waiting] == [200, 200]
    assert (await draining).status == 200
