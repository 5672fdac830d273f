"""Limits on what a body's bytes do not show: depth, lists, choices, tokens, stops."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_sidecar.bundle import Limits
from llm_sidecar.errors import Refusal
from llm_sidecar.shape import check_counts, check_nesting

_json = st.recursive(
    st.none() | st.integers(-9, 9) | st.text('a,{[" \\', max_size=5),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text("ab,[", max_size=2), inner, max_size=6),
    max_leaves=30,
)


def depth(value: Any) -> int:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inside is None else 1 + max((depth(each) for each in inside), default=0)


def longest(value: Any) -> int:
    inside = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    return max([len(inside), *map(longest, inside)])


@given(_json, st.integers(1, 6), st.integers(1, 6))
def test_exactly_what_is_too_deep_or_too_long_is_refused(value: Any, max_depth: int, max_items: int) -> None:
    limits = Limits(max_depth=max_depth, max_items=max_items)
    code = ""
    try:
        check_nesting(json.dumps(value).encode(), limits)
    except Refusal as refusal:
        code = refusal.code
    wrong = {"too_deep"} if depth(value) > max_depth else set()
    wrong |= {"too_many_items"} if longest(value) > max_items else set()
    assert code in (wrong or {""})


def test_a_body_that_no_reader_could_follow_is_too_deep() -> None:
    with pytest.raises(Refusal) as caught:
        check_nesting(b"[" * 100_000 + b"]" * 100_000, Limits())
    assert caught.value.code == "too_deep"


def test_what_is_no_json_is_left_to_its_reader() -> None:
    check_nesting(b"{" * 1000, Limits())
    check_nesting(b"\xff" + b"[" * 1000, Limits())


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"n": 3}, "n"),
        ({"n": 2.5}, "n"),
        ({"stop": ["a", "b", "c"]}, "stop"),
        ({"max_tokens": {"max_completion_tokens": 11}}, "max_completion_tokens"),
        ({"prompts": 3}, "prompt"),
        ({"prompts": 2, "n": 2}, "prompt"),
    ],
)
def test_more_than_the_limit_is_refused_with_the_field(asked: dict[str, Any], param: str) -> None:
    limits = Limits(max_choices=2, max_stops=2, max_tokens=10)
    with pytest.raises(Refusal) as caught:
        check_counts(limits, **{"n": None, "max_tokens": {}, "stop": None, **asked})
    assert (caught.value.status, caught.value.code, caught.value.param) == (400, "limit_exceeded", param)
    check_counts(limits, n=2, max_tokens={"max_tokens": 10, "max_completion_tokens": None}, stop="abc")
