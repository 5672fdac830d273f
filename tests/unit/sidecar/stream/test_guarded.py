"""Streams through stages: the same text as a whole answer would have, in every choice and field, however the engine cuts it."""

import json
from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from llm_sidecar import bundle
from llm_sidecar.bundle import BlocklistStage, PiiStage, SchemaStage, TrimStage
from llm_sidecar.errors import Refusal
from llm_sidecar.judging import Judging
from llm_sidecar.pipeline import compile_pipeline
from llm_sidecar.stage_metrics import StageMetrics
from llm_sidecar.stages import Modify
from llm_sidecar.stream.guarded import Guarded
from llm_sidecar.stream.relay import Relay, Wish
from llm_sidecar.stream.scanner import payload, split
from tests.unit.sidecar.support.engine import event, text_events

MAIL = PiiStage(entities=("email",))
SECRET = "jane@example.com"
Said = dict[tuple[int, str], str]


def guarded(*stages: bundle.Stage, wish: Wish = Wish.NOTHING) -> Guarded:
    steps = compile_pipeline(bundle.Pipeline(response=stages)).response
    return Guarded(Relay(wish), steps, Judging(StageMetrics(CollectorRegistry())))


def chat(index: int, finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"id": "c", "object": "chat.completion.chunk", "choices": [{"index": index, "delta": delta, "finish_reason": finish}]}


def said(stream: bytes) -> Said:
    """Return what a client puts together."""
    texts: Said = defaultdict(str)
    for one in split(stream):
        data = payload(one)
        if not data.startswith(b"{"):
            continue
        for choice in json.loads(data).get("choices", ()):
            delta = choice.get("delta", {})
            for name in ("content", "reasoning", "reasoning_content"):
                texts[choice["index"], name] += delta.get(name) or ""
            texts[choice["index"], "text"] += choice.get("text") or ""
            for call in delta.get("tool_calls") or ():
                texts[choice["index"], f"call {call['index']}"] += call["function"].get("arguments") or ""
    return {place: text for place, text in texts.items() if text}


def run(stream: Guarded, data: bytes, size: int = 10_000) -> bytes:
    return b"".join([stream.feed(data[at : at + size]) for at in range(0, len(data), size)]) + stream.finish()


_words = st.lists(st.sampled_from(["mail ", "jane", "@exam", "ple.com", ".uk ", " and", "\\", '"', "é", ""]), max_size=10)


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["content", "reasoning", "text"]), _words), max_size=6), st.integers(1, 300))
def test_a_stream_says_what_the_whole_answer_would(parts: list[tuple[int, str, list[str]]], size: int) -> None:
    events: list[bytes] = []
    whole: Said = defaultdict(str)
    for index, name, words in parts:
        for word in words:
            whole[index, name] += word
            one = chat(index, **{name: word}) if name != "text" else {"choices": [{"index": index, "text": word, "finish_reason": None}]}
            events.append(event(one, compact=len(events) % 3 > 0))
    events += [event(chat(index, "stop")) for index in {index for index, _, _ in parts}]
    out = run(guarded(MAIL), b"".join([*events, event(b"[DONE]")]), size)
    stage = compile_pipeline(bundle.Pipeline(response=(MAIL,))).response[0].stage
    wanted = {}
    for place, text in whole.items():
        verdict = stage.judge(text)
        wanted[place] = verdict.text if isinstance(verdict, Modify) else text
    assert said(out) == {place: text for place, text in wanted.items() if text}
    assert out.endswith(b"data: [DONE]\n\n")


def test_text_without_anything_to_hide_passes_byte_for_byte_but_for_what_is_kept_back() -> None:
    data = b"".join(text_events("Hello ", "world. ", always=False))
    assert said(run(guarded(MAIL, wish=Wish.AT_END), data)) == {(0, "text"): "Hello world. "}
    trimmed = guarded(TrimStage(), wish=Wish.AT_END)
    assert run(trimmed, data) == b"".join(text_events("Hello", " world.", always=False))
    assert trimmed.usage is not None


def test_two_choices_do_not_mix() -> None:
    events = [
        event(chat(0, content="jane@")),
        event(chat(1, content="bob")),
        event(chat(0, content="example.com ")),
        event(chat(1, "stop")),
    ]
    out = run(guarded(MAIL), b"".join([*events, event(chat(0, "stop")), event(b"[DONE]")]))
    assert said(out) == {(0, "content"): "<email> ", (1, "content"): "bob"}


