"""With ``auth.apiKeys: Required`` nobody gets to the engine without a key, and nobody further than its limits."""

import asyncio
import json
import logging
import time
from pathlib import Path
from typing import Any

import pytest

from llm_sidecar.bundle import Auth, Bundle, Limits
from llm_sidecar.table import WHOLE
from tests.unit.sidecar.conftest import MakePod
from tests.unit.sidecar.support.client import Answer, ask, get, post
from tests.unit.sidecar.support.engine import Engine, Request, answers, http, streams, text_events
from tests.unit.sidecar.support.eventually import eventually
from tests.unit.sidecar.support.fleet import HOP, Fleet, text_of
from tests.unit.sidecar.support.keys import SecretDir, bearer, entry
from tests.unit.sidecar.support.pod import Pod, route

ASK = {"prompt": "x"}
COMPLETIONS = "/v1/completions"
REQUIRED = Auth(api_keys="Required")
LOCKED = Bundle(auth=REQUIRED)


@pytest.fixture
def secret(tmp_path: Path) -> SecretDir:
    return SecretDir(tmp_path / "secrets")


@pytest.fixture
async def locked(make_pod: MakePod, secret: SecretDir) -> Pod:
    """Return a sidecar that asks for keys, and knows two."""
    secret.keys(entry("team-a", "key-a"), entry("team-b", "key-b"))
    return await with_keys(await make_pod(LOCKED, LLM_SECRETS_DIR=str(secret.path)))


async def with_keys(pod: Pod) -> Pod:
    for _ in range(1000):
        if await pod.figure("llm_sidecar_keys_usable"):
            return pod
        await asyncio.sleep(0.02)
    raise AssertionError("the keys were never read")


