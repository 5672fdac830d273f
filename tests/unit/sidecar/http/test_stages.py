"""Stages in the way of real requests: refused, changed, passed by, in whole answers and streams, on every route."""

import asyncio
import json
from typing import Any

import pytest

from llm_sidecar import bundle, judging, pipeline
from llm_sidecar.bundle import BlocklistStage, Bundle, NormaliseStage, PiiStage, Pipeline, Prompt, SchemaStage, TrimStage
from tests.unit.sidecar.conftest import MakePod
from tests.unit.sidecar.support.client import connect, post
from tests.unit.sidecar.support.engine import answers, completion, http, streams, text_events
from tests.unit.sidecar.support.faulty import FAULTS, REASONS, REFUSALS, Fault, Faulty

MAIL = PiiStage(entities=("email",))
BOTH = Bundle(pipeline=Pipeline(request=(MAIL,), response=(MAIL,)))
SECRET = "jane@example.com"
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def chat(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "chat", "messages": [{"role": "user", "content": text}], **more}


def answered(*contents: str) -> bytes:
    choices = [{"index": index, "message": {"role": "assistant", "content": text}} for index, text in enumerate(contents)]
    return http(json.dumps({"id": "c", "choices": choices, "usage": {"prompt_tokens": 1, "completion_tokens": 1}}).encode())


async def test_bytes_nobody_has_to_change_go_on_as_they_are(make_pod: MakePod) -> None:
    pod = await make_pod(Bundle(pipeline=Pipeline(request=(NormaliseStage(), MAIL), response=(MAIL,))))
    body = b'{ "model":"chat", "prompt" :"hello" }'
    answer = await pod.post("/v1/completions", body)
    assert pod.engine.requests[-1].body == body
    assert answer.body == completion()
    assert "x-llm-degraded" not in answer.headers


async def test_stages_see_the_clients_text_before_the_prompt_is_put_around_it(make_pod: MakePod) -> None:
    pod = await make_pod(Bundle(prompt=Prompt(system="Write to boss@example.com."), pipeline=Pipeline(request=(NormaliseStage(), MAIL))))
    await pod.post("/v1/chat/completions", chat("I am jane\uff20example.com"))
    assert [message["content"] for message in pod.engine.requests[-1].json["messages"]] == ["Write to boss@example.com.", "I am <email>"]


async def test_every_choice_of_a_whole_answer_is_changed(make_pod: MakePod) -> None:
    pod = await make_pod(BOTH)
    pod.engine.script = answers(answered(f"write {SECRET}", "nothing"))
    answer = await pod.post("/v1/chat/completions", chat("hi"))
    assert [choice["message"]["content"] for choice in answer.json["choices"]] == ["write <email>", "nothing"]
    assert await pod.figure("llm_sidecar_stage_verdict_total") >= 2


async def test_the_classic_route_hides_in_new_text_and_echoes_the_clients_own(make_pod: MakePod) -> None:
    pod = await make_pod(BOTH)
    pod.engine.script = answers(http(completion(f" or {SECRET}")))
    answer = await pod.post("/generate", {"prompt": f"To {SECRET}"})
    assert pod.engine.requests[-1].json["prompt"] == "To <email>"
    assert answer.json == {"text": [f"To {SECRET} or <email>"]}
    pod.engine.script = streams(*text_events(" or jane@", "example.com "))
    streamed = await pod.post("/generate", {"prompt": "To", "stream": True})
    assert json.loads(streamed.body.splitlines()[-1]) == {"text": ["To or <email> "]}
    assert b"jane" not in streamed.body


async def test_what_is_blocked_in_a_request_names_stage_and_field_and_never_reaches_the_engine(make_pod: MakePod) -> None:
    pod = await make_pod(Bundle(pipeline=Pipeline(request=(BlocklistStage(terms=("secret project",)),))))
    answer = await pod.post("/v1/chat/completions", chat("the Secret Project"))
    assert answer.status == 400
    assert (answer.error["code"], answer.error["stage"], answer.error["param"]) == ("content_filter", "blocklist", "messages[0].content")
    assert "secret" not in answer.error["message"].lower()
    assert not pod.engine.requests


async def test_what_is_blocked_in_an_answer_is_not_shown(make_pod: MakePod) -> None:
    pod = await make_pod(Bundle(pipeline=Pipeline(response=(BlocklistStage(terms=("hello",)),))))
    answer = await pod.post("/v1/completions", {"prompt": "x"})
    assert (answer.status, answer.error["code"], answer.error["param"]) == (400, "content_filter", "choices[0].text")


async def test_a_blocked_stream_ends_with_reason_and_error_and_the_engine_is_told(make_pod: MakePod) -> None:
    pod = await make_pod(Bundle(pipeline=Pipeline(response=(BlocklistStage(terms=("boom",)),))))
    pod.engine.script = streams(*text_events("fine ", "boom ", *["x "] * 500), pause_s=0.01)
    async with connect(pod.port) as client:
        client.send(post("/v1/completions", {"prompt": "x", "stream": True}))
        answer = await client.answer()
    assert answer.complete
    assert b"boom" not in answer.body
    assert b'"finish_reason":"content_filter"' in answer.body
    assert answer.body.endswith(b'"stage":"blocklist"}}\n\ndata: [DONE]\n\n')
    await asyncio.wait_for(pod.engine.aborted.wait(), 5)


