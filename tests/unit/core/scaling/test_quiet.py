"""Since when nobody has asked: of every pod it must be known, and for all of the time."""

from dataclasses import dataclass
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_operator.core.scaling.exposition import SampleError
from llm_operator.core.scaling.load import Track, quiet
from llm_operator.core.scaling.sample import sample
from tests.unit.core.scaling.pods import EXPECTED, asked, at, told


def heard(*readings: tuple[float, float | None, float], pod: int = 1) -> Track:
    """Return what a pod has told: at which second how many requests were there, and how many had been answered."""
    first, *others = (asked(second, pod, open=there, answered=done) for second, there, done in readings)
    track = Track((first,))
    for each in others:
        track = track.hear(each)
    return track


def without(name: str) -> bytes:
    return b"\n".join(line for line in told().split(b"\n") if not line.startswith(name.encode()))


def since(**tracks: Track) -> timedelta | None:
    return quiet(tracks, list(tracks), at(20))


def test_nobody_has_asked_since_the_first_reading_that_says_so() -> None:
    assert since(a=heard((0, 1, 7), (5, 0, 8), (10, 0, 8), (15, 0, 8))) == timedelta(seconds=10)


def test_the_pod_that_was_asked_last_counts() -> None:
    assert since(a=heard((0, 0, 7), (15, 0, 7)), b=heard((10, 0, 8), (15, 0, 8), pod=2)) == timedelta(seconds=5)


def test_a_request_that_came_and_went_between_two_readings_was_one() -> None:
    assert since(a=heard((0, 0, 7), (10, 0, 7), (15, 0, 8))) is None


def test_a_request_that_is_there_is_one_however_long_it_takes() -> None:
    assert since(a=heard((0, 1, 7), (10, 1, 7), (15, 1, 7))) is None


def test_silence_for_a_while_hides_nothing_that_was_counted() -> None:
    assert quiet({"a": heard((0, 0, 7), (100, 0, 7))}, ["a"], at(101)) == timedelta(seconds=100)
    assert quiet({"a": heard((0, 0, 7), (100, 0, 9))}, ["a"], at(101)) is None


def test_what_a_pod_told_before_the_clock_was_set_back_says_nothing_of_now() -> None:
    before = heard((3600, 0, 7), (3700, 0, 7))
    assert quiet({"a": before}, ["a"], at(20)) is None
    after = before.hear(asked(21, 1, answered=7)).hear(asked(26, 1, answered=7))
    assert quiet({"a": after}, ["a"], at(26)) == timedelta(seconds=5)


def test_of_a_pod_that_is_silent_or_tells_nothing_of_requests_nothing_is_known() -> None:
    known = heard((0, 0, 7), (15, 0, 7))
    assert quiet({}, [], at(20)) is None
    assert quiet({"a": known}, ["a", "b"], at(20)) is None
    assert quiet({"a": known}, ["a"], at(31)) is None
    assert since(a=known, b=heard((15, 0, 7), pod=2)) is None
    assert since(a=known, b=heard((0, None, 7), (15, None, 7), pod=2)) is None


def test_two_pods_that_tell_the_figures_of_one_are_not_believed() -> None:
    known = heard((0, 0, 7), (15, 0, 7))
    assert since(a=known, b=known) is None


def test_an_engine_that_began_anew_was_asked_then() -> None:
    track = heard((0, 0, 7), (10, 0, 7))
    assert track.hear(asked(15, 2, answered=7)).quiet_since is None


def test_a_sidecar_tells_what_it_has_and_has_answered() -> None:
    found = sample(told(), EXPECTED, at(0))
    assert (found.open, found.answered) == (0, 0)


def test_a_sidecar_of_before_scales_with_its_load_and_is_never_quiet() -> None:
    assert sample(without("llm_sidecar_inflight"), EXPECTED, at(0)).open is None
    with pytest.raises(SampleError):
        sample(without("llm_sidecar_held"), EXPECTED, at(0))


@dataclass(frozen=True)
class Turn:
    """A few seconds of a pod: requests that come and go in it, requests that are there at its end, and whether it tells of that."""

    seconds: int
    ended: int
    there: int
    tells: bool
    restarts: bool


turns = st.builds(
    Turn,
    st.integers(1, 20),
    st.sampled_from([0, 0, 0, 1]),
    st.sampled_from([0, 0, 0, 1]),
    st.booleans(),
    st.sampled_from([False] * 9 + [True]),
)


@given(history=st.lists(turns, max_size=60))
def test_whatever_is_told_and_not_told_it_is_never_quiet_for_longer_than_it_was(history: list[Turn]) -> None:
    track, now, busy, answered, process = Track((asked(0, 1),)), 0.0, 0.0, 0, 1
    there, known = 0, 0.0
    for turn in history:
        now += turn.seconds
        if turn.restarts:
            answered, process, there = 0, process + 1, 0
        answered += turn.ended + there
        there = turn.there
        if turn.ended or turn.there:
            busy = now
        if turn.tells:
            track = track.hear(asked(now, process, open=there, answered=answered))
            known = now - busy
        found = quiet({"a": track}, ["a"], at(now))
        assert found is None or found <= timedelta(seconds=known)
