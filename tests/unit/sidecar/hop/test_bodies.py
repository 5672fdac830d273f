"""Bodies of requests that go to another pod, or wait to: counted in each pod that has them, and in one account at a time."""

import asyncio

from llm_sidecar.bodies import COPIES, PROGRAM_BYTES
from llm_sidecar.bundle import Bundle, Limits
from llm_sidecar.table import Subject
from tests.unit.sidecar.support.client import Answer, ask, connect, post
from tests.unit.sidecar.support.engine import Request, completion, http
from tests.unit.sidecar.support.eventually import eventually
from tests.unit.sidecar.support.fleet import HOP, Fleet, text_of
from tests.unit.sidecar.support.gate import Gate
from tests.unit.sidecar.support.pod import Pod, route

SIZE = 1000
BODY = {"prompt": "x" * (SIZE - 14)}
LITTLE = "1"
PLENTY = str(2 * (PROGRAM_BYTES + COPIES * SIZE * 99))


def limited(**limits: int) -> dict[str, Bundle]:
    return dict.fromkeys(("r1", "r2"), Bundle(limits=Limits(max_body_bytes=SIZE, **limits)))


def counted(pod: Pod) -> tuple[int, int]:
    """Return the bytes of bodies that are served, and of those that wait or have room kept to."""
    hold = pod.sidecar._services.hold
    return pod.sidecar._services.bodies.bytes_taken, hold._bytes + hold._booked


async def until_counted(pod: Pod, served: int, held: int) -> None:
    await eventually(lambda: counted(pod) == (served, held), f"{served} and {held} bytes")


async def started(fleet: Fleet, entry: str, engine: str, **limits: int) -> tuple[Pod, Pod, Gate]:
    await fleet.start("entry", LLM_MEMORY_BYTES=entry)
    await fleet.start("e1", LLM_MEMORY_BYTES=engine)
    fleet.publish("r1", bundles=limited(**limits))
    await fleet.until_ready()
    await fleet["entry"].until(lambda status: status["reaches"] == ["e1"])
    gate = fleet["e1"].engine.script = Gate()
    return fleet["entry"], fleet["e1"], gate


async def park(pod: Pod, number: int) -> asyncio.Task[Answer]:
    """Send a request and wait until it is held, the so-manieth."""
    asked = asyncio.create_task(pod.post("/v1/completions", BODY))
    await pod.until(lambda status: status["held"] == number)
    return asked


async def test_a_request_that_is_handed_on_is_counted_in_both_pods_until_its_answer_is_complete(fleet: Fleet) -> None:
    entry, pod, gate = await started(fleet, PLENTY, PLENTY)
    asked = asyncio.create_task(entry.post("/v1/completions", BODY))
    await eventually(lambda: gate.waiting, "the request at the engine")
    assert (counted(entry), counted(pod)) == ((SIZE, 0), (SIZE, 0))
    gate.open.set()
    assert (await asked).status == 200
    for each in (entry, pod):
        await until_counted(each, 0, 0)


async def test_a_client_of_the_first_hop_that_goes_gives_the_room_back_in_both_pods(fleet: Fleet) -> None:
    entry, pod, gate = await started(fleet, PLENTY, PLENTY)
    async with connect(entry.port) as client:
        client.send(post("/v1/completions", BODY))
        await eventually(lambda: gate.waiting, "the request at the engine")
    for each in (entry, pod):
        await until_counted(each, 0, 0)


async def test_no_room_in_the_pod_that_serves_is_an_answer_as_a_full_queue_is(fleet: Fleet) -> None:
    entry, pod, gate = await started(fleet, PLENTY, LITTLE)
    first = asyncio.create_task(entry.post("/v1/completions", BODY))
    await eventually(lambda: gate.waiting, "the request at the engine")
    second = await entry.post("/v1/completions", BODY)
    assert (second.status, second.error["code"], second.headers["retry-after"]) == (429, "bodies_full", "2")
    assert [await each.figure("llm_sidecar_shed_total") for each in (entry, pod)] == [0, 1], "who has no room counts that, and nobody else"
    gate.open.set()
    assert (await first).status == 200
    assert (await entry.post("/v1/completions", BODY)).status == 200


async def test_no_room_in_the_first_hop_is_said_there(fleet: Fleet) -> None:
    entry, pod, gate = await started(fleet, LITTLE, PLENTY)
    first = asyncio.create_task(entry.post("/v1/completions", BODY))
    await eventually(lambda: gate.waiting, "the request at the engine")
    assert (await entry.post("/v1/completions", BODY)).error["code"] == "bodies_full"
    assert [await each.figure("llm_sidecar_shed_total") for each in (entry, pod)] == [1, 0]
    gate.open.set()
    assert (await first).status == 200


async def test_a_body_that_is_read_for_whose_it_is_and_has_no_room_is_counted_as_shed(fleet: Fleet) -> None:
    await fleet.start("e1", LLM_MEMORY_BYTES=LITTLE)
    fleet.publish("r1", bundles=limited(hold_requests=0), subject=(Subject(body_field="user"),))
    await fleet.until_ready()
    gate = fleet["e1"].engine.script = Gate()
    first = asyncio.create_task(fleet["e1"].post("/v1/completions", BODY))
    await eventually(lambda: gate.waiting, "the request at the engine")
    assert (await fleet["e1"].post("/v1/completions", BODY)).error["code"] == "bodies_full"
    assert await fleet["e1"].figure("llm_sidecar_shed_total") == 1
    gate.open.set()
    assert (await first).status == 200
    await until_counted(fleet["e1"], 0, 0)


