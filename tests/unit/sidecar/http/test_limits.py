"""Limits of size, time and number, and what a client is told."""

import asyncio
import socket
from collections.abc import Awaitable, Iterable

import pytest

from llm_sidecar.bundle import Bundle, Limits, Pipeline, TrimStage
from llm_sidecar.http import call, exchange
from tests.unit.sidecar.conftest import MakePod
from tests.unit.sidecar.support.client import Answer, connect, post
from tests.unit.sidecar.support.engine import Request, Script, answers, completion, http
from tests.unit.sidecar.support.gate import Gate
from tests.unit.sidecar.support.pod import Pod

NO_HOLD = Bundle(limits=Limits(hold_requests=0))


async def _all(calls: Iterable[Awaitable[Answer]]) -> list[Answer]:
    return list(await asyncio.gather(*calls))


async def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_sent(make_pod: MakePod) -> None:
    pod = await make_pod(Bundle(limits=Limits(max_body_bytes=100)))
    async with connect(pod.port) as client:
        client.send(b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 101\r\n\r\n")
        answer = await client.answer()
    assert (answer.status, answer.error["code"]) == (413, "body_too_large")


async def test_a_chunked_body_is_refused_while_it_is_read(make_pod: MakePod) -> None:
    pod = await make_pod(Bundle(limits=Limits(max_body_bytes=100)))
    async with connect(pod.port) as client:
        client.send(b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n")
        client.send(b"%x\r\n%s\r\n" % (101, b"a" * 101))
        answer = await client.answer()
    assert (answer.status, answer.error["code"]) == (413, "body_too_large")
    assert not pod.engine.requests


async def test_a_body_of_exactly_the_limit_is_served(make_pod: MakePod) -> None:
    body = b'{"prompt": "x"}'
    pod = await make_pod(Bundle(limits=Limits(max_body_bytes=len(body))))
    assert (await pod.post("/v1/completions", body)).status == 200
    assert (await pod.post("/v1/completions", body + b" ")).status == 413


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions", "/generate"])
@pytest.mark.parametrize("stages", [None, Pipeline(request=(TrimStage(),))])
async def test_a_body_that_is_nested_too_deeply_is_refused_on_every_route(make_pod: MakePod, path: str, stages: Pipeline | None) -> None:
    pod = await make_pod(Bundle(pipeline=stages))
    for depth in (65, 100_000):
        answer = await pod.post(path, b'{"prompt": "x", "more": %b%b}' % (b"[" * depth, b"]" * depth))
        assert (answer.status, answer.error["code"]) == (400, "too_deep")
    assert not pod.engine.requests


async def test_a_slow_body_gets_408(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call, "BODY_TIMEOUT_S", 0.2)
    async with connect(pod.port) as client:
        client.send(post("/v1/completions", {"prompt": "x"})[:-3])
        answer = await client.answer()
    assert (answer.status, answer.error["code"]) == (408, "body_timeout")


async def test_other_types_and_encodings_get_415(pod: Pod) -> None:
    for header, code in [("content-type: text/plain", "type_not_supported"), ("content-encoding: gzip", "encoding_not_supported")]:
        answer = await pod.post("/v1/completions", {"prompt": "x"}, header)
        assert (answer.status, answer.error["code"]) == (415, code)


async def test_beyond_slots_and_queue_requests_are_shed_at_once(make_pod: MakePod) -> None:
    pod = await make_pod(Bundle(limits=Limits(max_concurrency=2, queue=1, queue_timeout_ms=9_000)))
    gate = pod.engine.script = Gate()
    calls = [asyncio.create_task(pod.post("/v1/completions", {"prompt": "x"})) for _ in range(3)]
    await pod.until(lambda status: (status["inflight"], status["running"], status["queued"]) == (3, 2, 1))
    assert await pod.figure("llm_sidecar_queue_depth") == 1
    shed = await pod.post("/v1/completions", {"prompt": "x"})
    assert (shed.status, shed.error["code"], shed.headers["retry-after"]) == (429, "queue_full", "9")
    assert gate.waiting == 2
    gate.open.set()
    assert [answer.status for answer in await _all(calls)] == [200, 200, 200]
    assert await pod.figure("llm_sidecar_shed_total") == 1


async def test_a_wait_that_is_too_long_gets_429(make_pod: MakePod) -> None:
    pod = await make_pod(Bundle(limits=Limits(max_concurrency=1, queue=5, queue_timeout_ms=100)))
    gate = pod.engine.script = Gate()
    first = asyncio.create_task(pod.post("/v1/completions", {"prompt": "x"}))
    await gate.until_waiting(1)
    late = await pod.post("/v1/completions", {"prompt": "x"})
    assert (late.status, late.error["code"]) == (429, "queue_timeout")
    gate.open.set()
    assert (await first).status == 200


async def test_a_full_queue_never_makes_the_pod_unready(make_pod: MakePod) -> None:
    pod = await make_pod(Bundle(limits=Limits(max_concurrency=1, queue=0)))
    gate = pod.engine.script = Gate()
    first = asyncio.create_task(pod.post("/v1/completions", {"prompt": "x"}))
    await gate.until_waiting(1)
    assert (await pod.post("/v1/completions", {"prompt": "x"})).status == 429
    assert (await pod.admin_get("/readyz")).status == 200
    gate.open.set()
    await first


async def test_a_client_that_leaves_the_queue_makes_room(make_pod: MakePod) -> None:
    pod = await make_pod(Bundle(limits=Limits(max_concurrency=1, queue=1, queue_timeout_ms=9_000)))
    gate = pod.engine.script = Gate()
    first = asyncio.create_task(pod.post("/v1/completions", {"prompt": "x"}))
    await gate.until_waiting(1)
    async with connect(pod.port) as client:
        client.send(post("/v1/completions", {"prompt": "x"}))
        await pod.until(lambda status: status["queued"] == 1)
    await pod.until(lambda status: status["queued"] == 0 and status["inflight"] == 1)
    gate.open.set()
    await first


async def test_no_answer_within_the_total_time_gets_504_and_the_engine_is_told(make_pod: MakePod) -> None:
    pod = await make_pod(Bundle(limits=Limits(total_timeout_ms=200)))
    pod.engine.script = Gate()
    answer = await pod.post("/v1/completions", {"prompt": "x"})
    assert (answer.status, answer.error["code"]) == (504, "total_timeout")
    await asyncio.wait_for(pod.engine.aborted.wait(), 5)


async def test_what_the_engine_does_wrong_has_the_one_error_shape(make_pod: MakePod) -> None:
    pod = await make_pod(NO_HOLD)
    for raw, status, code in [
        (http(b'{"detail":"Not Found"}', "404 Not Found"), 404, "engine_error"),
        (http(b'{"error":"Unauthorized"}', "401 Unauthorized"), 401, "engine_error"),
        (http(b"Internal Server Error", "500 Internal Server Error", "text/plain"), 500, "engine_error"),
        (http(b"", "503 Service Unavailable"), 503, "engine_error"),
        (http(b"", "529 Overloaded"), 529, "engine_error"),
        (http(b'{"error":{"message":"cannot schedule new futures after shutdown","code":500}}', "500 x"), 503, "engine_stopping"),
        (http(b"", "302 Found", extra="location: http://elsewhere/\r\n"), 502, "engine_broken"),
        (b"garbage\r\n\r\n", 502, "engine_broken"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", 502, "engine_broken"),
        (http(completion().replace(b'"finish_reason": "length"', b'"finish_reason":"abort"')), 503, "engine_aborted"),
    ]:
        pod.engine.script = _last_words(raw)
        answer = await pod.post("/v1/completions", {"prompt": "x"})
        assert (answer.status, answer.error["code"]) == (status, code), raw


def _last_words(raw: bytes) -> Script:
    async def script(_request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        writer.close()

    return script


async def test_an_engine_error_keeps_status_words_and_field_and_gets_a_code(pod: Pod) -> None:
    body = b'{"error":{"message":"The model `nope` does not exist.","type":"NotFoundError","param":"model","code":404}}'
    pod.engine.script = answers(http(body, "404 Not Found"))
    answer = await pod.post("/v1/completions", {"model": "nope", "prompt": "x"})
    assert (answer.status, answer.error["message"], answer.error["param"]) == (404, "The model `nope` does not exist.", "model")
    assert (answer.error["code"], answer.error["stage"]) == ("model_not_found", "engine")


async def test_a_classic_answer_that_is_no_completion_gets_502(pod: Pod) -> None:
    pod.engine.script = answers(http(b"[1, 2]"))
    answer = await pod.post("/generate", {"prompt": "x"})
    assert (answer.status, answer.error["code"]) == (502, "engine_broken")


async def test_an_engine_that_is_gone_gets_503_and_makes_the_pod_unready(make_pod: MakePod) -> None:
    pod = await make_pod(NO_HOLD)
    await pod.engine.stop()
    answer = await pod.post("/v1/completions", {"prompt": "x"})
    assert (answer.status, answer.headers.get("retry-after")) in {(503, "1"), (502, None)}
    status = await pod.until(lambda status: not status["ready"])
    assert status["reason"] == "EngineUnreachable"
    assert (await pod.get("/v1/models")).status == 503


async def test_models_say_what_is_wrong_with_the_engine(pod: Pod) -> None:
    for raw, status, code in [
        (http(b"", "500 x"), 500, "engine_error"),
        (b"garbage\r\n\r\n", 502, "engine_broken"),
    ]:
        pod.engine.models_answer = raw
        answer = await pod.get("/v1/models")
        assert (answer.status, answer.error["code"]) == (status, code)


async def test_a_bug_of_ours_is_one_json_error_and_a_traceback_in_the_log(
    pod: Pod, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def explode(*_arguments: object) -> None:
        raise RuntimeError("a secret inside")

    monkeypatch.setattr(call, "prepare", explode)
    answer = await pod.post("/v1/completions", {"prompt": "x"})
    assert (answer.status, answer.error["code"]) == (500, "internal_error")
    assert b"secret" not in answer.body
    assert "a secret inside" in caplog.text
    monkeypatch.undo()
    assert (await pod.post("/v1/completions", {"prompt": "x"})).status == 200


async def test_a_large_answer_nobody_reads_is_dropped_at_the_total_time(
    make_pod: MakePod, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pod = await make_pod(Bundle(limits=Limits(total_timeout_ms=400)))
    pod.engine.script = answers(http(b"[" + b"1," * 8_000_000 + b"1]"))
    monkeypatch.setattr(exchange, "_LAST_WORDS_S", 0.2)
    raw = socket.create_connection(("127.0.0.1", pod.port))
    raw.setblocking(False)  # noqa: FBT003  # the socket's own signature
    try:
        await asyncio.get_running_loop().sock_sendall(raw, post("/v1/completions", {"prompt": "x"}))
        await pod.until(lambda status: status["inflight"] == 1)
        await pod.until(lambda status: status["inflight"] == 0)
        assert not caplog.records
    finally:
        raw.close()
