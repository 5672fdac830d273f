import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from llm_operator.api.durations import MAX_LENGTH, PATTERN, parse_ms, parse_s, render_ms
from llm_operator.api.llmdeployment import Drain


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [("0s", 0), ("10s", 10_000), ("2m", 120_000), ("1h30m", 5_400_000), ("500ms", 500), ("1h2m3s4ms", 3_723_004), ("90m", 5_400_000)],
)
def test_durations_are_read_as_go_writes_them(text: str, milliseconds: int) -> None:
    assert parse_ms(text) == milliseconds


@pytest.mark.parametrize("text", ["", "10", "s", "-1s", "1.5h", "1d", "10 s", "1s1h", "10S", "1s\n", "\u0661s", "1h30"])
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration; write it like 90s"):
        parse_ms(text)


@given(st.integers(0, 10**9))
def test_the_canonical_text_of_a_duration_means_the_same(milliseconds: int) -> None:
    text = render_ms(milliseconds)
    assert parse_ms(text) == milliseconds
    assert re.fullmatch(PATTERN.replace("$", r"\Z"), text)
    assert len(text) <= MAX_LENGTH


@given(st.from_regex(PATTERN.replace("$", r"\Z"), fullmatch=True))
def test_whatever_the_pattern_of_the_crd_takes_is_read(text: str) -> None:
    if text.isascii() and text:
        assert parse_ms(text) >= 0


@pytest.mark.parametrize(("milliseconds", "text"), [(0, "0s"), (5_400_000, "1h30m"), (600_000, "10m"), (1_500, "1s500ms")])
def test_the_canonical_text_has_the_largest_units_first(milliseconds: int, text: str) -> None:
    assert render_ms(milliseconds) == text


def test_a_negative_duration_is_never_written() -> None:
    with pytest.raises(ValueError, match="negative"):
        render_ms(-1)


def test_seconds_are_rounded_up_so_that_no_limit_gets_shorter() -> None:
    assert [parse_s(text) for text in ("0s", "1ms", "1s", "1s1ms")] == [0, 1, 1, 2]


def test_a_field_refuses_what_is_out_of_its_bounds_with_the_bounds() -> None:
    with pytest.raises(ValidationError, match="must be a duration from 0s to 10m"):
        Drain(minimum="11m")
    assert TypeAdapter(Drain).validate_python({"minimum": "10m"}).minimum == "10m"
