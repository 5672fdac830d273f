"""Streams pass unchanged, except for usage nobody asked for."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_sidecar.errors import Refusal
from llm_sidecar.stream.relay import Relay, Wish
from llm_sidecar.stream.scanner import payload, split
from tests.unit.sidecar.support.engine import event, text_events

_texts = st.lists(st.text(max_size=8), min_size=1, max_size=5)


def run(relay: Relay, data: bytes, size: int) -> bytes:
    return b"".join([relay.feed(data[at : at + size]) for at in range(0, len(data), size)]) + relay.finish()


@given(_texts, st.integers(1, 400), st.sampled_from(Wish))
def test_clients_get_the_usage_they_asked_for_however_the_stream_is_cut(texts: list[str], size: int, wish: Wish) -> None:
    relay = Relay(wish)
    wanted = text_events(*texts, at_end=wish is not Wish.NOTHING, always=wish is Wish.ALWAYS)
    assert run(relay, b"".join(text_events(*texts)), size) == b"".join(wanted)
    assert relay.usage is not None
    assert (relay.usage.prompt_tokens, relay.usage.completion_tokens) == (7, 5)
    assert relay.done
    assert not relay.error


@given(_texts, st.sampled_from(Wish))
def test_json_that_is_written_otherwise_is_understood_too(texts: list[str], wish: Wish) -> None:
    relay = Relay(wish)
    out = run(relay, b"".join(text_events(*texts, compact=False)), 1000)
    wanted = text_events(*texts, at_end=wish is not Wish.NOTHING, always=wish is Wish.ALWAYS)
    assert [read(one) for one in split(out)] == [read(one) for one in wanted]
    assert relay.usage is not None


def read(one: bytes) -> object:
    data = payload(one)
    return data if data == b"[DONE]" else json.loads(data)


def test_usage_of_a_stream_that_was_cut_short_is_known() -> None:
    relay = Relay(Wish.NOTHING)
    relay.feed(text_events("a")[0])
    assert relay.usage is not None


def test_text_that_speaks_of_usage_is_no_usage() -> None:
    relay = Relay(Wish.NOTHING)
    data = event({"choices": [{"text": '"usage" and "error": {"usage": 1} and [DONE]'}]})
    assert relay.feed(data) is data
    assert relay.usage is None
    assert not relay.error
    assert not relay.done


@pytest.mark.parametrize("data", [b'data: {"usage" broken\n\n', b'data: ["usage"]\n\n', b': "usage"\n\n'])
def test_an_event_that_is_no_object_passes(data: bytes) -> None:
    assert Relay(Wish.NOTHING).feed(data) == data


def test_usage_of_another_shape_is_taken_out_and_not_counted() -> None:
    relay = Relay(Wish.NOTHING)
    assert relay.feed(event({"choices": [], "usage": {"prompt_tokens": "many"}})) == b""
    assert relay.usage is None


def test_an_error_inside_the_stream_is_noticed_and_passed() -> None:
    relay = Relay(Wish.NOTHING)
    data = event({"error": {"message": "EngineDeadError", "code": 500}})
    assert relay.feed(data) == data
    assert relay.error


def test_an_aborted_answer_is_noticed() -> None:
    relay = Relay(Wish.NOTHING)
    data = event({"choices": [{"index": 0, "text": "", "finish_reason": "abort"}]})
    assert relay.feed(data) == data
    assert relay.error
    quoted = Relay(Wish.NOTHING)
    quoted.feed(event({"choices": [{"text": '"finish_reason":"abort"'}]}))
    assert not quoted.error


def test_a_failure_is_an_event_and_the_end_mark() -> None:
    told = Relay(Wish.NOTHING).fail(Refusal(504, "total_timeout", "late"))
    first, second, rest = told.split(b"\n\n")
    assert json.loads(first.removeprefix(b"data: "))["error"]["code"] == "total_timeout"
    assert (second, rest) == (b"data: [DONE]", b"")
