"""No white space around a text, and no more of it than wanted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_sidecar.bundle import BundleError, TrimStage
from llm_sidecar.stages import ALLOW, Modify
from llm_sidecar.stages.trim import compile as compile_stage
from tests.unit.sidecar.stages.pieces import cuts, in_one, in_pieces


@pytest.mark.parametrize(
    ("text", "most", "wanted"),
    [("  hi\n", None, "hi"), ("hello world", 5, "hello"), ("hello world", 6, "hello"), (" a b ", 2, "a"), ("   ", None, "")],
)
def test_ends_are_trimmed_and_the_rest_is_cut(text: str, most: int | None, wanted: str) -> None:
    assert compile_stage(TrimStage(max_characters=most), "here").judge(text) == Modify(wanted)


def test_a_text_that_fits_is_left_alone() -> None:
    assert compile_stage(TrimStage(max_characters=5), "here").judge("hello") is ALLOW


@given(st.text(" \nab", max_size=20), st.none() | st.integers(1, 12), cuts)
def test_a_stream_gives_the_same_text_however_it_is_cut(text: str, most: int | None, places: list[int]) -> None:
    stage = compile_stage(TrimStage(max_characters=most), "here")
    assert in_pieces(stage, text, places) == in_one(stage, text)


@pytest.mark.parametrize("most", [0, -1, 10_000_001])
def test_a_length_nobody_can_mean_is_refused(most: int) -> None:
    with pytest.raises(BundleError) as caught:
        compile_stage(TrimStage(max_characters=most), "pipeline.request[0]")
    assert caught.value.field == "pipeline.request[0].maxCharacters"
