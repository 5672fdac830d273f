"""Whatever pods tell, and when: what is wrong never empties a fleet, and of a few pods never makes it grow by more than they are."""

from collections.abc import Collection
from dataclasses import replace
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_operator.core.scaling.exposition import SampleError
from llm_operator.core.scaling.load import HEARD_MIN, STALE_AFTER
from llm_operator.core.scaling.sample import sample
from tests.properties import tried
from tests.unit.core.scaling.fleet import CANARY, RULES, STABLE, TURN_S, Pod, Simulated, enough_for
from tests.unit.core.scaling.pods import EXPECTED, at
from tests.unit.core.scaling.spoiled import BAD, text

FREE = replace(RULES, most=1000)
"""Bounds that nobody would notice wrong figures by."""
EACH_MAX = 3
"""Pods that one with wrong figures asks for at most."""
WARM = 20

GOOD = ""
SILENT = ("no answer", "running is NaN", "waiting is negative", "a counter is negative", "more run than can", "no waiting", "no prompts")
LOW = (GOOD, GOOD, "no answer", "running is NaN", "counts anew", "what it said before", "what it said before", "another pod's figures")


def _histories(bad: Collection[str], pods: int = 12) -> st.SearchStrategy[list[list[str]]]:
    """Return, for each turn, how the figures of each pod are wrong: for one turn, or for longer than it takes fewer pods to be enough."""
    each = st.lists(st.sampled_from(list(bad)), min_size=pods, max_size=pods)
    phases = st.lists(st.tuples(each, st.sampled_from([1, 2, 3, 5, 45])), min_size=2, max_size=8)
    return phases.map(lambda found: [wrong for wrong, turns in found for _ in range(turns)])


def test_a_reading_is_the_same_as_the_text_it_is_read_from() -> None:
    world = Simulated()
    world.turns(3, 15)
    told = world.pods[0].tells(world.seconds)
    assert replace(sample(text(told), EXPECTED, at(world.seconds)), open=None) == told


@pytest.mark.parametrize("bad", [each for each in BAD if BAD[each].endswith(("?", "nan", "-1", "-5", "=5000"))])
def test_what_is_missing_or_cannot_be_is_no_reading(bad: str) -> None:
    with pytest.raises(SampleError):
        sample(text(Simulated().pods[0].tells(0), BAD[bad]), EXPECTED, at(0))


@tried(20)
@given(load=st.integers(10, 60), turns=_histories((GOOD, *BAD), 4), share=st.none() | st.integers(1, 100))
def test_a_few_pods_with_wrong_figures_add_no_more_pods_than_they_are_and_take_none(
    load: int, turns: list[list[str]], share: int | None
) -> None:
    world, there = _steady(load, share), enough_for(load, FREE)
    wrong = [*_few(world.ready(STABLE)), *_few(world.ready(CANARY))]
    for bad in turns:
        world.turn(load, dict(zip(wrong, bad, strict=False)))
        assert there <= world.asked <= there + EACH_MAX * len(wrong)


@tried(10)
@given(load=st.integers(12, 60), how=st.sampled_from([*SILENT, "what it said before", "counts anew"]))
def test_a_few_pods_that_tell_nothing_for_long_count_as_the_others_do(load: int, how: str) -> None:
    world, there = _steady(load, None), enough_for(load, FREE)
    bad = dict.fromkeys(_few(world.pods), how)
    for _ in range(45):
        assert world.turn(load, bad).replicas == there


def _few(pods: list[Pod]) -> list[int]:
    """Return as many of the pods of an engine as may be wrong or silent while what the others tell counts."""
    return [each.number for each in pods[: len(pods) - ceil(HEARD_MIN * len(pods))]]


@tried(10)
@given(load=st.integers(10, 60), turns=_histories(SILENT), share=st.none() | st.integers(1, 100))
def test_while_no_pod_tells_anything_that_can_be_read_none_comes_or_goes(load: int, turns: list[list[str]], share: int | None) -> None:
    world, there = _steady(load, share), enough_for(load, FREE)
    for bad in turns:
        world.turn(0, dict(enumerate(bad)))
        assert world.asked == there


@tried(20)
@given(load=st.integers(10, 60), turns=_histories(LOW), share=st.none() | st.integers(1, 100))
def test_figures_that_begin_anew_stand_still_or_are_of_others_take_no_pod(load: int, turns: list[list[str]], share: int | None) -> None:
    """What was done while they stood still comes at once: it may seem to have come in one turn instead of three, and ask for pods."""
    world, there = _steady(load, share), enough_for(load, FREE)
    for bad in turns:
        world.turn(load, dict(enumerate(bad)))
        assert there <= world.asked <= enough_for(load * STALE_AFTER.total_seconds() / TURN_S, FREE)


def _steady(load: int, share: int | None) -> Simulated:
    """Return a fleet that has had its load for long, of which a canary has a share."""
    world = Simulated(enough_for(load, FREE), rules=FREE)
    world.turns(WARM, load)
    world.share = share
    world.turns(WARM, load)
    return world
