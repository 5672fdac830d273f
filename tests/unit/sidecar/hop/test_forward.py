"""The hop: a request that belongs to another engine goes to its sidecar once, and its answer comes back as it is. Engines are scripted."""

import asyncio
import socket

import pytest

from llm_sidecar.bundle import BlocklistStage, Bundle, Limits, Pipeline, Prompt
from tests.unit.sidecar.support.client import ask, connect, get, post
from tests.unit.sidecar.support.engine import STREAM_HEAD, Request, answers, chunk, http, streams, text_events
from tests.unit.sidecar.support.eventually import eventually
from tests.unit.sidecar.support.fleet import HOP, Fleet, text_of
from tests.unit.sidecar.support.pod import TOKEN

BODY = b'{ "prompt":"x",   "unheard_of": 1e2 }'
STREAM = {"prompt": "x", "stream": True}


@pytest.fixture
async def two(fleet: Fleet) -> Fleet:
    """Return two pods of two engines, all requests for the second."""
    await fleet.start("e1", "e2")
    fleet.publish("r2", peers=["e2"])
    for name in fleet.pods:
        await fleet[name].until(lambda status: status["generation"] == 1)
    await fleet["e2"].until(lambda status: bool(status["ready"]))
    return fleet


async def test_a_request_of_another_engine_is_served_there_byte_for_byte(two: Fleet) -> None:
    answer = await two["e1"].post("/v1/completions", BODY, "x-request-id: mine", "traceparent: 00-a-b-01", "x-secret: s")
    assert (answer.status, text_of(answer)) == (200, "e2")
    assert (answer.headers["x-llm-revision"], answer.headers["x-request-id"]) == ("r2", "mine")
    (seen,) = two["e2"].engine.requests
    assert seen.body == BODY
    assert seen.headers["traceparent"] == "00-a-b-01"
    assert not {name for name in seen.headers if name.startswith("x-llm-") or name == "x-secret"}
    assert TOKEN not in str(seen)
    assert two["e1"].engine.requests == []


