"""The admin port: probes, status, figures, drain."""

import asyncio

import pytest

from llm_sidecar.bundle import SCHEMA_VERSION, Bundle, Prompt
from llm_sidecar.http import engine_metrics
from tests.unit.sidecar.conftest import MakePod
from tests.unit.sidecar.support.client import ask, connect, get, post
from tests.unit.sidecar.support.engine import Engine, http, streams, text_events
from tests.unit.sidecar.support.pod import TOKEN, Pod

DRAIN = post("/drain", b"", f"x-llm-pod-token: {TOKEN}")


async def test_a_ready_pod_says_so(pod: Pod) -> None:
    for path, text in [("/livez", b"ok\n"), ("/startupz", b"ok\n"), ("/readyz", b"Ready\n")]:
        answer = await pod.admin_get(path)
        assert (answer.status, answer.body) == (200, text)


async def test_status_is_what_the_operator_reads(pod: Pod) -> None:
    assert await pod.status() == {
        "schemaVersion": 1,
        "deployment": "chat",
        "engine": "e1",
        "revision": "r1",
        "reaches": [],
        "revisions": ["r1"],
        "generation": 1,
        "ready": True,
        "reason": "Ready",
        "draining": False,
        "inflight": 0,
        "held": 0,
        "running": 0,
        "slots": 256,
        "queued": 0,
        "error": "",
        "errorGeneration": None,
        "bundleSchema": SCHEMA_VERSION,
    }


async def test_without_a_snapshot_the_pod_lives_and_is_not_ready(make_pod: MakePod) -> None:
    pod = await make_pod(None)
    assert (await pod.admin_get("/livez")).status == 200
    ready = await pod.admin_get("/readyz")
    assert (ready.status, ready.body.partition(b":")[0]) == (503, b"NoSnapshot")
    answer = await pod.post("/v1/completions", {"prompt": "x"})
    assert (answer.status, answer.error["code"], answer.headers["x-llm-revision"]) == (503, "no_revision", "none")


async def test_readiness_needs_one_real_token(make_pod: MakePod, engine: Engine) -> None:
    engine.probe_answer = http(b'{"error":{"message":"out of memory"}}', "500 Internal Server Error")
    pod = await make_pod(ready=False)
    status = await pod.until(lambda status: status["reason"] == "EngineProbeFailed")
    assert not status["ready"]
    assert "out of memory" in status["error"]
    engine.probe_answer = http(b"{}")
    await pod.until(lambda status: status["ready"])


async def test_an_engine_that_does_not_listen_yet_is_starting(make_pod: MakePod, engine: Engine) -> None:
    await engine.stop()
    pod = await make_pod(ready=False)
    status = await pod.until(lambda status: status["reason"] == "EngineStarting")
    assert not status["ready"]
    await engine.start()
    await pod.until(lambda status: status["ready"])


async def test_a_dead_engine_makes_the_pod_unready(pod: Pod) -> None:
    pod.engine.health_status = "503 Service Unavailable"
    pod.engine.probe_answer = http(b"dead", "500 Internal Server Error")
    status = await pod.until(lambda status: not status["ready"])
    assert status["reason"] in {"EngineDead", "EngineProbeFailed"}
    assert (await pod.admin_get("/livez")).status == 200


async def test_a_broken_bundle_is_reported_and_never_served(pod: Pod) -> None:
    pod.snapshot.write(2, "r2", Bundle(prompt=Prompt(template="{{ prompt")))
    status = await pod.until(lambda status: bool(status["error"]))
    assert (status["revision"], status["generation"], status["errorGeneration"]) == ("r1", 1, 2)
    assert "prompt.template" in status["error"]
    assert status["ready"]
    assert await pod.figure("llm_sidecar_config_reload_success") == 0
    assert (await pod.post("/v1/completions", {"prompt": "x"})).headers["x-llm-revision"] == "r1"
    pod.snapshot.write(3, "r3", Bundle())
    status = await pod.until(lambda status: status["generation"] == 3)
    assert (status["revision"], status["error"], status["errorGeneration"]) == ("r3", "", None)
    assert await pod.figure("llm_sidecar_config_reload_success") == 1


