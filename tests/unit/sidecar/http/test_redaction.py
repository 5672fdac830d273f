"""Personal data and forbidden words on their way through the real application, cut over events as an engine cuts them."""

import asyncio
import itertools
import json
from typing import Any

import pytest

from llm_sidecar.bundle import BlocklistStage, Bundle, Pattern, PiiStage, Pipeline, Prompt
from llm_sidecar.stream.scanner import payload, split
from tests.unit.sidecar.conftest import MakePod
from tests.unit.sidecar.support.client import Answer, connect, post
from tests.unit.sidecar.support.engine import USAGE, answers, event, http, streams, text_events
from tests.unit.sidecar.support.pod import Pod

PII = PiiStage(entities=("email", "iban", "card", "ssn", "phone", "ip"), patterns=(Pattern(name="ticket", re2=r"\bACME-\d{1,8}\b"),))
SECRETS = ("john@example.com.uk", "4111 1111 1111 1111", "123-45-6789", "ACME-42")
TEXT = "Dear john@example.com.uk, x987-65-4321 is not, 123-45-6789 is; pay 4111 1111 1111 1111 for ACME-42"
LEFT = "Dear <email>, x987-65-4321 is not, <ssn> is; pay <card> for <ticket>"
CHAT = {"messages": [{"role": "user", "content": "hi"}]}


def in_pieces(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def deltas(size: int, **texts: str) -> list[dict[str, Any]]:
    """Return the deltas of a choice, one text after the other."""
    return [{name: piece} for name, text in texts.items() for piece in in_pieces(text, size)]


def chat_events(*choices: list[dict[str, Any]]) -> list[bytes]:
    """Return the events of a chat, the choices by turns."""
    numbered = [[{"index": index, "delta": delta, "finish_reason": None} for delta in each] for index, each in enumerate(choices)]
    turns = [choice for turn in itertools.zip_longest(*numbered) for choice in turn if choice is not None]
    ends = [{"index": index, "delta": {}, "finish_reason": "stop"} for index in range(len(choices))]
    chunks = [{"id": "c", "model": "chat", "choices": [choice], "usage": USAGE} for choice in [*turns, *ends]]
    return [*map(event, chunks), event({"id": "c", "choices": [], "usage": USAGE}), event(b"[DONE]")]


def said(answer: Answer) -> list[dict[str, str]]:
    """Return what each choice of a chat stream said, field by field."""
    choices: dict[int, dict[str, str]] = {}
    for each in split(answer.body):
        data = payload(each)
        for choice in json.loads(data)["choices"] if data.startswith(b"{") else ():
            fields = choices.setdefault(choice["index"], {})
            delta = dict(choice["delta"])
            for call in delta.pop("tool_calls", None) or ():
                delta["arguments"] = call["function"].get("arguments", "")
            for name, text in delta.items():
                fields[name] = fields.get(name, "") + text
    return [choices[index] for index in sorted(choices)]


def never_seen(answer: Answer) -> None:
    assert answer.complete
    assert not [secret for secret in SECRETS if secret.encode() in answer.body]


@pytest.fixture
async def guarded(make_pod: MakePod) -> Pod:
    return await make_pod(Bundle(pipeline=Pipeline(request=(PII,), response=(PII,))))


@pytest.mark.parametrize("size", [1, 2, 5, 7, 200])
async def test_chat_streams_of_several_choices_and_fields(guarded: Pod, size: int) -> None:
    first = deltas(size, reasoning_content=f"to {TEXT}", content=TEXT)
    second = deltas(size + 1, content=f"call ACME-42 {TEXT[5:]}")
    guarded.engine.script = streams(*chat_events(first, second))
    answer = await guarded.post("/v1/chat/completions", {**CHAT, "stream": True, "n": 2})
    assert said(answer) == [{"reasoning_content": f"to {LEFT}", "content": LEFT}, {"content": f"call <ticket> {LEFT[5:]}"}]
    never_seen(answer)
    assert answer.body.endswith(b"data: [DONE]\n\n")
    assert answer.body.count(b'"finish_reason":"stop"') == 2


@pytest.mark.parametrize("size", [1, 3, 200])
async def test_arguments_of_tools_stay_json(guarded: Pod, size: int) -> None:
    written = json.dumps({"to": TEXT, "card": 4111111111111111, "at": [1.5, True, None], "é": 'a"b\\'}, indent=1)
    calls = [{"tool_calls": [{"index": 0, "id": "t", "function": {"name": "pay", "arguments": ""}}]}]
    calls += [{"tool_calls": [{"index": 0, "function": {"arguments": piece}}]} for piece in in_pieces(written, size)]
    guarded.engine.script = streams(*chat_events(calls))
    answer = await guarded.post("/v1/chat/completions", {**CHAT, "stream": True})
    (choice,) = said(answer)
    assert json.loads(choice["arguments"]) == {"to": LEFT, "card": "<card>", "at": [1.5, True, None], "é": 'a"b\\'}
    never_seen(answer)


@pytest.mark.parametrize("size", [1, 4, 200])
async def test_completions_and_the_classic_route(guarded: Pod, size: int) -> None:
    guarded.engine.script = streams(*text_events(*in_pieces(TEXT, size)))
    answer = await guarded.post("/v1/completions", {"prompt": "x", "stream": True})
    texts = [json.loads(data)["choices"][0]["text"] for data in map(payload, split(answer.body)) if data.startswith(b"{")]
    assert "".join(texts) == LEFT
    never_seen(answer)
    answer = await guarded.post("/generate", {"prompt": "say: ", "stream": True})
    lines = [json.loads(line)["text"] for line in answer.body.splitlines()]
    assert lines[-1] == ["say: " + LEFT]
    assert all(("say: " + LEFT).startswith(line) for (line,) in lines)
    never_seen(answer)


async def test_whole_answers(guarded: Pod) -> None:
    message = {"role": "assistant", "content": TEXT, "reasoning_content": TEXT}
    message["tool_calls"] = [{"id": "t", "function": {"name": "pay", "arguments": '{"card": 4111111111111111}'}}]  # type: ignore[assignment]
    body = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": USAGE}
    guarded.engine.script = answers(http(json.dumps(body).encode()))
    answer = await guarded.post("/v1/chat/completions", CHAT)
    seen = answer.json["choices"][0]["message"]
    assert (seen["content"], seen["reasoning_content"]) == (LEFT, LEFT)
    assert json.loads(seen["tool_calls"][0]["function"]["arguments"]) == {"card": "<card>"}
    guarded.engine.script = answers(http(json.dumps({"choices": [{"index": 0, "text": TEXT}], "usage": USAGE}).encode()))
    assert (await guarded.post("/generate", {"prompt": "p "})).json == {"text": ["p " + LEFT]}


async def test_the_engine_sees_nothing_of_it_in_a_request(make_pod: MakePod) -> None:
    prompt = Prompt(system="for {{ who }}", inputs={"type": "object", "properties": {"who": {"type": "string", "default": "you"}}})
    pod = await make_pod(Bundle(prompt=prompt, pipeline=Pipeline(request=(PII,))))
    call = {"id": "t", "type": "function", "function": {"name": "pay", "arguments": '{"card": 4111111111111111}'}}
    chat = {
        "messages": [
            {"role": "user", "content": TEXT},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "t", "content": TEXT},
            {"role": "user", "content": [{"type": "text", "text": TEXT}]},
        ],
        "prompt": {"variables": {"who": TEXT}},
    }
    assert (await pod.post("/v1/chat/completions", chat)).status == 200
    seen = pod.engine.requests[-1].json["messages"]
    assert [message["content"] for message in seen] == [f"for {LEFT}", LEFT, None, LEFT, [{"type": "text", "text": LEFT}]]
    assert json.loads(seen[2]["tool_calls"][0]["function"]["arguments"]) == {"card": "<card>"}
    for path, body in [
        ("/v1/completions", {"prompt": [TEXT, TEXT]}),
        ("/v1/completions", {"prompt": {"text": TEXT, "variables": {"who": TEXT}}}),
        ("/generate", {"prompt": TEXT}),
    ]:
        answer = await pod.post(path, body)
        assert answer.status == 200, answer.body
        assert not [secret for secret in SECRETS if secret.encode() in pod.engine.requests[-1].body]