async def test_the_prompt_is_rendered_where_the_request_is_served(two: Fleet) -> None:
    two.publish("r2", bundles={"r2": Bundle(prompt=Prompt(system="be brief"))}, peers=["e2"])
    await two["e2"].until(lambda status: status["generation"] == 2)
    await two["e1"].post("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}]})
    assert [message["content"] for message in two["e2"].engine.requests[-1].json["messages"]] == ["be brief", "hi"]


async def test_the_classic_route_and_the_models_go_over_too(two: Fleet) -> None:
    classic = await two["e1"].post("/generate", {"prompt": "p"}, "content-type: text/plain")
    assert classic.json == {"text": ["pe2"]}
    two["e2"].engine.script = streams(*text_events("a", "b"))
    lines = await two["e1"].post("/generate", {"prompt": "p", "stream": True})
    assert lines.headers["content-type"] == "application/x-ndjson"
    assert lines.body.splitlines() == [b'{"text": ["pa"]}', b'{"text": ["pab"]}']
    assert (await two["e1"].get("/v1/models")).json["data"][0]["id"] == "chat"
    assert two["e2"].engine.requests[-1].target == "/v1/models"


async def test_a_stream_arrives_event_by_event_and_complete(two: Fleet) -> None:
    go = asyncio.Event()
    events = text_events("a", "b")

    async def script(_request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + chunk(events[0]))
        await go.wait()
        writer.write(b"".join(map(chunk, events[1:])) + b"0\r\n\r\n")

    two["e2"].engine.script = script
    async with connect(two["e1"].port) as client:
        client.send(post("/v1/completions", STREAM))
        first = await client.answer(until=b"\n\n")
        assert (first.headers["cache-control"], first.headers["x-accel-buffering"]) == ("no-cache", "no")
        assert b'"a"' in first.body
        go.set()
        rest = await client.answer()
    assert rest.complete
    assert rest.body.endswith(b"data: [DONE]\n\n")
    direct = await two["e2"].post("/v1/completions", STREAM)
    assert first.body + rest.body == direct.body


async def test_refusals_of_the_server_are_the_clients_answer(two: Fleet) -> None:
    for raw, status in [(http(b'{"error":{"message":"no","param":"p"}}', "400 Bad Request"), 400), (http(b"x", "500 x"), 500)]:
        two["e2"].engine.script = answers(raw)
        assert (await two["e1"].post("/v1/completions", BODY)).status == status
    bad = await two["e1"].post("/v1/completions", b"{")
    assert (bad.status, bad.error["code"]) == (400, "invalid_json")
    assert "x-llm-unserved" not in bad.headers


async def test_the_first_hop_checks_what_it_can_before_it_hands_over(two: Fleet) -> None:
    two.publish("r2", bundles={"r2": Bundle(limits=Limits(max_body_bytes=10))}, peers=["e2"])
    await two["e1"].until(lambda status: status["generation"] == 2)
    for body, headers, status in [
        (b"x" * 11, (), 413),
        (b"{}", ("content-type: text/plain",), 415),
        (b"{}", ("content-encoding: br",), 415),
    ]:
        assert (await two["e1"].post("/v1/completions", body, *headers)).status == status
    assert await two["e2"].figure("gen_ai_server_request_duration_seconds_count") == 0


async def test_only_the_server_counts_a_request_that_was_served(two: Fleet) -> None:
    await two["e1"].post("/v1/completions", BODY)
    assert await two["e1"].figure("gen_ai_server_request_duration_seconds_count") == 0
    assert await two["e2"].figure("gen_ai_server_request_duration_seconds_count") == 1


async def test_connections_to_a_pod_are_kept_and_those_to_a_service_are_not(two: Fleet) -> None:
    pool = two["e1"].sidecar._services.pool
    peer = pool.pick("e2", "")
    assert peer is not None
    for _ in range(3):
        await two["e1"].post("/v1/completions", BODY)
    assert (len(peer.client._idle), peer.inflight) == (1, 0)
    assert peer.client._idle[0]._transport is not None
    kept = peer.client._idle[0]._transport.get_extra_info("socket")
    assert kept.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 10_000  # a machine that is gone does not hang up
    assert kept.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    two.publish("r2")
    await two["e1"].until(lambda status: status["generation"] == 2)
    assert pool.pick("e2", "") is None
    assert text_of(await two["e1"].post("/v1/completions", BODY)) == "e2"
    assert all(not service.client._idle for service in pool._services.values())


async def test_a_hop_asks_for_exactly_one_revision(two: Fleet) -> None:
    there = await two["e2"].post("/v1/completions", BODY, *HOP, "x-llm-revision: r2", "x-llm-generation: 1")
    assert text_of(there) == "e2"
    for asked in ["r1", "r9", ""]:
        answer = await two["e2"].post("/v1/completions", BODY, *HOP, f"x-llm-revision: {asked}")
        assert (answer.status, answer.error["type"]) == (421, "revision_not_here")
        assert answer.headers["x-llm-unserved"] == "revision_not_here"
    on_the_way = await two["e1"].post("/v1/completions", BODY, *HOP, "x-llm-revision: r2")
    assert on_the_way.status == 421  # never handed on a second time
    assert len(two["e2"].engine.requests) == 1


@pytest.mark.parametrize("marks", [["x-llm-hop: 1"], ["x-llm-hop: 1", "x-llm-pod-token: wrong"], [f"x-llm-pod-token: {TOKEN}"]])
async def test_hop_headers_from_outside_mean_nothing(two: Fleet, marks: list[str]) -> None:
    answer = await two["e2"].post("/v1/completions", BODY, *marks, "x-llm-revision: r9", "x-llm-generation: 7")
    assert (answer.status, answer.headers["x-llm-revision"], text_of(answer)) == (200, "r2", "e2")
    over = await two["e1"].post("/v1/completions", BODY, *marks, "x-llm-revision: r9")
    assert (over.status, over.headers["x-llm-revision"]) == (200, "r2")


async def test_a_client_that_leaves_cancels_its_request_at_the_other_engine(two: Fleet) -> None:
    two["e2"].engine.script = streams(*text_events(*["a"] * 500), pause_s=0.02)
    async with connect(two["e1"].port) as client:
        client.send(post("/v1/completions", STREAM))
        await client.answer(until=b"data:")
        assert (await two["e1"].status())["inflight"] == 1
    await asyncio.wait_for(two["e2"].engine.aborted.wait(), 5)
    for pod in two.pods.values():
        await pod.until(lambda status: status["inflight"] == 0)


async def test_a_client_that_leaves_before_the_answer_cancels_it_too(two: Fleet) -> None:
    async def script(_request: Request, _writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    two["e2"].engine.script = script
    async with connect(two["e1"].port) as client:
        client.send(post("/v1/completions", BODY))
        await eventually(lambda: two["e2"].engine.requests, "the request")
    await asyncio.wait_for(two["e2"].engine.aborted.wait(), 5)


async def test_a_stream_the_other_pod_cuts_ends_with_an_error_event(two: Fleet) -> None:
    for body, end in [({**STREAM}, b"\n\ndata: [DONE]\n\n"), ({**STREAM, "classic": 1}, b"\n")]:
        two["e2"].engine.script = streams(*text_events(*["a"] * 500), pause_s=0.02)
        async with connect(two["e1"].port) as client:
            client.send(post("/generate" if "classic" in body else "/v1/completions", body))
            await client.answer(until=b"a")
            for connection in tuple(two["e2"].sidecar._servers[0].server_state.connections):
                connection.transport.abort()
            rest = await client.answer()
        assert rest.complete
        assert b'"code":"engine_broken"' in rest.body
        assert rest.body.endswith(end)
    assert await two["e1"].figure("llm_sidecar_stream_errors_total") == 2


async def test_a_request_on_its_hop_ends_at_the_total_time(two: Fleet) -> None:
    two.publish("r2", bundles={"r2": Bundle(limits=Limits(total_timeout_ms=300))}, peers=["e2"])
    for pod in two.pods.values():
        await pod.until(lambda status: status["generation"] == 2)
    two["e2"].engine.script = streams(*text_events(*["a"] * 500), pause_s=0.02)
    answer = await two["e1"].post("/v1/completions", STREAM)
    assert b'"code":"total_timeout"' in answer.body
    assert answer.body.endswith(b"data: [DONE]\n\n")
    await asyncio.wait_for(two["e2"].engine.aborted.wait(), 5)


async def test_a_drain_waits_for_streams_that_are_served_elsewhere(two: Fleet) -> None:
    two["e2"].engine.script = streams(*text_events(*["a"] * 40), pause_s=0.02)
    async with connect(two["e1"].port) as client:
        client.send(post("/v1/completions", STREAM))
        await client.answer(until=b"data:")
        draining = asyncio.create_task(ask(two["e1"].admin, post("/drain", b"", f"x-llm-pod-token: {TOKEN}")))
        await two["e1"].until(lambda status: status["draining"])
        rest = await client.answer()
        assert rest.body.endswith(b"data: [DONE]\n\n")
        assert b"error" not in rest.body
    assert (await draining).status == 200


async def test_what_comes_to_a_pod_that_has_closed_its_door_is_handed_to_another(fleet: Fleet) -> None:
    await fleet.start("e2", "e2-b")
    fleet.publish("r2", peers=["e2", "e2-b"])
    for pod in fleet.pods.values():
        await pod.until(lambda status: bool(status["ready"]))
    async with connect(fleet["e2"].port) as kept:
        kept.send(post("/v1/completions", {"prompt": "x"}))
        assert text_of(await kept.answer()) == "e2"
        assert (await ask(fleet["e2"].admin, post("/drain", b"", f"x-llm-pod-token: {TOKEN}"))).status == 200
        kept.send(post("/v1/completions", {"prompt": "x"}))
        answer = await kept.answer()
        assert (answer.status, text_of(answer), answer.headers["connection"]) == (200, "e2-b", "close")
    assert (await fleet["e2"].post("/v1/completions", {"prompt": "x"}, *HOP)).error["code"] == "draining"


async def test_whether_a_pod_takes_requests_is_told_to_pods_only(two: Fleet) -> None:
    token = f"x-llm-pod-token: {TOKEN}"
    ready = await two["e2"].get("/-/hop", token)
    assert (ready.status, ready.body) == (204, b"")
    assert (await two["e1"].get("/-/hop", token)).status == 503  # the table has nothing for its engine
    for headers in ([], ["x-llm-pod-token: wrong"]):
        assert (await two["e2"].get("/-/hop", *headers)).status == 404
    assert (await ask(two["e2"].port, post("/-/hop", b"", token))).status == 404
    two["e2"].sidecar.leave()
    async with connect(two["e2"].port) as client:
        client.send(get("/-/hop", token))
        assert (await client.answer()).status == 503


async def test_stages_are_run_where_the_request_is_served_and_what_they_say_comes_back(two: Fleet) -> None:
    stages = Pipeline(request=(BlocklistStage(terms=("secret",), on_fail="Open"), BlocklistStage(terms=("forbidden",))))
    two.publish("r2", bundles={"r2": Bundle(pipeline=stages)}, peers=["e2"])
    await two["e2"].until(lambda status: status["generation"] == 2)
    passed = await two["e1"].post("/v1/completions", {"prompt": "a secret"})
    assert (passed.status, passed.headers["x-llm-degraded"]) == (200, "blocklist=blocked")
    refused = await two["e1"].post("/v1/completions", {"prompt": "forbidden"})
    assert (refused.status, refused.error["stage"], refused.error["param"]) == (400, "blocklist", "prompt")
    assert await two["e1"].figure("llm_sidecar_stage_duration_seconds_count") == 0
