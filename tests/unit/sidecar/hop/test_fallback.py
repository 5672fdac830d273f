"""When the assigned engine does not begin a request, another one that is live does, and says so. Engines are scripted."""

import asyncio

import pytest

from llm_sidecar.bundle import Bundle, Limits
from tests.unit.sidecar.support.engine import Engine, Request, Script, answers, completion, http
from tests.unit.sidecar.support.fleet import Fleet, text_of
from tests.unit.sidecar.support.pod import Pod, route

BODY = {"prompt": "x"}
NO_HOLD = Bundle(limits=Limits(hold_requests=0))
# All units are the challenger's: what stable serves has fallen back to it.
CHALLENGER = route("r2", "e2", 10_000, slot=0)


@pytest.fixture
async def canary(fleet: Fleet) -> Fleet:
    await fleet.start("e1", "e2")
    fleet.publish("r1", CHALLENGER, peers=["e1", "e2"], bundles={"r1": NO_HOLD})
    await fleet.until_ready()
    assert text_of(await fleet["e1"].post("/v1/completions", BODY)) == "e2"
    return fleet


async def served_by_stable(pod: Pod, reason: str, times: int = 1) -> None:
    answer = await pod.post("/v1/completions", BODY)
    assert (answer.status, text_of(answer), answer.headers["x-llm-revision"]) == (200, "e1", "r1")
    text = (await pod.admin_get("/metrics")).body.decode()
    assert f'llm_sidecar_unserved_total{{llm_revision="r2",reason="{reason}"}}' in text
    assert f'llm_sidecar_fallbacks_total{{llm_revision="r2",served_by="r1"}} {times}.0' in text


async def test_a_pod_that_is_gone(canary: Fleet) -> None:
    canary["e2"].sidecar.leave()
    for server in canary["e2"].sidecar._servers:
        server.leave()
    await asyncio.sleep(0.1)
    await served_by_stable(canary["e1"], "engine_unavailable")


async def test_a_pod_that_is_leaving(canary: Fleet) -> None:
    canary["e2"].sidecar._services.drain.phase = type(canary["e2"].sidecar._services.drain.phase).CLOSED
    await served_by_stable(canary["e1"], "draining")


async def test_a_pod_that_does_not_have_the_revision_yet(canary: Fleet) -> None:
    canary.publish("r1", route("r22", "e2", 10_000, slot=0), peers=["e1", "e2"], to=["e1"])
    await canary["e1"].until(lambda status: status["generation"] == 2)
    answer = await canary["e1"].post("/v1/completions", BODY)
    assert (text_of(answer), answer.headers["x-llm-revision"]) == ("e1", "r1")
    assert await canary["e1"].figure('llm_sidecar_unserved_total{llm_revision="r22",reason="revision_not_here"}') == 2  # pod and Service


async def test_a_pod_whose_engine_is_gone(canary: Fleet) -> None:
    await canary["e2"].engine.stop()
    await served_by_stable(canary["e1"], "engine_unavailable")


async def test_an_engine_that_is_shutting_down(canary: Fleet) -> None:
    canary["e2"].engine.script = answers(http(b'{"error":{"message":"cannot schedule new futures after shutdown"}}', "500 x"))
    await served_by_stable(canary["e1"], "engine_stopping")


async def dies(_request: Request, writer: asyncio.StreamWriter) -> None:
    """Drop the connection before one byte of an answer."""
    writer.transport.abort()


async def test_an_engine_that_dies_with_the_request(canary: Fleet) -> None:
    canary["e2"].engine.script = dies
    await served_by_stable(canary["e1"], "engine_lost")


async def test_an_engine_that_gives_the_request_up(canary: Fleet) -> None:
    canary["e2"].engine.script = answers(http(completion().replace(b'"finish_reason": "length"', b'"finish_reason":"abort"')))
    await served_by_stable(canary["e1"], "engine_aborted")


def _dies_for_good(engine: Engine) -> Script:
    async def script(request: Request, writer: asyncio.StreamWriter) -> None:
        assert engine._server is not None
        engine._server.close()
        await dies(request, writer)

    return script


