"""The last pod goes when nobody has asked for long, and one comes as soon as somebody waits; everything else follows from the load."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from llm_operator.core.scaling import decide as demand
from llm_operator.core.scaling.decide import Decision, Fleet, Memory, Rules
from llm_operator.core.scaling.load import Blind
from llm_operator.core.scaling.need import Need
from llm_operator.core.scaling.reasons import ScaleReason
from llm_operator.core.scaling.zero import Door, decide
from tests.properties import tried
from tests.unit.core.scaling.pods import at

RULES = Rules(least=1, most=10, headroom=0, idle=timedelta(minutes=15))
LONG, SHORT = timedelta(minutes=15), timedelta(minutes=14)
SERVING = Need(0.0, 0.0, 0.0)
NOBODY_READY = Blind(ScaleReason.NO_READY_POD, "no pod takes requests yet")


def decided(
    asked: int, door: Door, found: Need | Blind = SERVING, *, rules: Rules = RULES, memory: Memory | None = None, **fleet: object
) -> Decision:
    changed = replace(Fleet(asked), **fleet)  # type: ignore[arg-type]  # passed on to the dataclass as they are
    return decide(memory or Memory(at(0)), rules, changed, door, found, at(10_000))[0]


# Down


def test_the_last_pod_goes_when_nobody_has_asked_for_long_enough() -> None:
    found = decided(1, Door(0, LONG))
    assert (found.replicas, found.reason, found.message) == (0, ScaleReason.SCALED_TO_ZERO, "nobody has asked for 900 s")
    assert decided(1, Door(0, SHORT)).replicas == 1


def test_it_does_not_go_while_that_is_not_known_whatever_the_load_is_said_to_be() -> None:
    assert decided(1, Door(0, None)).replicas == 1
    assert decided(1, Door(None, None), Blind(ScaleReason.METRICS_STALE, "nobody was heard")).replicas == 1


def test_it_needs_no_knowledge_of_what_a_pod_carries() -> None:
    assert decided(1, Door(0, LONG), calibrated=False).replicas == 0


def test_of_several_one_goes_a_minute() -> None:
    first, memory = decide(Memory(at(0)), RULES, Fleet(3), Door(0, LONG), SERVING, at(1000))
    assert (first.replicas, first.reason) == (2, ScaleReason.LOAD_FELL)
    second, memory = decide(memory, RULES, Fleet(2), Door(0, LONG), SERVING, at(1005))
    assert (second.replicas, second.reason) == (2, ScaleReason.HOLDING)
    third, memory = decide(memory, RULES, Fleet(2), Door(0, LONG), SERVING, at(1060))
    assert third.replicas == 1
    last, _ = decide(memory, RULES, Fleet(1), Door(0, LONG), SERVING, at(1120))
    assert last.replicas == 0


def test_none_goes_at_a_step_of_a_rollout() -> None:
    assert decided(1, Door(0, LONG), stepping=True).replicas == 1


def test_bounds_come_first() -> None:
    assert decided(12, Door(0, LONG)).replicas < 11


def test_without_leave_to_do_so_nothing_is_different() -> None:
    rules = replace(RULES, idle=None)
    assert decided(1, Door(0, LONG), rules=rules).replicas == 1
    assert decided(0, Door(0, LONG), rules=rules).reason == ScaleReason.BELOW_MINIMUM


# Up


def test_somebody_who_waits_has_a_pod_at_once() -> None:
    found = decided(0, Door(1), NOBODY_READY)
    assert (found.replicas, found.reason, found.message) == (1, ScaleReason.WAKING, "1 request waits for a pod")
    assert decided(0, Door(700), NOBODY_READY).message == "700 requests wait for a pod"


def test_many_who_wait_have_as_many_as_they_need_within_the_bounds() -> None:
    assert decided(0, Door(700), Need(0, 0, 3.2)).replicas == 4
    assert decided(0, Door(700), Need(0, 0, 320)).replicas == 10
    assert decided(0, Door(1), Need(0, 0, 0.001), rules=replace(RULES, headroom=1.0)).replicas == 1


def test_nobody_is_woken_for_nobody() -> None:
    found = decided(0, Door(0), NOBODY_READY)
    assert (found.replicas, found.reason) == (0, ScaleReason.SCALED_TO_ZERO)


def test_while_nobody_knows_who_waits_it_stays_as_it_is_and_says_so() -> None:
    found = decided(0, Door(None), NOBODY_READY)
    assert (found.replicas, found.reason) == (0, ScaleReason.METRICS_STALE)


# Whatever comes

doors = st.builds(Door, st.none() | st.integers(0, 2000), st.none() | st.timedeltas(timedelta(0), timedelta(hours=1)))
founds = st.builds(Need, st.floats(0, 50), st.floats(0, 50), st.floats(0, 50)) | st.sampled_from(
    [NOBODY_READY, Blind(ScaleReason.METRICS_STALE, "1 of 4")]
)
fleets = st.builds(
    Fleet,
    st.integers(0, 14),
    pending=st.none() | st.timedeltas(timedelta(0), timedelta(minutes=10)),
    calibrated=st.booleans(),
    stepping=st.booleans(),
)


@tried(50)
@given(history=st.lists(st.tuples(doors, founds, fleets, st.integers(1, 120)), min_size=1, max_size=20), least=st.integers(0, 3))
def test_every_history_keeps_to_the_bounds_and_goes_to_zero_only_when_that_was_known_for_long(
    history: list[tuple[Door, Need | Blind, Fleet, int]], least: int
) -> None:
    rules = replace(RULES, least=max(least, 1), idle=None if least else RULES.idle)
    memory, asked, seconds = Memory(), history[0][2].asked, 0.0
    for door, found, fleet, wait_s in history:
        seconds += wait_s
        decision, memory = decide(memory, rules, replace(fleet, asked=asked), door, found, at(seconds))
        assert least <= decision.replicas <= rules.most
        if decision.replicas == 0 < asked:
            assert asked == 1
            assert door.quiet is not None
            assert door.quiet >= LONG
            assert not fleet.stepping
        if asked == 0 < decision.replicas and not least:
            assert door.waiting
            assert decision.replicas <= max(1, found.with_headroom(0) if isinstance(found, Need) else 1)
        if isinstance(found, Blind) and door.quiet is None:
            assert decision.replicas >= min(asked, rules.most)
        asked = decision.replicas


@tried(50)
@given(seconds=st.lists(st.integers(1, 30), min_size=1, max_size=60), waiting=st.integers(1, 2000))
def test_a_pod_that_loads_is_neither_given_up_nor_joined_by_another(seconds: list[int], waiting: int) -> None:
    memory, asked, now = Memory(), 0, 0.0
    for wait_s in seconds:
        now += wait_s
        pending = timedelta(seconds=now) if asked else None
        decision, memory = decide(memory, RULES, Fleet(asked, pending), Door(waiting, None), NOBODY_READY, at(now))
        assert decision.replicas == 1
        asked = decision.replicas


@tried(50)
@given(found=founds, fleet=fleets, door=doors)
def test_what_is_not_about_the_last_pod_is_what_the_load_alone_asks_for(found: Need | Blind, fleet: Fleet, door: Door) -> None:
    fleet, door = replace(fleet, asked=max(fleet.asked, 1)), replace(door, quiet=None)
    assert decide(Memory(at(0)), RULES, fleet, door, found, at(900)) == demand.decide(Memory(at(0)), RULES, fleet, found, at(900))
