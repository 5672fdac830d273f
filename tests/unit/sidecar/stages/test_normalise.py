"""One form for what looks the same, however the text was cut."""

import unicodedata
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_sidecar.bundle import NormaliseStage
from llm_sidecar.stages import ALLOW, Modify
from llm_sidecar.stages.normalise import Normalise
from llm_sidecar.stages.normalise import compile as compile_stage
from tests.properties import tried
from tests.unit.sidecar.stages.pieces import cuts, in_one, in_pieces


def wide(text: str) -> str:
    """Return ASCII in the full-width letters of East Asian typography, which look nearly the same."""
    return "".join(chr(ord(character) + 0xFEE0) for character in text)


@cache
def usual() -> Normalise:
    """Return the stage as it is without settings. Compiling the first takes a moment, which is not the collection's to wait for."""
    return compile_stage(NormaliseStage(), "here")


# Marks, Hangul parts, halfwidth voicing marks, ligatures, invisible characters and plain letters, mixed.
_tricky = st.text(
    "a\u00e9\u0301\u0308e \u200b\ufeff\uff9e\uff8a\u304c\uac01\u1161\u11a8\uac00\ufb01\u2460\uff21\uff0e\U000e0041\u0958\u0344", max_size=30
)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (wide("john@example.com"), "john@example.com"),
        ("pass\u200bwo­rd", "password"),
        ("ﬁne ①", "fine 1"),
        ("e\u0301", "é"),
        ("hi\U000e0049\U000e0047", "hi"),
    ],
)
def test_what_looks_the_same_is_the_same(text: str, wanted: str) -> None:
    assert usual().judge(text) == Modify(wanted)


def test_plain_text_is_left_alone() -> None:
    assert usual().judge("Hello, world.") is ALLOW
    assert usual().judge("déjà vu, 日本") is ALLOW


def test_the_milder_form_keeps_ligatures_and_joiners() -> None:
    stage = compile_stage(NormaliseStage(form="NFC", zero_width="Keep"), "here")
    assert in_one(stage, "ﬁ\u200d e\u0301") == "ﬁ\u200d é"


@given(_tricky | st.text(max_size=30), cuts)
@tried(100)
def test_a_stream_gives_the_same_text_however_it_is_cut(text: str, places: list[int]) -> None:
    assert in_pieces(usual(), text, places) == in_one(usual(), text)


@given(st.text(max_size=40))
def test_what_comes_out_has_the_form(text: str) -> None:
    assert unicodedata.is_normalized("NFKC", in_one(usual(), text))


def test_a_stream_keeps_one_letter_back() -> None:
    stream = usual().stream()
    assert stream.feed("cafe") == "caf"
    assert stream.held == "e"
    assert stream.feed("\u0301 ") == "é"


def test_a_letter_with_endless_marks_is_let_go_in_the_end() -> None:
    stream = usual().stream()
    assert len(stream.feed("e" + "\u0301" * 5000)) == 5000