async def test_figures_of_the_engine_follow_those_of_the_sidecar(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = await pod.admin_get("/metrics")
    assert answer.body.endswith(b"\nengine_up 1\n")
    assert 'llm_sidecar_config_info{deployment="chat",engine="e1",generation="1",revision="r1"} 1.0' in answer.body.decode()
    monkeypatch.setattr(engine_metrics, "_MAX_BYTES", 5)
    assert await pod.figure("llm_sidecar_engine_scrape_success") == 0
    assert await pod.figure("llm_sidecar_inflight") == 0


async def test_unknown_admin_paths_and_methods_are_refused(pod: Pod) -> None:
    assert (await pod.admin_get("/nowhere")).status == 404
    assert (await pod.admin_get("/v1/models")).status == 404
    assert (await ask(pod.admin, post("/status", b""))).status == 405


@pytest.mark.parametrize("headers", [[], ["x-llm-pod-token: wrong"], ["x-llm-pod-token:"], [f"authorization: {TOKEN}"]])
async def test_drain_needs_the_token(pod: Pod, headers: list[str]) -> None:
    assert (await pod.admin_get("/drain", *headers)).status == 403
    assert (await pod.status())["draining"] is False


async def test_drain_blocks_until_the_last_stream_has_ended(make_pod: MakePod) -> None:
    pod = await make_pod(LLM_DRAIN_MINIMUM_S="0.3")
    pod.engine.script = streams(*text_events(*["a"] * 60), pause_s=0.02)
    async with connect(pod.port) as streaming, connect(pod.port) as other:
        streaming.send(post("/v1/completions", {"prompt": "x", "stream": True}))
        await streaming.answer(until=b"data:")
        draining = [asyncio.create_task(ask(pod.admin, raw)) for raw in (DRAIN, get("/drain", f"x-llm-pod-token: {TOKEN}"))]
        await pod.until(lambda status: status["draining"])
        assert (await pod.admin_get("/readyz")).body == b"Draining\n"
        other.send(get("/v1/models"))
        accepted = await other.answer()
        assert (accepted.status, accepted.headers["connection"]) == (200, "close")
        await asyncio.sleep(0.5)
        refused = await pod.post("/v1/completions", {"prompt": "x"})
        assert (refused.status, refused.error["code"], refused.headers["retry-after"]) == (503, "draining", "1")
        assert not any(task.done() for task in draining)
        rest = await streaming.answer()
        assert rest.complete
        assert rest.body.endswith(b"data: [DONE]\n\n")
        assert [answer.status for answer in await asyncio.gather(*draining)] == [200, 200]
    assert (await ask(pod.admin, DRAIN)).status == 200


async def test_drain_ends_when_a_stream_takes_too_long(make_pod: MakePod) -> None:
    pod = await make_pod(LLM_DRAIN_MAX_STREAM_S="0.3")
    pod.engine.script = streams(*text_events(*["a"] * 1000), pause_s=0.02)
    async with connect(pod.port) as streaming:
        streaming.send(post("/v1/completions", {"prompt": "x", "stream": True}))
        await streaming.answer(until=b"data:")
        assert (await ask(pod.admin, DRAIN)).status == 200
        assert (await pod.status())["inflight"] == 1


async def test_a_drain_nobody_waits_for_goes_on(make_pod: MakePod) -> None:
    pod = await make_pod(LLM_DRAIN_MINIMUM_S="0.2")
    async with connect(pod.admin) as client:
        client.send(DRAIN)
        await pod.until(lambda status: status["draining"])
    await asyncio.sleep(0.4)
    assert (await pod.get("/v1/models")).status == 503
