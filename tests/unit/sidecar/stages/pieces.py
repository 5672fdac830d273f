"""A text in pieces, as a stream brings it."""

from itertools import pairwise

from hypothesis import strategies as st

from llm_sidecar.stages import Modify, Stage

cuts = st.lists(st.integers(0, 200), max_size=8)


def in_pieces(stage: Stage, text: str, places: list[int]) -> str:
    """Return what comes out of a stage's filter for a text that is cut at these places."""
    edges = sorted({0, len(text), *(place for place in places if place < len(text))})
    stream = stage.stream()
    return "".join([stream.feed(text[start:end]) for start, end in pairwise(edges)]) + stream.finish()


def in_one(stage: Stage, text: str) -> str:
    """Return what a stage makes of a whole text."""
    verdict = stage.judge(text)
    return verdict.text if isinstance(verdict, Modify) else text
