"""Whatever load, silence and canary a fleet goes through: the rules hold, from the readings to the decision."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_operator.core.scaling.load import SHORT_S
from llm_operator.core.scaling.need import Need
from llm_operator.core.scaling.reasons import ScaleReason
from tests.properties import tried
from tests.unit.core.scaling.fleet import RULES, STARTUP_S, TURN_S, Simulated, enough_for
from tests.unit.core.scaling.pods import CAPACITY, at

START_TURNS = STARTUP_S // TURN_S
WAITS_MAX = SHORT_S / CAPACITY.pod_seconds

_Phase = tuple[float, int, frozenset[int], bool, int | None]
_phase = st.tuples(
    st.floats(0, 80), st.integers(1, 25), st.frozensets(st.integers(0, 8), max_size=6), st.booleans(), st.none() | st.integers(0, 100)
)
_phases = st.lists(_phase, min_size=1, max_size=6)


@tried(30)
@given(_phases)
def test_rules_hold_through_any_history(phases: list[_Phase]) -> None:
    """A canary comes, has another share and goes as the load and the silent pods change; what must hold is looked at in every turn."""
    world = Simulated()
    for requests_per_s, turns, silent, restarted, share in phases:
        if restarted:
            world.another_operator()
        if share is not None:
            world.share, world.ends = share, False
        elif world.share is not None:
            world.promote() if world.share > 50 else world.abort()
        for _ in range(turns):
            world.turn(requests_per_s, dict.fromkeys(silent, "no answer"))


@tried(20)
@given(st.floats(1, 60), st.none() | st.integers(0, 100))
def test_however_long_requests_wait_for_the_pods_that_come_no_more_are_asked_for(requests_per_s: float, share: int | None) -> None:
    world = Simulated(share=share)
    for _ in range(START_TURNS):
        assert world.turn(requests_per_s).replicas <= max(enough_for(requests_per_s), 2)


@tried(10)
@given(st.integers(10, 30), st.integers(31, 60), st.integers(10, 100))
def test_while_pods_come_for_a_load_that_has_grown_a_canary_asks_for_no_more(before: int, after: int, share: int) -> None:
    world = Simulated(enough_for(before), share=share)
    world.turns(2 * START_TURNS, before)
    for _ in range(START_TURNS):
        assert world.turn(after).replicas <= enough_for(after)


@tried(10)
@given(st.floats(1, 60))
def test_enough_pods_come_for_any_load_and_stay(requests_per_s: float) -> None:
    world = Simulated()
    world.turns(60, requests_per_s)
    assert world.asked >= min(max(enough_for(requests_per_s), 1), RULES.most) - 1
    for _ in range(60):
        asked = world.asked
        assert world.turn(requests_per_s).replicas <= asked


@tried(10)
@given(st.integers(1, 70), st.lists(st.integers(0, 100), min_size=1, max_size=3), st.booleans())
def test_whatever_share_a_canary_has_and_whether_it_takes_over_the_total_stays(load: int, shares: list[int], promoted: bool) -> None:
    world = Simulated(enough_for(load))
    world.turns(20, load)
    for world.share in shares:
        _stays(world, load, 2 * START_TURNS)
    world.promote() if promoted else world.abort()
    _stays(world, load, 3 * START_TURNS)
    assert world.share is None, "it is over"


def _stays(world: Simulated, load: float, turns: int) -> None:
    for _ in range(turns):
        assert world.turn(load).replicas == enough_for(load)


@tried(20)
@given(st.integers(0, 100), st.lists(st.tuples(st.floats(0, 70), st.integers(1, 10)), min_size=1, max_size=6))
def test_the_pods_of_a_canary_count_as_if_they_were_of_the_one_engine(share: int, loads: list[tuple[float, int]]) -> None:
    """That is so while no pod is far from the others: whether it is depends on whom it is compared with."""
    world = Simulated(4, share=share)
    for requests_per_s, turns in loads:
        for _ in range(turns):
            world.turn(requests_per_s)
            apart, whole = (each.need(world.tracks, at(world.seconds)) for each in (world.outlook, world.together))
            if isinstance(apart, Need) and isinstance(whole, Need) and all(each.waiting <= WAITS_MAX for each in world.pods):
                assert apart.pods == pytest.approx(whole.pods) or (apart.silent is not None and apart.pods < whole.pods)


@tried(5)
@given(st.integers(0, 100), st.floats(1, 10))
def test_none_goes_while_there_is_a_canary_however_long_fewer_are_enough(share: int, load: float) -> None:
    world = Simulated(6, share=share)
    for _ in range(40):
        assert world.turn(load).replicas == 6
    world.abort()
    world.turns(3 * START_TURNS, load)
    assert world.asked < 6


def test_an_operator_that_begins_anew_under_load_moves_nothing_for_two_minutes() -> None:
    world = Simulated()
    world.turns(60, 40)
    there = world.asked
    world.another_operator()
    for _ in range(24):
        assert world.turn(40).replicas == there


def test_silence_of_all_pods_keeps_them_for_as_long_as_it_lasts() -> None:
    world = Simulated()
    world.turns(60, 40)
    there, everyone = world.asked, dict.fromkeys(range(50), "no answer")
    for _ in range(200):
        found = world.turn(0, everyone)
        assert found.replicas == there or found.reason is not ScaleReason.METRICS_STALE
    assert (world.asked, found.reason) == (there, ScaleReason.METRICS_STALE)
