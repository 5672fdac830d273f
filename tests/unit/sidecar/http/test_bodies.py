"""Large bodies at once, over real sockets: as many as there is memory for, the others are told to come back. The engine is scripted."""

import asyncio

import pytest

from llm_sidecar.bodies import COPIES, PROGRAM_BYTES
from llm_sidecar.bundle import Bundle, Limits, Pipeline, TrimStage
from llm_sidecar.http import call
from tests.unit.sidecar.conftest import MakePod
from tests.unit.sidecar.support.client import Answer, connect, get, post
from tests.unit.sidecar.support.engine import Request, Script, answers, completion, http, streams, text_events
from tests.unit.sidecar.support.engine import chunk as chunk_of
from tests.unit.sidecar.support.eventually import eventually
from tests.unit.sidecar.support.gate import Gate
from tests.unit.sidecar.support.pod import Pod

MIB = 1 << 20
PATH = "/v1/completions"
CHUNKED = b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
LIMITS = Limits(max_body_bytes=MIB, hold_requests=0, queue=0)


def memory(most_bytes: int) -> dict[str, str]:
    """Return the environment of a sidecar that has memory for so many bytes of bodies."""
    return {"LLM_MEMORY_BYTES": str(2 * (PROGRAM_BYTES + COPIES * most_bytes))}


def body(size: int) -> bytes:
    return b'{"prompt": "%b"}' % (b"x" * (size - 14))


def large(size: int = MIB) -> bytes:
    return post(PATH, body(size))


def head(size: int) -> bytes:
    return b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % size


def chunk(size: int) -> bytes:
    return chunk_of(b" " * size)


SHORT, LAST = body(14), b"0\r\n\r\n"


def taken(pod: Pod) -> int:
    return pod.sidecar._services.bodies.bytes_taken


async def until_taken(pod: Pod, size: int) -> None:
    await eventually(lambda: taken(pod) == size, f"{size} bytes of bodies, there are {taken(pod)}")


async def send(pod: Pod, raw: bytes) -> Answer:
    async with connect(pod.port) as client:
        client.send(raw)
        return await client.answer()


async def test_of_many_large_bodies_at_once_those_are_served_that_fit_and_the_others_when_they_come_again(make_pod: MakePod) -> None:
    pod = await make_pod(Bundle(limits=LIMITS), **memory(4 * MIB))
    gate = pod.engine.script = Gate()
    asked = [asyncio.create_task(send(pod, large())) for _ in range(24)]
    await eventually(lambda: sum(task.done() for task in asked) == 20 and len(gate.sizes) == 4, "those that fit, and a word to the others")
    assert await pod.figure("llm_sidecar_body_bytes") == await pod.figure("llm_sidecar_body_bytes_max") == 4 * MIB
    refused = [task.result() for task in asked if task.done()]
    assert {(each.status, each.error["code"], each.error["stage"], each.headers["retry-after"]) for each in refused} == {
        (429, "bodies_full", "admission", "2")
    }
    assert {each.error["type"] for each in refused} == {"rate_limit_error"}
    assert 'llm_sidecar_shed_total{reason="bodies_full"} 20.0' in (await pod.admin_get("/metrics")).body.decode()
    assert (await pod.admin_get("/readyz")).status == 200
    gate.open.set()
    assert sorted(answer.status for answer in await asyncio.gather(*asked)) == [200] * 4 + [429] * 20
    await until_taken(pod, 0)
    assert [(await send(pod, large())).status for _ in range(6)] == [200] * 6
    await until_taken(pod, 0)


async def test_whoever_has_no_body_is_served_while_there_is_no_room_for_another(make_pod: MakePod) -> None:
    pod = await make_pod(Bundle(limits=LIMITS), LLM_MEMORY_BYTES="1")
    gate = pod.engine.script = Gate()
    asked = asyncio.create_task(send(pod, large()))
    await eventually(lambda: gate.sizes == [MIB], "a body as large as one may be, however little memory there is")
    assert (await send(pod, large(15))).error["code"] == "bodies_full"
    assert (await pod.get("/v1/models")).status == 200
    assert (await send(pod, get("/health"))).status == 200
    gate.open.set()
    assert (await asked).status == 200


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions", "/generate"])
@pytest.mark.parametrize("stages", [None, Pipeline(request=(TrimStage(),))])
async def test_on_every_route_a_body_is_counted_until_its_answer_is_complete(make_pod: MakePod, path: str, stages: Pipeline | None) -> None:
    pod = await make_pod(Bundle(limits=LIMITS, pipeline=stages), **memory(4 * MIB))
    gate = pod.engine.script = Gate()
    asked = {"messages": [{"role": "user", "content": "x"}]} if "chat" in path else {"prompt": "x"}
    async with connect(pod.port) as client:
        raw = post(path, asked)
        client.send(raw)
        await eventually(lambda: gate.sizes, "the request at the engine")
        assert taken(pod) == len(raw.partition(b"\r\n\r\n")[2])
        gate.open.set()
        assert (await client.answer()).status == 200
        await until_taken(pod, 0)


