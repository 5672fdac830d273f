"""What is said of a request without a server is what a sidecar does with it: the two are held against each other."""

import json
from typing import Any

import pytest

from llm_sidecar.bundle import BlocklistStage, Bundle, Limits, NormaliseStage, PiiStage, Pipeline, Prompt, SchemaStage, TrimStage
from llm_sidecar.compile import compile_bundle
from llm_sidecar.errors import Refusal
from llm_sidecar.offline import Trial
from tests.unit.sidecar.conftest import MakePod
from tests.unit.sidecar.support.engine import Engine, answers, completion, http, streams, text_events

FOX = BlocklistStage(terms=("fox",))
PIPELINE = Pipeline(
    request=(SchemaStage(schema={"properties": {"n": {"maximum": 2}}}), NormaliseStage(), PiiStage(entities=("email",)), FOX, TrimStage()),
    response=(PiiStage(entities=("email",)), BlocklistStage(terms=("hen",))),
)
PROMPT = Prompt(system="Be {{ tone }}.", inputs={"properties": {"tone": {"default": "kind", "maxLength": 9}}})
BUNDLES = {
    "plain": Bundle(limits=Limits(max_body_bytes=2000)),
    "prompt": Bundle(prompt=PROMPT),
    "stages": Bundle(prompt=PROMPT, pipeline=PIPELINE),
}
CHAT, COMPLETION, GENERATE = "/v1/chat/completions", "/v1/completions", "/generate"
REQUESTS: list[tuple[str, Any]] = [
    (COMPLETION, {"model": "chat", "prompt": " write to a@example.com "}),
    (COMPLETION, {"model": "chat", "prompt": {"text": "hi", "variables": {"tone": "\uff42\uff52\uff49\uff45\uff46"}}}),
    (COMPLETION, {"model": "chat", "prompt": "hi", "n": 3}),
    (COMPLETION, {"model": "chat", "prompt": "the fox"}),
    (COMPLETION, {"model": "chat", "prompt": {"text": "hi", "variables": {"tone": "much too long"}}}),
    (COMPLETION, {"model": "chat", "prompt": "x" * 3000}),
    (COMPLETION, b'{"model":'),
    (COMPLETION, {"model": "chat", "prompt": "hi", "logprobs": 1}),
    (CHAT, {"model": "chat", "messages": [{"role": "user", "content": "mail a@example.com"}], "kv_transfer_params": {}}),
    (GENERATE, {"prompt": " write to a@example.com ", "max_tokens": 3}),
    (GENERATE, {"max_tokens": 3}),
]
ANSWERS = {
    "text": http(completion("mail b@example.com")),
    "blocked": http(completion("a hen")),
    "broken": http(b"[]"),
    "too long": http(b'{"error": {"message": "maximum context length is 8", "type": "x", "code": 400}}', "400 Bad Request"),
    "aborted": http(b'{"choices":[{"index":0,"text":"","finish_reason":"abort"}]}'),
}


async def tried(bundle: Bundle, path: str, body: bytes, status: int, answer: bytes) -> tuple[bytes, int, bytes]:
    """Return what the engine gets, and status and body of what the client does."""
    trial = Trial(compile_bundle(bundle), path, "chat")
    sent = b""
    try:
        prepared = await trial.request(body)
        sent = prepared.body
        told = await trial.answer(prepared, status, answer)
    except Refusal as refusal:
        return sent, refusal.status, refusal.body()
    return sent, told.status, told.body


@pytest.mark.parametrize("bundle", BUNDLES.values(), ids=list(BUNDLES))
async def test_a_request_is_what_the_engine_of_a_sidecar_gets_and_a_refusal_what_its_client_does(
    make_pod: MakePod, engine: Engine, bundle: Bundle
) -> None:
    pod = await make_pod(bundle)
    for path, request in REQUESTS:
        body = request if isinstance(request, bytes) else json.dumps(request).encode()
        engine.requests.clear()
        answer = await pod.post(path, body)
        sent, status, received = await tried(bundle, path, body, 200, completion())
        assert [each.body for each in engine.requests] == ([sent] if sent else []), (path, request)
        assert (status, received) == (answer.status, answer.body), (path, request)


@pytest.mark.parametrize("path", [COMPLETION, GENERATE])
@pytest.mark.parametrize("raw", ANSWERS.values(), ids=list(ANSWERS))
async def test_an_answer_is_what_the_client_of_a_sidecar_gets(make_pod: MakePod, engine: Engine, path: str, raw: bytes) -> None:
    engine.script = answers(raw)
    pod = await make_pod(BUNDLES["stages"])
    request = json.dumps({"model": "chat", "prompt": "hi"}).encode()
    answer = await pod.post(path, request)
    head, _, body = raw.partition(b"\r\n\r\n")
    _, status, received = await tried(BUNDLES["stages"], path, request, int(head.split()[1]), body)
    assert (status, received) == (answer.status, answer.body)


async def test_a_stream_is_what_the_client_of_a_sidecar_gets(make_pod: MakePod, engine: Engine) -> None:
    events = text_events("mail b@exam", "ple.com", " now")
    engine.script = streams(*events)
    pod = await make_pod(BUNDLES["stages"])
    request = json.dumps({"model": "chat", "prompt": "hi", "stream": True}).encode()
    answer = await pod.post(COMPLETION, request)
    trial = Trial(compile_bundle(BUNDLES["stages"]), COMPLETION, "chat")
    stream = trial.stream(await trial.request(request))
    received = b"".join([stream.feed(event) for event in events]) + stream.finish()
    assert received == answer.body
    assert b"<email>" in received
    assert [(did.stage, did.outcome, did.found) for did in trial.judging.answered if did.found] == [("pii", "changed", ("email",))]


async def test_each_stage_says_what_it_did() -> None:
    stages = (NormaliseStage(), PiiStage(entities=("email",), action="Tag"), BlocklistStage(terms=("fox",), on_fail="Open"), FOX)
    trial = Trial(compile_bundle(Bundle(pipeline=Pipeline(request=stages))), COMPLETION, "chat")
    with pytest.raises(Refusal):
        await trial.request(json.dumps({"model": "chat", "prompt": "ﬁx the fox of a@example.com"}).encode())
    told = [(did.stage, did.outcome, did.found, did.reason) for did in trial.judging.requested]
    assert told == [
        ("normalise", "changed", (), ""),
        ("pii", "tagged", ("email",), ""),
        ("blocklist", "bypassed", (), "blocked"),
        ("blocklist", "refused", (), ""),
    ]
    (change,) = trial.judging.requested[0].changes
    assert (change.path, change.before[:3], change.after[:3]) == ("prompt", "ﬁx ", "fix")
    assert trial.judging.bypassed == ["blocklist=blocked"]