async def test_a_request_that_may_have_run_is_asked_for_once_more_and_never_a_third_time(canary: Fleet) -> None:
    for pod in canary.pods.values():
        pod.engine.requests.clear()
        pod.engine.script = _dies_for_good(pod.engine)
    answer = await canary["e1"].post("/v1/completions", BODY)
    assert (answer.status, answer.error["code"]) == (502, "engine_lost")
    assert sum(len(pod.engine.requests) for pod in canary.pods.values()) == 2


@pytest.mark.parametrize(
    ("script", "status"),
    [
        (answers(http(b"{}", "400 Bad Request")), 400),
        (answers(http(b"boom", "500 Internal Server Error")), 500),
        (answers(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"), 502),
    ],
)
async def test_an_answer_that_began_is_the_answer(canary: Fleet, script: Script, status: int) -> None:
    canary["e2"].engine.script = script
    if status == 502:
        canary["e2"].engine.script = _then_gone(script)
    answer = await canary["e1"].post("/v1/completions", BODY)
    assert (answer.status, answer.headers["x-llm-revision"]) == (status, "r2")
    assert await canary["e1"].figure("llm_sidecar_fallbacks_total") == 0


def _then_gone(script: Script) -> Script:
    async def both(request: Request, writer: asyncio.StreamWriter) -> None:
        await script(request, writer)
        writer.close()

    return both


async def test_an_engine_that_has_enough_to_do_is_not_fled(canary: Fleet) -> None:
    full = Bundle(limits=Limits(max_concurrency=1, queue=0))
    canary.publish("r1", CHALLENGER, peers=["e2"], bundles={"r2": full})
    await canary.until_ready()
    go = asyncio.Event()

    async def script(_request: Request, writer: asyncio.StreamWriter) -> None:
        await go.wait()
        writer.write(http(completion()))

    canary["e2"].engine.script = script
    first = asyncio.create_task(canary["e1"].post("/v1/completions", BODY))
    await canary["e2"].until(lambda status: status["inflight"] == 1)
    answer = await canary["e1"].post("/v1/completions", BODY)
    assert (answer.status, answer.error["code"], answer.headers["x-llm-revision"]) == (429, "queue_full", "r2")
    assert "x-llm-unserved" not in answer.headers
    go.set()
    assert (await first).status == 200


async def test_a_pod_whose_own_engine_is_gone_hands_over_to_a_peer_of_the_same_revision(fleet: Fleet) -> None:
    await fleet.start("e1", "e1-b")
    fleet.publish("r1", peers=["e1", "e1-b"])
    await fleet.until_ready()
    await fleet["e1"].engine.stop()
    for _ in range(5):
        answer = await fleet["e1"].post("/v1/completions", BODY)
        assert (text_of(answer), answer.headers["x-llm-revision"]) == ("e1-b", "r1")
    assert await fleet["e1"].figure("llm_sidecar_fallbacks_total") == 0
    assert (await fleet["e1"].get("/v1/models")).status == 200


async def test_a_dead_address_costs_one_attempt_and_then_the_service_is_used(fleet: Fleet) -> None:
    await fleet.start("e1", "e2", "e2-b")
    fleet.publish("r2", peers=["e2-b"])
    await fleet["e1"].until(lambda status: status["generation"] == 1)
    await fleet.until_ready("e2", "e2-b")
    assert text_of(await fleet["e1"].post("/v1/completions", BODY)) == "e2-b"
    for server in fleet["e2-b"].sidecar._servers:
        server.leave()
    fleet["e2-b"].sidecar.leave()
    await asyncio.sleep(0.1)
    for _ in range(3):
        assert text_of(await fleet["e1"].post("/v1/completions", BODY)) == "e2"
    assert await fleet["e1"].figure("llm_sidecar_unserved_total") == 1  # the address was left alone after that


async def test_nobody_at_all_is_503_where_nothing_is_held(canary: Fleet) -> None:
    for pod in canary.pods.values():
        await pod.engine.stop()
    answer = await canary["e1"].post("/v1/completions", BODY)
    assert (answer.status, answer.error["code"], answer.headers["retry-after"]) == (503, "engine_unavailable", "1")
    assert answer.headers["x-llm-revision"] in {"r1", "r2"}
    assert await canary["e1"].figure("gen_ai_server_request_duration_seconds_count") == 1