async def test_a_body_of_a_stream_is_counted_until_the_stream_ends_or_its_client_goes(make_pod: MakePod) -> None:
    pod = await make_pod(Bundle(limits=LIMITS), **memory(4 * MIB))
    pod.engine.script = streams(*text_events(*"abcdefgh"), pause_s=0.02)
    raw = post(PATH, b'{"prompt": "x", "stream": true}')
    for until in (None, b"data:"):
        async with connect(pod.port) as client:
            client.send(raw)
            await client.answer(until=b"data:")
            assert taken(pod) == 31
            if until is None:
                await client.answer()
        await until_taken(pod, 0)


async def test_a_body_that_says_its_length_has_its_room_before_it_comes_and_gives_it_back_when_the_client_goes(make_pod: MakePod) -> None:
    pod = await make_pod(Bundle(limits=LIMITS), **memory(2 * MIB))
    for reset in (False, True):
        async with connect(pod.port) as first, connect(pod.port) as second:
            for client in (first, second):
                client.send(head(MIB) + b"{")
            await until_taken(pod, 2 * MIB)
            assert (await send(pod, large(100))).error["code"] == "bodies_full"
            if reset:
                first.writer.transport.abort()
                second.writer.transport.abort()
        await until_taken(pod, 0)
    assert (await send(pod, large())).status == 200


async def test_a_body_in_chunks_takes_room_as_it_comes_and_gives_it_back_when_the_client_goes(make_pod: MakePod) -> None:
    pod = await make_pod(Bundle(limits=LIMITS), **memory(2 * MIB))
    async with connect(pod.port) as client:
        client.send(CHUNKED)
        for number in range(1, 4):
            client.send(chunk(200_000))
            await until_taken(pod, number * 200_000)
    await until_taken(pod, 0)


async def test_a_body_in_chunks_is_refused_once_there_is_no_room_for_the_next_and_fits_later(make_pod: MakePod) -> None:
    pod = await make_pod(Bundle(limits=LIMITS), LLM_MEMORY_BYTES="1")
    gate = pod.engine.script = Gate()
    asked = asyncio.create_task(send(pod, large(MIB - 1000)))
    await eventually(lambda: gate.sizes, "the first one at the engine")
    async with connect(pod.port) as client:
        client.send(CHUNKED + chunk(800))
        await until_taken(pod, MIB - 200)
        client.send(chunk(201))
        assert (await client.answer()).error["code"] == "bodies_full"
    await until_taken(pod, MIB - 1000)
    gate.open.set()
    assert (await asked).status == 200
    for spaces in (1000, MIB - len(SHORT)):
        assert (await send(pod, CHUNKED + chunk(spaces) + chunk_of(SHORT) + LAST)).status == 200
    await until_taken(pod, 0)


async def test_a_body_in_chunks_that_has_come_before_anybody_read_it_is_counted_too(make_pod: MakePod) -> None:
    pod = await make_pod(Bundle(limits=LIMITS), **memory(2 * MIB))
    gate = pod.engine.script = Gate()
    async with connect(pod.port) as client:
        client.send(CHUNKED + chunk_of(SHORT) + LAST)
        await eventually(lambda: gate.sizes, "the request at the engine")
        assert taken(pod) == len(SHORT)
        gate.open.set()
        assert (await client.answer()).status == 200
    await until_taken(pod, 0)


