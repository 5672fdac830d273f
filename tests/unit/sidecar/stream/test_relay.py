"""Streams pass unchanged, except for usage nobody asked for."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_sidecar.errors import Refusal
from llm_sidecar.stream.relay import Relay, aborted
from tests.unit.sidecar.support.engine import USAGE, event, text_events

_texts = st.lists(st.text(max_size=8), min_size=1, max_size=5)


def run(relay: Relay, data: bytes, size: int) -> bytes:
    return b"".join([relay.feed(data[at : at + size]) for at in range(0, len(data), size)]) + relay.finish()


@given(_texts, st.integers(1, 40))
def test_only_the_usage_chunk_is_taken_out_however_the_stream_is_cut(texts: list[str], size: int) -> None:
    relay = Relay(keep_usage=False)
    assert run(relay, b"".join(text_events(*texts)), size) == b"".join(text_events(*texts, usage=False))
    assert relay.usage is not None
    assert (relay.usage.prompt_tokens, relay.usage.completion_tokens) == (7, 5)
    assert relay.done
    assert not relay.error


@given(_texts, st.integers(1, 40))
def test_a_client_that_asked_for_usage_gets_every_byte(texts: list[str], size: int) -> None:
    whole = b"".join(text_events(*texts))
    relay = Relay(keep_usage=True)
    assert run(relay, whole, size) == whole
    assert relay.usage is not None


def test_usage_on_every_chunk_is_taken_out_of_each() -> None:
    relay = Relay(keep_usage=False)
    out = relay.feed(event({"choices": [{"index": 0, "delta": {"content": "é"}}], "usage": USAGE}))
    assert json.loads(out.removeprefix(b"data: ")) == {"choices": [{"index": 0, "delta": {"content": "é"}}]}
    assert relay.usage is not None


def test_text_that_speaks_of_usage_is_no_usage() -> None:
    relay = Relay(keep_usage=False)
    data = event({"choices": [{"text": '"usage" and "error": {"usage": 1} and [DONE]'}]})
    assert relay.feed(data) is data
    assert relay.usage is None
    assert not relay.error
    assert not relay.done


@pytest.mark.parametrize("data", [b'data: {"usage" broken\n\n', b'data: ["usage"]\n\n', b': "usage"\n\n'])
def test_an_event_that_is_no_object_passes(data: bytes) -> None:
    assert Relay(keep_usage=False).feed(data) == data


def test_usage_of_another_shape_is_taken_out_and_not_counted() -> None:
    relay = Relay(keep_usage=False)
    assert relay.feed(event({"choices": [], "usage": {"prompt_tokens": "many"}})) == b""
    assert relay.usage is None


def test_an_error_inside_the_stream_is_noticed_and_passed() -> None:
    relay = Relay(keep_usage=False)
    data = event({"error": {"message": "EngineDeadError", "code": 500}})
    assert relay.feed(data) == data
    assert relay.error


def test_an_aborted_answer_is_noticed() -> None:
    relay = Relay(keep_usage=False)
    data = event({"choices": [{"index": 0, "text": "", "finish_reason": "abort"}]})
    assert relay.feed(data) == data
    assert relay.error
    assert aborted(data)
    assert not aborted(event({"choices": [{"text": '"finish_reason":"abort"'}]}))


def test_a_failure_is_an_event_and_the_end_mark() -> None:
    told = Relay(keep_usage=False).fail(Refusal(504, "total_timeout", "late"))
    first, second, rest = told.split(b"\n\n")
    assert json.loads(first.removeprefix(b"data: "))["error"]["code"] == "total_timeout"
    assert (second, rest) == (b"data: [DONE]", b"")
