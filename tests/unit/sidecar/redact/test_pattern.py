"""A pattern and the pattern of its beginnings."""

import itertools
import re

import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from llm_sidecar.redact.pattern import LONGEST, PatternError, any_of, literal, parse
from tests.properties import tried

_LETTERS = "ab-"
_LONGEST_WORD = 4
_WORDS = ["".join(word) for length in range(_LONGEST_WORD + 1) for word in itertools.product(_LETTERS, repeat=length)]

_atoms = st.sampled_from(["a", "b", r"\-", "[ab]", r"[^a\]]", r"\w", ".", r"\x61", "[[:alpha:]]"])


@st.composite
def patterns(draw: st.DrawFn, depth: int = 2) -> str:
    """Return a pattern over three letters."""
    if depth == 0:
        return draw(_atoms)
    inner = st.deferred(lambda: patterns(depth - 1))
    kind = draw(st.sampled_from(["sequence", "choice", "repeat", "atom"]))
    if kind == "sequence":
        return "".join(draw(st.lists(inner, min_size=1, max_size=3)))
    if kind == "choice":
        return f"(?:{draw(inner)}|{draw(inner)})"
    if kind == "repeat":
        low = draw(st.integers(0, 2))
        high = draw(st.integers(max(low, 1), 2))
        group = draw(st.sampled_from(["(?:", "(", "(?P<name>", "(?i:"]))
        return f"{group}{draw(inner)}){{{low},{high}}}{draw(st.sampled_from(['', '?']))}"
    return draw(_atoms)


@tried(40)
@given(patterns())
def test_the_beginnings_are_exactly_what_some_text_could_complete(source: str) -> None:
    try:
        pattern = parse(source)
    except PatternError:
        return  # it also matches nothing at all
    read, beginnings = re2.compile(pattern.source), re2.compile(pattern.beginnings)
    matches = [word for word in _WORDS if read.fullmatch(word)]
    assert matches == [word for word in _WORDS if re2.fullmatch(source.replace("(?P<name>", "("), word)]
    could = {word[:length] for word in matches for length in range(len(word) + 1)}
    found = {word for word in _WORDS if beginnings.fullmatch(word)}
    assert could <= found
    if pattern.longest <= _LONGEST_WORD:
        assert found - could <= {""}
        assert all(pattern.shortest <= len(word) <= pattern.longest for word in matches)


@pytest.mark.parametrize(
    ("source", "beginnings"),
    [
        ("ab", {"", "a", "ab"}),
        ("ab{1,2}", {"", "a", "ab", "abb"}),
        (r"a\bb?", {"", "a"}),
        ("(?:ab|b){2}", {"", "a", "ab", "b", "aba", "abb", "abab", "ba", "bb", "bab"}),
        ("a?b", {"", "a", "ab", "b"}),
    ],
)
def test_beginnings_of_small_patterns(source: str, beginnings: set[str]) -> None:
    found = {word for word in _WORDS if re2.fullmatch(parse(source).beginnings, word)}
    assert found == beginnings


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("a*b", "have no end"),
        (r"\d+", "have no end"),
        ("a{2,}", "have no end"),
        ("a?", "where there is nothing"),
        (r"\b", "where there is nothing"),
        ("", "where there is nothing"),
        ("a|", "where there is nothing"),
        ("a{513}", f"513 characters; at most {LONGEST}"),
        ("(?:a{100}){100}", "10000 characters"),
        ("^a", r"\^ is not supported"),
        ("a$", r"\$ is not supported"),
        ("a)", "too many at character 2"),
        ("(a", "never closed"),
        ("[a", "never closed"),
        ("+a", "repeats nothing"),
        ("a{x}", r"not like \{2,5\}"),
        ("a{99999}", r"not like \{2,5\}"),
        ("a{2", "there is no }"),
        ("(?=a)b", "not supported"),
        ("(?<!a)b", "not supported"),
        (r"\Aa", r"\\A is not supported"),
        (r"(a)\1", r"\\1 is not supported"),
        ("a\\", "not supported"),
        ("(" * 30 + "a" + ")" * 30, "nested more than"),
        ("a" * 513, "more than 512 characters"),
    ],
)
def test_a_pattern_that_cannot_be_used_says_why(source: str, reason: str) -> None:
    with pytest.raises(PatternError, match=reason):
        parse(source)


@given(st.text(min_size=1, max_size=12))
def test_a_text_to_look_for_is_found_as_it_is_written(text: str) -> None:
    pattern = literal(text)
    assert re2.fullmatch(pattern.source, text)
    assert all(re2.fullmatch(pattern.beginnings, text[:length]) for length in range(len(text) + 1))
    assert not re2.fullmatch(pattern.beginnings, text + "a")
    assert pattern.shortest == pattern.longest == len(text)


def test_the_longest_text_to_look_for_compiles() -> None:
    assert re2.fullmatch(literal("a" * LONGEST).beginnings, "a" * LONGEST)
    for length in (0, LONGEST + 1):
        with pytest.raises(PatternError, match="1 to"):
            literal("a" * length)


def test_any_of_several_begins_like_one_of_them() -> None:
    both = any_of([literal("ab"), literal("ba")])
    assert {word for word in _WORDS if re2.fullmatch(both.beginnings, word)} == {"", "a", "ab", "b", "ba"}
    assert re.fullmatch(both.source, "ba")