async def test_bodies_of_those_in_the_queue_are_counted(make_pod: MakePod) -> None:
    pod = await make_pod(Bundle(limits=Limits(max_body_bytes=MIB, max_concurrency=1, queue=9, queue_timeout_ms=300)), **memory(3 * MIB))
    gate = pod.engine.script = Gate()
    asked = [asyncio.create_task(send(pod, large())) for _ in range(4)]
    await eventually(lambda: sum(task.done() for task in asked) == 1 and gate.sizes, "one that does not fit")
    assert taken(pod) == 3 * MIB
    await eventually(lambda: sum(task.done() for task in asked) == 3, "those that have waited too long")
    assert taken(pod) == MIB
    gate.open.set()
    codes = [answer.error["code"] for answer in await asyncio.gather(*asked) if answer.status == 429]
    assert sorted(codes) == ["bodies_full", "queue_timeout", "queue_timeout"]
    await until_taken(pod, 0)


async def test_requests_sent_ahead_on_one_connection_have_room_one_after_the_other(make_pod: MakePod) -> None:
    pod = await make_pod(Bundle(limits=LIMITS), LLM_MEMORY_BYTES="1")
    async with connect(pod.port) as client:
        client.send(large() + large())
        assert [(await client.answer()).status for _ in range(2)] == [200, 200]
    await until_taken(pod, 0)


def _last_words(raw: bytes) -> Script:
    async def script(_request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        writer.close()

    return script


@pytest.mark.parametrize(
    ("raw", "script", "status"),
    [
        (head(1000) + b"{", None, 408),
        (large(1000), Gate(), 504),
        (large(1000), _last_words(b""), 502),
        (large(1000), _last_words(b"garbage\r\n\r\n"), 502),
        (large(1000), answers(http(b"", "503 Service Unavailable")), 503),
        (post(PATH, b"x" * 1000), None, 400),
        (head(MIB + 1), None, 413),
        (CHUNKED + chunk(MIB) + chunk(1), None, 413),
        (large(1000).replace(b"application/json", b"application/xml "), None, 415),
        (large(1000), None, 200),
        (large(1000).replace(b"/v1/completions", b"/v1/embeddings"), None, 404),
        (large(1000).replace(b"POST", b"PUT"), None, 405),
    ],
    ids=[
        "slow",
        "late",
        "lost",
        "broken",
        "refused by the engine",
        "no JSON",
        "large",
        "large, in chunks",
        "type",
        "served",
        "path",
        "method",
    ],
)
async def test_whatever_a_request_ends_with_its_room_is_free(
    make_pod: MakePod, monkeypatch: pytest.MonkeyPatch, raw: bytes, script: Script | None, status: int
) -> None:
    monkeypatch.setattr(call, "BODY_TIMEOUT_S", 0.2)
    limits = Limits(max_body_bytes=MIB, hold_requests=0, total_timeout_ms=500)
    pod = await make_pod(Bundle(limits=limits), LLM_MEMORY_BYTES="1")
    pod.engine.script = script or pod.engine.script
    for _ in range(3):
        async with connect(pod.port) as client:
            client.send(raw)
            assert (await client.answer()).status == status
    await until_taken(pod, 0)
    pod.engine.script = answers(http(completion()))
    await pod.until(lambda state: bool(state["ready"]))
    assert (await send(pod, large())).status == 200


async def test_a_bug_of_ours_keeps_no_room(make_pod: MakePod, monkeypatch: pytest.MonkeyPatch) -> None:
    pod = await make_pod(Bundle(limits=LIMITS), LLM_MEMORY_BYTES="1")

    def explode(*_arguments: object) -> None:
        raise RuntimeError("on purpose")

    monkeypatch.setattr(call, "prepare", explode)
    assert [(await send(pod, large())).status for _ in range(2)] == [500, 500]
    await until_taken(pod, 0)


async def test_clients_that_come_and_go_at_random_leave_nothing_behind(make_pod: MakePod) -> None:
    pod = await make_pod(Bundle(limits=Limits(max_body_bytes=MIB, hold_requests=0, max_concurrency=8)), **memory(2 * MIB))

    async def leave(at: int, raw: bytes) -> None:
        async with connect(pod.port) as client:
            client.send(raw[: len(raw) * at // 10])
            await asyncio.sleep(at / 500)

    both = (large(400_000), CHUNKED + chunk(300_000) + chunk(1))
    await asyncio.gather(*(leave(number % 11, both[number % 2]) for number in range(60)))
    await until_taken(pod, 0)
    await pod.until(lambda status: status["inflight"] == 0)
    assert (await send(pod, large())).status == 200