async def test_a_full_pod_offers_a_body_it_has_room_for_to_another_and_counts_it_once(fleet: Fleet) -> None:
    await fleet.start("e1", "e1-b", LLM_MEMORY_BYTES=PLENTY)
    fleet.publish("r1", bundles=limited(max_concurrency=1), peers=["e1", "e1-b"])
    await fleet.until_ready()
    gate = fleet["e1"].engine.script = Gate()
    first = asyncio.create_task(fleet["e1"].post("/v1/completions", BODY))
    await eventually(lambda: gate.waiting, "the request at the engine")
    assert text_of(await fleet["e1"].post("/v1/completions", BODY)) == "e1-b"
    await until_counted(fleet["e1"], SIZE, 0)
    gate.open.set()
    assert (await first).status == 200
    await until_counted(fleet["e1"], 0, 0)


async def test_those_who_wait_are_counted_in_the_hold_and_go_as_there_is_memory_for_them(fleet: Fleet) -> None:
    await fleet.start("entry", LLM_MEMORY_BYTES=LITTLE)
    await fleet.start("e1", engine_up=False, LLM_MEMORY_BYTES=PLENTY)
    fleet.publish("r1", bundles=limited(hold_bytes=10 * SIZE))
    await fleet.until_ready("entry")
    entry, pod = fleet["entry"], fleet["e1"]
    gate = pod.engine.script = Gate()
    asked = [asyncio.create_task(entry.post("/v1/completions", BODY)) for _ in range(3)]
    await entry.until(lambda status: status["held"] == 3)
    assert counted(entry) == (0, 3 * SIZE)
    await pod.engine.start()
    await eventually(lambda: gate.waiting, "the first at the engine")
    await until_counted(entry, SIZE, 2 * SIZE)
    assert (await entry.status())["held"] == 2, "one body fits"
    gate.open.set()
    assert [answer.status for answer in await asyncio.gather(*asked)] == [200] * 3
    await until_counted(entry, 0, 0)


async def test_who_was_held_and_finds_no_room_in_the_pod_has_its_place_back(fleet: Fleet) -> None:
    await fleet.start("entry", LLM_MEMORY_BYTES=PLENTY)
    await fleet.start("e1", engine_up=False, LLM_MEMORY_BYTES=LITTLE)
    fleet.publish("r1", bundles=limited(hold_bytes=10 * SIZE))
    await fleet.until_ready("entry")
    entry, pod = fleet["entry"], fleet["e1"]

    async def script(_request: Request, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.02)
        writer.write(http(completion()))

    pod.engine.script = script
    asked = [await park(entry, number) for number in range(1, 6)]
    await pod.engine.start()
    assert [answer.status for answer in await asyncio.gather(*asked)] == [200] * 5
    for each in (entry, pod):
        await until_counted(each, 0, 0)


async def test_those_who_wait_and_go_or_have_waited_too_long_leave_nothing_behind(fleet: Fleet) -> None:
    await fleet.start("entry", LLM_MEMORY_BYTES=LITTLE)
    fleet.publish("r1", bundles=limited(hold_timeout_ms=1000))
    await fleet.until_ready("entry")
    entry = fleet["entry"]
    async with connect(entry.port) as client:
        client.send(post("/v1/completions", BODY))
        await entry.until(lambda status: status["held"] == 1)
        late = await park(entry, 2)
    assert (await late).error["code"] == "hold_timeout"
    await until_counted(entry, 0, 0)


async def test_a_pod_whose_engine_goes_counts_what_it_has_read_in_the_hold_from_then_on(fleet: Fleet) -> None:
    await fleet.start("e1", LLM_MEMORY_BYTES=LITTLE)
    fleet.publish("r1", bundles=limited(), services={"e1": "nobody"})
    await fleet.until_ready()
    pod = fleet["e1"]
    await pod.until(lambda _: pod.sidecar._services.hold.reachable)
    await pod.engine.stop()
    first = await park(pod, 1)
    await until_counted(pod, 0, SIZE)
    second = await park(pod, 2)
    await until_counted(pod, 0, 2 * SIZE)
    await pod.engine.start()
    assert [answer.status for answer in await asyncio.gather(first, second)] == [200, 200]
    await until_counted(pod, 0, 0)


async def test_a_copy_for_which_the_other_pod_has_no_room_is_refused_there(fleet: Fleet) -> None:
    await fleet.start("e1", LLM_MEMORY_BYTES=PLENTY)
    await fleet.start("e2", LLM_MEMORY_BYTES=LITTLE)
    fleet.publish("r1", route("r2", "e2", 0), bundles=limited(hold_requests=0))
    await fleet.until_ready()
    gate = fleet["e2"].engine.script = Gate()
    mark = (*HOP, "x-llm-revision: r2", "x-llm-shadow: 1")
    copy = asyncio.create_task(ask(fleet["e2"].port, post("/v1/completions", BODY, *mark)))
    await eventually(lambda: gate.waiting, "the copy at the engine")
    refused = await ask(fleet["e2"].port, post("/v1/completions", BODY, *mark))
    assert (refused.status, refused.headers["x-llm-unserved"]) == (429, "bodies_full")
    gate.open.set()
    assert (await copy).status == 200
    await until_counted(fleet["e2"], 0, 0)
