"""The classic format, byte for byte."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_sidecar.errors import Refusal
from llm_sidecar.stream.classic import Lines, unary
from tests.unit.sidecar.support.engine import USAGE, event, text_events


def test_a_whole_answer_has_one_text_per_choice_in_order() -> None:
    answer = json.dumps({"choices": [{"index": 1, "text": "b"}, {"index": 0, "text": "é"}], "usage": USAGE}).encode()
    body, usage = unary("p ", answer)
    assert body == b'{"text": ["p \\u00e9", "p b"]}'
    assert usage is not None
    assert usage.completion_tokens == 5


@pytest.mark.parametrize("answer", [b"", b"[]", b'{"choices": 5}'])
def test_an_answer_that_is_no_completion_is_an_error(answer: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        unary("p", answer)


@given(st.lists(st.text(max_size=6), min_size=1, max_size=5), st.text(max_size=6), st.integers(1, 30))
def test_every_line_holds_the_text_so_far(texts: list[str], echo: str, size: int) -> None:
    lines = Lines(echo, 1)
    data = b"".join(text_events(*texts))
    out = b"".join([lines.feed(data[at : at + size]) for at in range(0, len(data), size)]) + lines.finish()
    assert out.endswith(b"\n")
    assert [json.loads(line)["text"] for line in out.splitlines()] == [[echo + "".join(texts[: n + 1])] for n in range(len(texts))]
    assert out.isascii()
    assert lines.done
    assert lines.usage is not None


def test_several_choices_grow_apart() -> None:
    lines = Lines("p", 2)
    data = b"".join(event({"choices": [{"index": index, "text": text}]}) for index, text in [(1, "x"), (0, "a"), (1, "y"), (7, "z")])
    assert [json.loads(line)["text"] for line in lines.feed(data).splitlines()] == [["p", "px"], ["pa", "px"], ["pa", "pxy"], ["pa", "pxy"]]


def test_comments_and_broken_events_give_no_line() -> None:
    lines = Lines("p", 1)
    assert lines.feed(b": keep-alive\n\ndata: {broken\n\n") == b""


def test_what_the_engine_gave_up_on_ends_with_an_error() -> None:
    lines = Lines("p", 1)
    text, error = lines.feed(event({"choices": [{"index": 0, "text": "x", "finish_reason": "abort"}]})).splitlines()
    assert (json.loads(text)["text"], json.loads(error)["error"]["code"], lines.error) == (["px"], "engine_aborted", True)


def test_an_error_is_a_line() -> None:
    lines = Lines("p", 1)
    assert json.loads(lines.feed(event({"error": {"message": "dead"}}))) == {"error": {"message": "dead"}}
    assert lines.error
    assert json.loads(lines.fail(Refusal(504, "total_timeout", "late")))["error"]["code"] == "total_timeout"
