"""Up at once, down one at a time and only after a while, nothing on what is not known; bounds come first."""

from dataclasses import replace
from datetime import timedelta

import pytest

from llm_operator.core.scaling.decide import Decision, Fleet, Memory, Rules, decide
from llm_operator.core.scaling.load import Blind
from llm_operator.core.scaling.need import Need
from llm_operator.core.scaling.reasons import ScaleReason
from tests.unit.core.scaling.pods import at

RULES = Rules(least=1, most=10, headroom=0)
CALM = Memory(at(0), ((at(990), 1),))
BLIND = Blind(ScaleReason.METRICS_STALE, "1 of 4 ready pods have told their load within 15 s")


def needs(pods: float) -> Need:
    return Need(pods, 0, 0)


def decided(asked: int, found: Need | Blind, *, rules: Rules = RULES, memory: Memory | None = None, **fleet: object) -> Decision:
    """Decide when little was needed for long."""
    changed = replace(Fleet(asked), **fleet)  # type: ignore[arg-type]  # passed on to the dataclass as they are
    return decide(CALM if memory is None else memory, rules, changed, found, at(1000))[0]


def test_more_pods_are_asked_for_at_once() -> None:
    found = decided(2, needs(6.5))
    assert (found.replicas, found.reason, found.message) == (7, ScaleReason.LOAD_GREW, "7 are needed, 2 are there or coming")
    assert (found.wanted, found.need) == (7, needs(6.5))


def test_one_pod_goes_when_fewer_were_enough_for_the_whole_window() -> None:
    found = decided(4, needs(2))
    assert (found.replicas, found.reason, found.message) == (3, ScaleReason.LOAD_FELL, "2 were needed at most for 300 s")


def test_the_highest_need_of_the_window_keeps_its_pods() -> None:
    found = decided(4, needs(2), memory=Memory(at(0), ((at(720), 4), (at(900), 2))))
    assert (found.replicas, found.reason) == (4, ScaleReason.FITS)
    assert decided(4, needs(2), memory=Memory(at(0), ((at(600), 4), (at(900), 2)))).replicas == 3


def test_none_goes_before_a_whole_window_was_seen() -> None:
    found = decided(4, needs(2), memory=Memory(at(800), ((at(800), 2),)))
    assert (found.replicas, found.reason, found.message) == (4, ScaleReason.HOLDING, "2 would be enough for 4; the next may go in 100 s")
    assert decided(4, needs(2), memory=Memory()).replicas == 4


def test_the_next_goes_after_a_pause() -> None:
    memory = Memory(at(0), ((at(990), 1),), lowered=at(970))
    assert decided(4, needs(2), memory=memory).reason is ScaleReason.HOLDING
    found, after = decide(memory, RULES, Fleet(4), needs(2), at(1030))
    assert (found.replicas, after.lowered) == (3, at(1030))


def test_a_need_that_leaves_out_who_is_silent_is_enough_for_more_and_never_for_fewer() -> None:
    more = decided(3, replace(needs(5), silent=BLIND))
    assert (more.replicas, more.reason) == (5, ScaleReason.LOAD_GREW)
    for pods in (1, 3):
        assert decided(3, replace(needs(pods), silent=BLIND)).reason is ScaleReason.METRICS_STALE
    full = decided(10, replace(needs(12), silent=BLIND))
    assert (full.replicas, full.reason) == (10, ScaleReason.METRICS_STALE)


def test_what_is_not_known_changes_nothing_and_counts_as_what_is_there() -> None:
    found, memory = decide(CALM, RULES, Fleet(4), BLIND, at(1000))
    assert (found.replicas, found.reason, found.wanted) == (4, ScaleReason.METRICS_STALE, None)
    assert found.message == "1 of 4 ready pods have told their load within 15 s; 4 stay"
    assert decide(memory, RULES, Fleet(4), needs(1), at(1280))[0].replicas == 4


@pytest.mark.parametrize("found", [needs(3), BLIND])
def test_bounds_come_first(found: Need | Blind) -> None:
    low, high = decided(1, found, rules=replace(RULES, least=3)), decided(8, found, rules=replace(RULES, most=5), memory=Memory())
    assert (low.replicas, low.reason) == (3, ScaleReason.BELOW_MINIMUM)
    assert (high.replicas, high.reason) == (5, ScaleReason.ABOVE_MAXIMUM)


def test_the_maximum_is_named_when_more_is_needed() -> None:
    found = decided(10, needs(14))
    assert (found.replicas, found.reason) == (10, ScaleReason.AT_MAXIMUM)
    assert found.message == "14 are needed, 10 is the most there may be"


def test_no_more_are_asked_for_while_one_cannot_be_had() -> None:
    assert decided(4, needs(6), pending=timedelta(seconds=300)).replicas == 6
    found = decided(4, needs(6), pending=timedelta(seconds=301))
    assert (found.replicas, found.reason) == (4, ScaleReason.REPLICAS_UNSCHEDULABLE)


@pytest.mark.parametrize(("ceiling", "replicas"), [(5, 5), (3, 4)])
def test_a_budget_allows_no_more_and_takes_none_away(ceiling: int, replicas: int) -> None:
    found = decided(4, needs(8), ceiling=ceiling)
    assert (found.replicas, found.reason, found.message) == (
        replicas,
        ScaleReason.BUDGET_EXCEEDED,
        f"8 are needed, the budget allows {ceiling}",
    )
    assert decided(4, needs(5), ceiling=5).reason is ScaleReason.LOAD_GREW


@pytest.mark.parametrize(
    ("fleet", "reason"), [(Fleet(4, stepping=True), ScaleReason.ROLLOUT_STEP), (Fleet(4, calibrated=False), ScaleReason.UNCALIBRATED)]
)
def test_none_goes_while_a_rollout_counts_on_it_or_nobody_knows_what_it_carries(fleet: Fleet, reason: ScaleReason) -> None:
    found, _ = decide(CALM, RULES, fleet, needs(1), at(1000))
    assert (found.replicas, found.reason) == (4, reason)


@pytest.mark.parametrize(("pods", "replicas"), [(0, 3), (0.06, 3), (0.061, 4)], ids=["nothing", "next to nothing", "something"])
def test_an_idle_pod_goes_although_nobody_knows_what_it_carries(pods: float, replicas: int) -> None:
    """A pod carries a fiftieth of what is assumed at least: three of them what 0.06 would."""
    assert decided(4, needs(pods), calibrated=False).replicas == replicas
    assert decided(4, needs(pods), calibrated=False, memory=Memory(at(0), ((at(720), 4), (at(900), 1)))).replicas == 4


def test_memory_stays_small() -> None:
    memory = Memory()
    for second in range(0, 3600, 5):
        _, memory = decide(memory, RULES, Fleet(3), needs(2), at(second))
    assert len(memory.peaks) <= 23