async def test_a_request_that_is_blocked_names_stage_and_place(make_pod: MakePod) -> None:
    pod = await make_pod(Bundle(pipeline=Pipeline(request=(BlocklistStage(terms=("Project X",)),))))
    parts = [{"type": "text", "text": "fine"}, {"type": "text", "text": "about project x"}]
    answer = await pod.post("/v1/chat/completions", {"messages": [{"role": "user", "content": parts}]})
    assert answer.status == 400
    assert (answer.error["code"], answer.error["stage"], answer.error["param"]) == (
        "content_filter",
        "blocklist",
        "messages[0].content[1].text",
    )
    assert b"project x" not in answer.body.lower()
    assert not pod.engine.requests


async def test_a_stream_that_is_blocked_ends_before_the_word_and_stops_the_engine(make_pod: MakePod) -> None:
    pod = await make_pod(Bundle(pipeline=Pipeline(response=(BlocklistStage(terms=("forbidden",)),))))
    pod.engine.script = streams(
        *chat_events([{"content": piece} for piece in ["This is ", "FOR", "BID", "DEN", *[" and on"] * 500]]), pause_s=0.02
    )
    async with connect(pod.port) as client:
        client.send(post("/v1/chat/completions", {**CHAT, "stream": True}))
        answer = await client.answer()
    assert "".join(choice.get("content", "") for choice in said(before_the_error(answer))) == "This is "
    assert b"FOR" not in answer.body
    assert b'"finish_reason":"content_filter"' in answer.body
    assert b'"code":"content_filter"' in answer.body
    assert answer.body.endswith(b"data: [DONE]\n\n")
    await asyncio.wait_for(pod.engine.aborted.wait(), 5)


def before_the_error(answer: Answer) -> Answer:
    """Return an answer without its error event."""
    return Answer(answer.status, answer.headers, b"".join(each for each in split(answer.body) if b'"error"' not in each))


async def test_what_is_tagged_passes_and_is_counted(make_pod: MakePod) -> None:
    tag = PiiStage(entities=("email",), action="Tag")
    pod = await make_pod(Bundle(pipeline=Pipeline(request=(tag,), response=(tag,))))
    pod.engine.script = streams(*text_events(*in_pieces(TEXT, 3)))
    answer = await pod.post("/v1/completions", {"prompt": TEXT, "stream": True})
    texts = [json.loads(data)["choices"][0]["text"] for data in map(payload, split(answer.body)) if data.startswith(b"{")]
    assert texts == in_pieces(TEXT, 3)
    assert pod.engine.requests[-1].json["prompt"] == TEXT
    assert await pod.figure('llm_sidecar_stage_verdict_total{action="pass",stage="pii",verdict="tag"}') == 2
