"""Streams: every event on its way at once, ended properly whatever happens, and the engine told when nobody listens."""

import asyncio
import socket
import time

import pytest

from llm_sidecar.bundle import Bundle, Limits, Prompt
from llm_sidecar.http import exchange
from tests.unit.sidecar.conftest import MakePod
from tests.unit.sidecar.support.client import connect, post
from tests.unit.sidecar.support.engine import STREAM_HEAD, Request, answers, chunk, event, http, streams, text_events
from tests.unit.sidecar.support.eventually import eventually
from tests.unit.sidecar.support.pod import Pod

ASK = post("/v1/completions", {"prompt": "x", "stream": True})
CLASSIC = post("/generate", {"prompt": "p", "stream": True})


async def test_every_event_arrives_when_it_is_sent(pod: Pod) -> None:
    async def script(_request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD)
        for _ in range(20):
            writer.write(chunk(event({"choices": [{"index": 0, "text": f"{time.perf_counter():.6f}"}]})))
            await asyncio.sleep(0.05)
        writer.write(chunk(event(b"[DONE]")) + b"0\r\n\r\n")

    pod.engine.script = script
    async with connect(pod.port) as client:
        client.send(ASK)
        answer = await client.answer()
    pieces = [(moment, piece) for moment, piece in answer.pieces if b"text" in piece]
    assert len(pieces) == 20
    delays = sorted(moment - float(piece.split(b'"text":"')[1].split(b'"')[0]) for moment, piece in pieces)
    assert delays[len(delays) // 2] < 0.04  # below the pace: nothing waits for the next event


async def test_the_status_is_sent_before_the_first_token(pod: Pod) -> None:
    go = asyncio.Event()

    async def script(_request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD)
        await go.wait()
        writer.write(b"".join(map(chunk, text_events("a"))) + b"0\r\n\r\n")

    pod.engine.script = script
    async with connect(pod.port) as client:
        client.send(ASK)
        head = await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), 5)
        assert head.startswith(b"HTTP/1.1 200 ")
        go.set()


async def test_an_error_status_of_the_engine_is_the_status_of_a_stream_too(pod: Pod) -> None:
    pod.engine.script = answers(http(b'{"error":{"message":"too long","param":"messages"}}', "400 Bad Request"))
    async with connect(pod.port) as client:
        client.send(ASK)
        assert (await client.answer()).status == 400


async def test_a_client_that_leaves_cancels_its_stream_at_the_engine(pod: Pod) -> None:
    pod.engine.script = streams(*text_events(*["a"] * 500), pause_s=0.02)
    async with connect(pod.port) as client:
        client.send(ASK)
        await client.answer(until=b"data:")
    await asyncio.wait_for(pod.engine.aborted.wait(), 5)
    await pod.until(lambda status: status["inflight"] == 0)