@pytest.mark.parametrize(
    ("path", "body"), [("/v1/chat/completions", chat("hi")), ("/v1/completions", {"prompt": "x"}), ("/generate", {"prompt": "x"})]
)
async def test_the_engine_is_told_the_schema_and_the_answer_is_held_to_it(make_pod: MakePod, path: str, body: dict[str, Any]) -> None:
    pod = await make_pod(Bundle(pipeline=Pipeline(response=(SchemaStage(schema=CITY),))))
    pod.engine.script = answers(answered('{"city": "Bern"}') if "chat" in path else http(completion('{"city": "Bern"}')))
    assert (await pod.post(path, body)).status == 200
    assert pod.engine.requests[-1].json["response_format"]["json_schema"]["schema"] == CITY
    pod.engine.script = answers(answered("{}") if "chat" in path else http(completion("{}")))
    refused = await pod.post(path, body)
    assert (refused.status, refused.error["code"], refused.error["stage"]) == (502, "answer_invalid", "schema")


@pytest.mark.parametrize("broken", [b"no JSON", b"[]", b'{"choices": 5}', b'{"choices": ["x"]}', b'{"object": "error"}'])
async def test_an_answer_that_cannot_be_read_is_not_passed_unchecked(make_pod: MakePod, broken: bytes) -> None:
    pod = await make_pod(BOTH)
    pod.engine.script = answers(http(broken))
    answer = await pod.post("/v1/chat/completions", chat("hi"))
    assert (answer.status, answer.error["code"]) == (502, "engine_broken")


async def test_a_format_of_the_clients_own_is_refused_where_the_deployment_has_one(make_pod: MakePod) -> None:
    pod = await make_pod(Bundle(pipeline=Pipeline(response=(SchemaStage(schema=CITY),))))
    answer = await pod.post("/v1/chat/completions", chat("hi", response_format={"type": "text"}))
    assert (answer.status, answer.error["code"], answer.error["param"]) == (400, "field_not_allowed", "response_format")


async def test_single_tokens_of_hidden_text_cannot_be_asked_for(make_pod: MakePod) -> None:
    pod = await make_pod(BOTH)
    for field in ({"logprobs": True}, {"logprobs": 0}, {"return_token_ids": True}, {"return_prompt_text": True}):
        answer = await pod.post("/v1/chat/completions", chat("hi", **field))
        assert (answer.status, answer.error["stage"]) == (400, "pii")
        assert answer.error["param"] in field
    assert (await pod.post("/v1/chat/completions", chat("hi", logprobs=False))).status == 200


async def test_a_request_that_does_not_fit_its_schema_is_told_where(make_pod: MakePod) -> None:
    pod = await make_pod(Bundle(pipeline=Pipeline(request=(SchemaStage(schema={"properties": {"max_tokens": {"maximum": 5}}}),))))
    answer = await pod.post("/v1/chat/completions", chat("hi", max_tokens=9))
    assert (answer.status, answer.error["code"], answer.error["param"], answer.error["stage"]) == (
        400,
        "request_invalid",
        "max_tokens",
        "schema",
    )


async def test_a_stage_that_is_open_lets_pass_and_says_so(make_pod: MakePod) -> None:
    stage = BlocklistStage(terms=("secret",), on_fail="Open")
    pod = await make_pod(Bundle(pipeline=Pipeline(request=(stage,))))
    answer = await pod.post("/v1/chat/completions", chat("a secret"))
    assert (answer.status, answer.headers["x-llm-degraded"]) == (200, "blocklist=blocked")
    assert await pod.figure("llm_sidecar_stage_bypass_total") == 1


@pytest.mark.parametrize("policy", ["Open", "Closed"])
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_stage_that_fails_does_what_its_policy_says(
    make_pod: MakePod, monkeypatch: pytest.MonkeyPatch, fault: Fault, policy: bundle.Policy
) -> None:
    broken = Faulty(fault)
    monkeypatch.setattr(judging, "INLINE_BYTES", 0)  # in a thread, where what hangs can be left behind
    monkeypatch.setitem(pipeline._TEXT, bundle.TrimStage, lambda _spec, _field: broken)
    pod = await make_pod(Bundle(pipeline=Pipeline(request=(TrimStage(on_error=policy, timeout_ms=100),))))
    broken.is_broken = True
    answer = await pod.post("/v1/chat/completions", chat("hi"))
    broken.let_go.set()
    if policy == "Open":
        assert (answer.status, answer.headers["x-llm-degraded"]) == (200, f"trim={REASONS[fault]}")
        assert pod.engine.requests[-1].json == chat("hi")
    else:
        assert (answer.status, answer.error["code"], answer.error["stage"]) == (*REFUSALS[fault], "trim")
        assert not pod.engine.requests