def told(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.error["code"]


def asked(engine: Engine) -> list[str]:
    return [request.target for request in engine.requests]


async def test_a_key_opens_and_its_absence_or_another_text_does_not(locked: Pod) -> None:
    assert (await locked.post(COMPLETIONS, ASK, bearer("key-a"))).status == 200
    for headers, code, challenge in (
        ((), "api_key_missing", "Bearer"),
        (("authorization: Basic a2V5LWE=",), "api_key_missing", "Bearer"),
        ((bearer("key-c"),), "api_key_invalid", 'Bearer error="invalid_token"'),
        ((bearer("key-c"), "x-api-key: key-a"), "api_key_invalid", 'Bearer error="invalid_token"'),
    ):
        answer = await locked.post(COMPLETIONS, ASK, *headers)
        assert told(answer) == (401, code)
        assert (answer.error["type"], answer.error["stage"]) == ("authentication_error", "auth")
        assert answer.headers["www-authenticate"] == challenge
    assert len(locked.engine.requests) == 1


async def test_every_route_to_the_engine_is_behind_it_and_health_is_not(locked: Pod) -> None:
    for raw in (
        *(post(path, ASK) for path in ("/v1/chat/completions", COMPLETIONS, "/generate")),
        get("/v1/models"),
        post(COMPLETIONS, b"not JSON", "content-type: text/plain", "content-encoding: gzip"),
    ):
        assert told(await ask(locked.port, raw)) == (401, "api_key_missing")
    assert not locked.engine.requests
    assert (await locked.get("/health")).status == 200
    assert (await ask(locked.port, get("/v1/models", bearer("key-b")))).status == 200


async def test_a_request_from_outside_cannot_claim_a_key_or_a_hop(locked: Pod) -> None:
    claims = ("x-llm-key: team-a", "x-llm-hop: 1", "x-llm-revision: r1", "x-llm-pod-token: guessed")
    assert told(await locked.post(COMPLETIONS, ASK, *claims)) == (401, "api_key_missing")


async def test_neither_the_engine_nor_the_log_nor_the_metrics_see_a_key(locked: Pod, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    await locked.post(COMPLETIONS, ASK, bearer("key-a"))
    await locked.post(COMPLETIONS, ASK, bearer("wrong-key"))
    (request,) = locked.engine.requests
    assert "authorization" not in request.headers
    metrics = (await locked.admin_get("/metrics")).body.decode()
    for text in (caplog.text, metrics, str(request)):
        assert "key-a" not in text
        assert "wrong-key" not in text
    assert 'llm_sidecar_key_requests_total{llm_key="team-a"} 1.0' in metrics
    assert 'llm_sidecar_key_tokens_total{gen_ai_token_type="input",llm_key="team-a"} 7.0' in metrics
    assert 'llm_sidecar_key_tokens_total{gen_ai_token_type="output",llm_key="team-a"} 5.0' in metrics
    assert 'llm_sidecar_unauthenticated_total{reason="api_key_invalid"} 1.0' in metrics


async def test_a_key_is_revoked_while_the_sidecar_runs(locked: Pod, secret: SecretDir) -> None:
    secret.keys(entry("team-b", "key-b"))
    for _ in range(500):
        answer = await locked.post(COMPLETIONS, ASK, bearer("key-a"))
        if answer.status != 200:
            break
        await asyncio.sleep(0.02)
    assert told(answer) == (401, "api_key_invalid")
    assert (await locked.post(COMPLETIONS, ASK, bearer("key-b"))).status == 200
    assert "team-a" not in (await locked.admin_get("/metrics")).body.decode()


async def test_without_usable_keys_everybody_is_refused(make_pod: MakePod, secret: SecretDir) -> None:
    secret.text('{"keys": [{}]}')
    pod = await make_pod(LOCKED, LLM_SECRETS_DIR=str(secret.path))
    answer = await pod.post(COMPLETIONS, ASK, bearer("key-a"))
    assert told(answer) == (503, "keys_unavailable")
    assert answer.headers["retry-after"]
    assert not pod.engine.requests


async def test_without_auth_nobody_is_asked(pod: Pod) -> None:
    assert (await pod.post(COMPLETIONS, ASK, bearer("whatever"))).status == 200
    assert "authorization" not in pod.engine.requests[0].headers


async def test_requests_tokens_and_concurrency_of_a_key_end_with_429(make_pod: MakePod, secret: SecretDir) -> None:
    secret.keys(entry("r", "key-r", requestsPerMinute=2), entry("t", "key-t", tokensPerMinute=20), entry("c", "key-c", concurrency=1))
    pod = await with_keys(await make_pod(LOCKED, LLM_SECRETS_DIR=str(secret.path)))
    for key, served, limit in (("key-r", 2, "requestsPerMinute"), ("key-t", 2, "tokensPerMinute")):  # 12 tokens each
        for _ in range(served):
            assert (await pod.post(COMPLETIONS, ASK, bearer(key))).status == 200
        answer = await pod.post(COMPLETIONS, ASK, bearer(key))
        assert told(answer) == (429, "key_limit_exceeded")
        assert (answer.error["param"], answer.error["type"]) == (limit, "rate_limit_error")
        assert 1 <= int(answer.headers["retry-after"]) <= 61
    pod.engine.script = streams(*text_events(*["a"] * 20), pause_s=0.02)
    both = await asyncio.gather(*(pod.post(COMPLETIONS, {**ASK, "stream": True}, bearer("key-c")) for _ in range(2)))
    assert sorted(answer.status for answer in both) == [200, 429]
    assert next(answer for answer in both if answer.status == 429).error["param"] == "concurrency"
    assert (await pod.post(COMPLETIONS, {**ASK, "stream": True}, bearer("key-c"))).status == 200, "its place is free again"
    assert await pod.figure("llm_sidecar_key_limited_total") == 3


async def test_a_stream_costs_its_tokens_and_so_does_one_that_is_cut_short(make_pod: MakePod, secret: SecretDir) -> None:
    secret.keys(entry("t", "key-t", tokensPerMinute=10))
    pod = await with_keys(await make_pod(LOCKED, LLM_SECRETS_DIR=str(secret.path)))
    pod.engine.script = streams(*text_events("a", "b")[:2])  # no end mark
    assert (await pod.post(COMPLETIONS, {**ASK, "stream": True}, bearer("key-t"))).status == 200
    assert told(await pod.post(COMPLETIONS, ASK, bearer("key-t"))) == (429, "key_limit_exceeded")


async def test_a_request_the_engine_refuses_costs_a_request_and_one_no_engine_begins_costs_nothing(
    make_pod: MakePod, secret: SecretDir
) -> None:
    secret.keys(entry("a", "key-a", requestsPerMinute=1, concurrency=1))
    pod = await with_keys(await make_pod(Bundle(auth=REQUIRED, limits=Limits(hold_requests=0)), LLM_SECRETS_DIR=str(secret.path)))
    await pod.engine.stop()
    for _ in range(3):
        assert told(await pod.post(COMPLETIONS, ASK, bearer("key-a"))) == (503, "engine_unavailable")
    await pod.engine.start()
    pod.engine.script = answers(http(b'{"error":{"message":"no","param":null}}', "400 Bad Request"))
    assert told(await pod.post(COMPLETIONS, ASK, bearer("key-a"))) == (400, "engine_refused")
    assert told(await pod.post(COMPLETIONS, ASK, bearer("key-a"))) == (429, "key_limit_exceeded")


async def fleet_with(fleet: Fleet, secret: SecretDir, *names: str, bundles: dict[str, Bundle], **publish: Any) -> None:
    await fleet.start(*names, LLM_SECRETS_DIR=str(secret.path))
    fleet.publish("r1", *publish.pop("others", ()), bundles=bundles, **publish)
    await fleet.until_ready(*(name for name in names if name != "entry"))
    for name in names:
        await fleet[name].until(lambda status: status["generation"] == 1)
        await with_keys(fleet[name])


async def test_a_request_that_is_handed_on_is_asked_once_and_counted_where_it_is_served(fleet: Fleet, secret: SecretDir) -> None:
    secret.keys(entry("a", "key-a", requestsPerMinute=2))
    await fleet_with(fleet, secret, "e1", "e2", bundles={"r1": LOCKED, "r2": LOCKED}, others=[route("r2", "e2", weight=WHOLE, slot=0)])
    assert told(await fleet["e1"].post(COMPLETIONS, ASK)) == (401, "api_key_missing")
    for _ in range(2):
        assert text_of(await fleet["e1"].post(COMPLETIONS, ASK, bearer("key-a"))) == "e2"
    answer = await fleet["e1"].post(COMPLETIONS, ASK, bearer("key-a"))
    assert told(answer) == (429, "key_limit_exceeded")
    assert await fleet["e1"].figure("llm_sidecar_key_requests_total") == 0
    assert await fleet["e2"].figure("llm_sidecar_key_requests_total") == 2
    assert asked(fleet["e2"].engine) == [COMPLETIONS] * 2


async def test_one_revision_that_asks_for_keys_is_enough_for_all_to_ask(fleet: Fleet, secret: SecretDir) -> None:
    secret.keys(entry("a", "key-a"))
    await fleet_with(fleet, secret, "e1", "e2", "entry", bundles={"r2": LOCKED}, others=[route("r2", "e2", weight=0, slot=0)])
    for name in ("e1", "e2", "entry"):
        assert told(await fleet[name].post(COMPLETIONS, ASK)) == (401, "api_key_missing")
        assert text_of(await fleet[name].post(COMPLETIONS, ASK, bearer("key-a"))) == "e1"


async def test_a_hop_with_the_pods_token_is_not_asked_again(locked: Pod) -> None:
    assert (await locked.post(COMPLETIONS, ASK, *HOP, "x-llm-revision: r1")).status == 200


async def test_each_of_several_sidecars_gives_out_its_part(fleet: Fleet, secret: SecretDir) -> None:
    secret.keys(entry("a", "key-a", requestsPerMinute=7))
    names = ("e1", "e1-b", "e1-c")
    await fleet.start(*names, LLM_SECRETS_DIR=str(secret.path))
    fleet.publish("r1", bundles={"r1": LOCKED}, peers=names)
    await fleet.until_ready()
    for name in names:
        await with_keys(fleet[name])
    statuses = [(await fleet[name].post(COMPLETIONS, ASK, bearer("key-a"))).status for name in names for _ in range(5)]
    assert statuses == [200, 200, 429, 429, 429] * 3, "a third of seven each, without the rest"


async def test_a_place_is_free_again_when_the_client_has_gone(make_pod: MakePod, secret: SecretDir) -> None:
    async def hang(_request: Request, _writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    secret.keys(entry("c", "key-c", concurrency=1))
    pod = await with_keys(await make_pod(LOCKED, LLM_SECRETS_DIR=str(secret.path)))
    script, pod.engine.script = pod.engine.script, hang
    _, writer = await asyncio.open_connection("127.0.0.1", pod.port)
    writer.write(post(COMPLETIONS, ASK, bearer("key-c")))
    await eventually(lambda: pod.engine.requests, "the engine has the request")
    assert told(await pod.post(COMPLETIONS, ASK, bearer("key-c"))) == (429, "key_limit_exceeded")
    writer.close()
    pod.engine.script = script
    await pod.until(lambda status: status["inflight"] == 0)
    assert (await pod.post(COMPLETIONS, ASK, bearer("key-c"))).status == 200


@pytest.fixture
async def two_revisions(fleet: Fleet, secret: SecretDir) -> Fleet:
    """Return pods of a stable revision and of one that gets nothing, and of no engine."""
    secret.keys(entry("a", "key-a"), entry("p", "key-p", "preview", "one-of-tomorrow"))
    waiting = [route("r2", "e2", weight=0, slot=0)]
    await fleet_with(fleet, secret, "e1", "e2", "entry", bundles={"r1": LOCKED, "r2": LOCKED}, others=waiting)
    return fleet


async def test_a_key_that_permits_it_says_which_revision_serves_and_no_other_does(two_revisions: Fleet) -> None:
    wish = "x-llm-preview: r2"
    for name in ("e1", "e2", "entry"):
        answer = await two_revisions[name].post(COMPLETIONS, ASK, bearer("key-p"), wish)
        assert (text_of(answer), answer.headers["x-llm-revision"]) == ("e2", "r2")
        assert text_of(await two_revisions[name].post(COMPLETIONS, ASK, bearer("key-a"), wish)) == "e1"
        assert told(await two_revisions[name].post(COMPLETIONS, ASK, wish)) == (401, "api_key_missing")
    stats = json.loads((await two_revisions["e2"].admin_get("/-/stats")).body)
    assert stats["revisions"] == {}, "who chooses a revision is no sample of those it is assigned to"


async def test_a_preview_falls_back_to_nothing(two_revisions: Fleet) -> None:
    answer = await two_revisions["e1"].post(COMPLETIONS, ASK, bearer("key-p"), "x-llm-preview: r9")
    assert told(answer) == (404, "revision_not_live")
    assert "r1, r2" in answer.error["message"]
    await two_revisions["e2"].engine.stop()
    deadline = f"x-request-deadline: {time.time() + 1:.3f}"
    answer = await two_revisions["e1"].post(COMPLETIONS, ASK, bearer("key-p"), "x-llm-preview: r2", deadline)
    assert answer.status in {503, 504}
    assert not asked(two_revisions["e1"].engine)


async def test_without_keys_a_preview_means_nothing(fleet: Fleet) -> None:
    await fleet.start("e1", "e2")
    fleet.publish("r1", route("r2", "e2", weight=0, slot=0))
    await fleet.until_ready()
    assert text_of(await fleet["e1"].post(COMPLETIONS, ASK, "x-llm-preview: r2")) == "e1"