async def test_a_client_that_has_sent_requests_ahead_and_leaves_cancels_its_request_too(pod: Pod) -> None:
    async def script(_request: Request, _writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    pod.engine.script = script
    async with connect(pod.port) as client:
        client.send(post("/v1/completions", {"prompt": "x"}) * 3)
        await pod.until(lambda status: status["inflight"] == 1)
    await asyncio.wait_for(pod.engine.aborted.wait(), 5)
    await pod.until(lambda status: status["inflight"] == 0)
    assert len(pod.engine.requests) == 1


async def test_a_client_that_leaves_before_the_first_byte_cancels_its_request(pod: Pod) -> None:
    async def script(_request: Request, _writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    pod.engine.script = script
    async with connect(pod.port) as client:
        client.send(post("/v1/completions", {"prompt": "x"}))
        await pod.until(lambda status: status["inflight"] == 1)
    await asyncio.wait_for(pod.engine.aborted.wait(), 5)


async def test_a_stream_the_engine_cuts_ends_with_an_error_event(pod: Pod) -> None:
    async def script(_request: Request, writer: asyncio.StreamWriter) -> None:
        whole = text_events("a", "b")
        writer.write(STREAM_HEAD + chunk(whole[0]) + chunk(whole[1][:-9]))
        await writer.drain()
        writer.close()

    pod.engine.script = script
    for ask, end in ((ASK, b"\n\ndata: [DONE]\n\n"), (CLASSIC, b"\n")):
        async with connect(pod.port) as client:
            client.send(ask)
            answer = await client.answer()
        assert answer.complete
        assert b'"code":"engine_broken"' in answer.body
        assert answer.body.endswith(end)
        assert answer.body.count(b'"index"') == (ask is ASK)  # the half event was never passed on
    assert await pod.figure("llm_sidecar_stream_errors_total") == 2


async def test_a_stream_past_the_total_time_ends_with_an_error_event(make_pod: MakePod) -> None:
    pod = await make_pod(Bundle(limits=Limits(total_timeout_ms=300)))
    pod.engine.script = streams(*text_events(*["a"] * 500), pause_s=0.02)
    async with connect(pod.port) as client:
        client.send(ASK)
        answer = await client.answer()
    assert b'"code":"total_timeout"' in answer.body
    assert answer.body.endswith(b"data: [DONE]\n\n")
    await asyncio.wait_for(pod.engine.aborted.wait(), 5)


async def test_a_client_that_does_not_read_slows_the_engine_and_is_cut_off_in_the_end(
    make_pod: MakePod, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(exchange, "_LAST_WORDS_S", 0.2)
    pod = await make_pod(Bundle(limits=Limits(total_timeout_ms=700)))
    sent = 0

    async def script(_request: Request, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(STREAM_HEAD)
        while True:
            writer.write(chunk(event({"choices": [{"index": 0, "text": "x" * 30_000}]})))
            await writer.drain()
            sent += 30_000

    pod.engine.script = script
    raw = socket.create_connection(("127.0.0.1", pod.port))
    raw.setblocking(False)  # noqa: FBT003  # the socket's own signature
    try:
        await asyncio.get_running_loop().sock_sendall(raw, ASK)
        await asyncio.wait_for(pod.engine.aborted.wait(), 10)
        assert sent < 50_000_000
        await pod.until(lambda status: status["inflight"] == 0)
        assert not caplog.records
    finally:
        raw.close()


async def test_a_stream_keeps_the_bundle_it_began_with(make_pod: MakePod) -> None:
    pod = await make_pod(Bundle(prompt=Prompt(system="old")))
    go = asyncio.Event()

    async def script(_request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + chunk(text_events("a")[0]))
        await go.wait()
        writer.write(b"".join(map(chunk, text_events("b"))) + b"0\r\n\r\n")

    pod.engine.script = script
    chat = post("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}], "stream": True})
    async with connect(pod.port) as client:
        client.send(chat)
        await eventually(lambda: pod.engine.requests, "the request")
        pod.snapshot.write(2, "r2", Bundle(prompt=Prompt(system="new")))
        await pod.until(lambda status: status["revision"] == "r2")
        go.set()
        first = await client.answer()
        client.send(chat)
        second = await client.answer()
    assert (first.headers["x-llm-revision"], second.headers["x-llm-revision"]) == ("r1", "r2")
    assert [request.json["messages"][0]["content"] for request in pod.engine.requests] == ["old", "new"]
    assert b'"b"' in first.body


async def test_figures_follow_the_stream(pod: Pod) -> None:
    pod.engine.script = streams(*text_events("a", "b", "c"), pause_s=0.01)
    async with connect(pod.port) as client:
        client.send(ASK)
        await client.answer()
    for name, value in [
        ("gen_ai_server_request_duration_seconds_count", 1),
        ("gen_ai_server_time_to_first_token_seconds_count", 1),
        ("gen_ai_server_time_per_output_token_seconds_count", 1),
        ("gen_ai_client_token_usage_count", 2),
        ("gen_ai_client_token_usage_sum", 12),
        ("llm_sidecar_overhead_seconds_count", 1),
        ("llm_sidecar_stream_errors_total", 0),
    ]:
        assert await pod.figure(name) == value, name


async def test_a_stream_the_engine_aborted_counts_as_an_error(pod: Pod) -> None:
    pod.engine.script = streams(event({"choices": [{"index": 0, "text": "", "finish_reason": "abort"}]}), event(b"[DONE]"))
    async with connect(pod.port) as client:
        client.send(ASK)
        await client.answer()
    assert await pod.figure("llm_sidecar_stream_errors_total") == 1
