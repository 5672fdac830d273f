"""When a reading is reason enough to decide at once: it asks for more pods than are known to be needed."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_operator.core.scaling.load import READ_MAX, Blind, Track, held
from llm_operator.core.scaling.need import DRAIN_S, PREFILL_SHARE, Need
from llm_operator.core.scaling.outlook import Alarm, Outlook
from llm_operator.core.scaling.reasons import ScaleReason
from tests.unit.core.scaling.pods import CAPACITY, at, reading

BOTH = Outlook(((frozenset({"0"}), CAPACITY), (frozenset({"1"}), CAPACITY)), pods=2, startup_s=60, coming=False)
"""Two engines with a pod each, of 20 requests at a time."""


def tracks(*running: float) -> dict[str, Track]:
    """Return what pods have told that work on so many requests."""
    return {str(pod): Track((reading(0, pod), reading(12, pod, running=each))) for pod, each in enumerate(running)}


def test_the_need_of_all_engines_is_one() -> None:
    found = BOTH.need(tracks(10, 30), at(12))
    assert isinstance(found, Need)
    assert found.requests == pytest.approx(2)


def test_where_one_engine_is_silent_nothing_is_known() -> None:
    found = BOTH.need(tracks(10), at(12))
    assert isinstance(found, Blind)
    assert found.reason is ScaleReason.METRICS_STALE


def test_where_an_engine_of_few_pods_is_silent_the_need_of_the_others_is_known_to_be_too_low() -> None:
    engines = ((frozenset({"0", "1"}), CAPACITY), (frozenset({"2"}), CAPACITY))
    found = Outlook(engines, pods=3, startup_s=60, coming=False).need(tracks(10, 30), at(12))
    assert isinstance(found, Need)
    assert found.requests == pytest.approx(2)
    assert found.silent is not None
    assert found.silent.message.startswith("0 of 1 ready pods")


def test_a_pod_that_seems_to_read_far_more_than_it_can_counts_for_little_more_than_one() -> None:
    """Each of four reads what half of one could; one of them seems to read a hundred times that, within what so many steps may do."""
    rates = (5_000, 5_000, 5_000, 500_000)
    told = {
        str(pod): Track(tuple(reading(second, pod, running=1, prefilled=rate * second, steps=100 * second) for second in (0, 5, 10, 15)))
        for pod, rate in enumerate(rates)
    }
    found = Outlook(((frozenset(told), CAPACITY),), pods=4, startup_s=60, coming=False).need(told, at(15))
    assert isinstance(found, Need)
    assert found.prefill == pytest.approx((3 * 0.5 + READ_MAX) / PREFILL_SHARE)


@given(st.floats(0, 1), st.integers(0, 24), st.booleans())
def test_what_a_canary_takes_over_counts_once_at_every_moment(share: float, readings: int, just_come: bool) -> None:
    """Three pods read 15,000 tokens a second; at 60 s a part of that goes to a canary that has just come, or was there before."""
    rate, seconds = 15_000, range(0, 61 + 5 * readings, 5)
    moved = [share * 5_000 * max(second - 60, 0) for second in seconds]
    told = {
        str(pod): Track(tuple(reading(at_s, pod, prefilled=5_000 * at_s - gone) for at_s, gone in zip(seconds, moved, strict=True)))
        for pod in range(3)
    }
    canary = [reading(at_s, 3, prefilled=3 * gone) for at_s, gone in zip(seconds, moved, strict=True)]
    engines = ((frozenset(told), CAPACITY), (frozenset({"3"}), replace(CAPACITY, prefill_tokens_per_s=20_000)))
    told["3"] = Track(tuple(canary[12 * just_come :]))
    found = Outlook(engines, pods=4, startup_s=60, coming=False).need(told, at(seconds[-1]))
    assert isinstance(found, Need)
    own, taken = (1 - share) * rate / 10_000, share * rate / 20_000
    known = own + taken if found.silent is None else own
    most = max(known, rate / 10_000) if readings < 18 else known  # the longest window still has what was before
    assert known - 1e-9 <= found.prefill * PREFILL_SHARE <= most + 1e-9


def test_what_is_held_elsewhere_waits_for_these_pods() -> None:
    """Ten requests a second are what a pod works off, of which each has ten already: 2,000 take 200 s, and another pod 60."""
    waits = replace(BOTH, held=((held(2000), CAPACITY),))
    found, idle = waits.need(tracks(20, 20), at(12)), BOTH.need(tracks(20, 20), at(12))
    assert isinstance(found, Need)
    assert isinstance(idle, Need)
    assert found.backlog == pytest.approx(200 / DRAIN_S)
    assert idle.backlog == 0


def test_without_an_engine_that_serves_nothing_is_known() -> None:
    found = Outlook((), pods=1, startup_s=60, coming=True).need(tracks(10), at(12))
    assert isinstance(found, Blind)
    assert found.reason is ScaleReason.NO_READY_POD


@pytest.mark.parametrize(
    ("running", "known", "most", "rings"),
    [
        ((10, 10), 2, 9, False),
        ((40, 30), 2, 9, True),
        ((40, 30), 5, 9, False),
        ((90, 90), 5, 5, False),
        ((90,), 2, 9, False),
    ],
    ids=["it fits", "more are needed", "that was known", "no more may be", "one is silent"],
)
def test_the_alarm_rings_for_more_than_is_known(running: tuple[float, ...], known: int, most: int, rings: bool) -> None:
    assert Alarm(BOTH, headroom=0.25, most=most, known=known).rings(tracks(*running), at(12)) is rings