def test_arguments_of_tool_calls_are_filtered_call_by_call() -> None:
    def call(number: int, text: str) -> bytes:
        return event(chat(0, tool_calls=[{"index": number, "function": {"arguments": text}}]))

    events = [call(0, '{"to": "jane@exa'), call(1, '{"to": "bob"}'), call(0, 'mple.com"}'), event(chat(0, "tool_calls")), event(b"[DONE]")]
    assert said(run(guarded(MAIL), b"".join(events))) == {(0, "call 0"): '{"to": "<email>"}', (0, "call 1"): '{"to": "bob"}'}


def test_what_was_kept_back_comes_with_the_finish_or_before_the_end_mark() -> None:
    for end in ([event(chat(0, "stop", content=""))], []):
        out = run(guarded(MAIL), b"".join([event(chat(0, content=SECRET)), *end, event(b"[DONE]")]))
        assert said(out) == {(0, "content"): "<email>"}


def test_the_usage_on_each_event_is_taken_out_of_changed_events_too() -> None:
    stream = guarded(MAIL)
    out = run(stream, b"".join(text_events("jane@", "example.com ", "ok ")))
    assert b"usage" not in out
    assert said(out) == {(0, "text"): "<email> ok "}
    assert stream.usage is not None
    assert stream.done


def test_what_is_blocked_ends_the_stream_and_the_choice_says_why() -> None:
    stream = guarded(BlocklistStage(terms=("secret project",)))
    first = stream.feed(event(chat(0, role="assistant", content="")) + event(chat(0, content="About the ")))
    with pytest.raises(Refusal) as caught:
        stream.feed(event(chat(0, content="this is fine, ")) + event(chat(0, content="secret project ")))
    refusal = caught.value
    assert (refusal.status, refusal.code, refusal.stage, refusal.param) == (400, "content_filter", "blocklist", "choices[0].content")
    last = stream.fail(refusal)
    assert b"secret" not in first + last
    assert said(first + last)[0, "content"].startswith("About the this is fine,")
    ended, error, end = (payload(one) for one in split(last)[-3:])
    assert json.loads(ended)["choices"][0]["finish_reason"] == "content_filter"
    assert json.loads(error)["error"]["code"] == "content_filter"
    assert end == b"[DONE]"


def test_an_answer_that_does_not_fit_its_schema_ends_with_an_error() -> None:
    stream = guarded(SchemaStage(schema={"required": ["city"]}))
    stream.feed(event(chat(0, content="{}")))
    with pytest.raises(Refusal) as caught:
        stream.feed(event(chat(0, "stop")))
    assert (caught.value.code, caught.value.stage) == ("answer_invalid", "schema")
    assert b"content_filter" not in stream.fail(caught.value)


def test_an_event_that_cannot_be_read_is_not_passed() -> None:
    for broken in (b'data: {"choices": 5}\n\n', b'data: {"choices"\n\n', b'data: [{"choices": []}]\n\n', b"data: jane@example.com\n\n"):
        with pytest.raises(Refusal) as caught:
            guarded(MAIL).feed(broken)
        assert caught.value.code == "engine_broken"


def test_white_space_around_the_data_hides_nothing() -> None:
    out = guarded(MAIL).feed(b'data:  {"choices": [{"index": 0, "text": "jane@example.com ", "finish_reason": "stop"}]} \n\n')
    assert b"jane" not in out
    assert b"email" in out


def test_half_an_event_at_the_end_is_not_passed_unseen() -> None:
    stream = guarded(MAIL)
    assert stream.feed(b'data: {"choices": [{"index": 0, "text": "jane@example') == b""
    with pytest.raises(Refusal):
        stream.finish()
    whole = guarded(MAIL)
    whole.feed(event(chat(0, content="hi ")) + b"data: [DONE]")
    assert whole.finish().endswith(b"[DONE]\n\n")


@pytest.mark.parametrize("other", [b": keep-alive\n\n", event({"error": {"message": "x"}}), event({"choices": [], "usage": None})])
def test_comments_errors_and_usage_pass(other: bytes) -> None:
    assert guarded(MAIL, wish=Wish.ALWAYS).feed(other) == other


def test_a_stage_that_is_open_lets_pass_what_it_found_and_tells_so_in_a_comment() -> None:
    stream = guarded(BlocklistStage(terms=("secret",), on_fail="Open"))
    out = run(stream, event(chat(0, content="a secret ")) + event(chat(0, "stop")) + event(b"[DONE]"))
    assert said(out) == {(0, "content"): "a secret "}
    assert b": x-llm-degraded: blocklist=blocked\n\n" in out
