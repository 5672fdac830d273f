"""JSON in pieces: read string by string, and JSON afterwards if it was before."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_sidecar import json_text
from llm_sidecar.json_text import JsonText
from llm_sidecar.redact.entities import ENTITIES
from llm_sidecar.redact.finder import Finder
from llm_sidecar.redact.redaction import Redaction
from llm_sidecar.stages import BlockedError
from tests.unit.sidecar.redact.cases import SECRETS, cut_texts, texts, thorough

FINDER = Finder([wanted for several in ENTITIES.values() for wanted in several])

_values = st.recursive(
    st.one_of(texts, st.sampled_from(SECRETS), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=6,
)


@st.composite
def arguments(draw: st.DrawFn) -> str:
    """Return JSON as one model or another writes it."""
    indent, separators = draw(st.sampled_from([(None, None), (2, None), (None, (",", ":"))]))
    return json.dumps(draw(_values), ensure_ascii=draw(st.booleans()), indent=indent, separators=separators)


def begin(action: str = "Redact") -> JsonText:
    return JsonText(lambda: Redaction(FINDER, action))  # type: ignore[arg-type]  # the words are those of Action


def in_pieces(filter_: JsonText, pieces: list[str]) -> str:
    return "".join([filter_.feed(piece) for piece in pieces]) + filter_.finish()


def redacted(value: Any) -> Any:
    """Return a value with every string redacted on its own, and every number as text where it has to be."""
    if isinstance(value, str):
        return Redaction(FINDER, "Redact").whole(value)
    if isinstance(value, list):
        return [redacted(each) for each in value]
    if isinstance(value, dict):
        return {redacted(key): redacted(each) for key, each in value.items()}
    if isinstance(value, bool) or value is None:
        return value
    left = redacted(json.dumps(value))
    return value if left == json.dumps(value) else left


@thorough
@given(arguments(), st.data())
def test_every_string_and_number_is_judged_and_json_stays_json(text: str, data: st.DataObject) -> None:
    out = in_pieces(begin(), data.draw(cut_texts(st.just(text))))
    assert json.loads(out) == redacted(json.loads(text))


@thorough
@given(cut_texts(st.one_of(arguments(), st.text('"\\u0{}d8c3 :,1e', max_size=30), texts)))
def test_any_text_in_pieces(pieces: list[str]) -> None:
    whole, piecewise = begin(), begin()
    assert in_pieces(piecewise, pieces) == in_pieces(whole, ["".join(pieces)])
    assert piecewise.found == whole.found
    assert piecewise.held == ""


@thorough
@given(cut_texts(arguments()))
def test_json_without_anything_to_find_means_the_same_afterwards(pieces: list[str]) -> None:
    passing = JsonText(lambda: Redaction(FINDER, "Tag"))
    assert json.loads(in_pieces(passing, pieces)) == json.loads("".join(pieces))


@pytest.mark.parametrize(
    ("text", "out"),
    [
        ('{"to": "john@example.com"}', '{"to": "<email>"}'),
        (r'{"to": "john\u0040example.com"}', '{"to": "<email>"}'),
        (r'{"to": "\ud83d\ude00 john@example.com"}', '{"to": "😀 <email>"}'),
        (r'{"a": "\ud83d"}', '{"a": "\ufffd"}'),
        (r'{"a": "\"\\\n\/"}', r'{"a": "\"\\\n/"}'),
        ('{"card": 4111111111111111}', '{"card": "<card>"}'),
        ('{"card": [4111111111111111.5, 1e5, true, null]}', '{"card": ["<card>.5", 1e5, true, null]}'),
        ('{"john@example.com": 1}', '{"<email>": 1}'),
        ("mail john@example.com, 4111 1111 1111 1111", "mail <email>, <card>"),  # no JSON at all
        ('{"a": "john@example.com', '{"a": "<email>'),
        (r'{"a": "\q \u12', r'{"a": "\\q \\u12'),
        ('{"a": "b", "c": ', '{"a": "b", "c": '),
    ],
)
def test_examples(text: str, out: str) -> None:
    assert in_pieces(begin(), list(text)) == out


def test_what_is_kept_back_is_known() -> None:
    arguments_ = begin()
    assert arguments_.feed('{"to": "hi john@exa') == '{"to": "hi '
    assert arguments_.held == "john@exa"
    assert arguments_.feed('mple.com", "n": 12') == '<email>", "n"'
    assert arguments_.held == ": 12"
    assert arguments_.feed(r', "\ud8') == ': 12, "'
    assert arguments_.held == r"\ud8"


def test_nothing_comes_out_of_a_string_that_is_blocked() -> None:
    arguments_ = begin("Block")
    assert arguments_.feed('{"to": "john@exa') == '{"to": "'
    with pytest.raises(BlockedError):
        arguments_.feed('mple.com"}')


def test_endless_json_without_strings_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_text, "MAX_OUTSIDE", 100)
    endless = begin()
    endless.feed("[1" + ",1" * 40)
    with pytest.raises(ValueError, match="100 characters"):
        endless.feed(",1" * 40)
