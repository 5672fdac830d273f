"""The need is computed once for all pods; a queue asks for more pods only when those that come cannot work it off."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_operator.core.scaling.capacity import Capacity
from llm_operator.core.scaling.load import Load
from llm_operator.core.scaling.need import DRAIN_S, PREFILL_SHARE, Need, need
from tests.unit.core.scaling.pods import CAPACITY


def load(*, running: float = 0, waiting: float = 0, queued_per_s: float = 0, prefill: float = 0, now: float = 0, ready: int = 4) -> Load:
    return Load(ready, ready, running, waiting, queued_per_s, prefill, prefill, now)


def test_the_larger_of_requests_and_prompts_counts() -> None:
    found = need([(load(running=60, prefill=15_000), CAPACITY)], 4, 120, coming=False)
    assert (found.requests, found.backlog, found.pods) == (3, 0, 3)
    assert found.prefill == pytest.approx(1.5 / PREFILL_SHARE)


def test_what_comes_and_does_not_begin_counts_as_if_it_had() -> None:
    found = need([(load(running=20, queued_per_s=10), CAPACITY)], 4, 120, coming=False)
    assert found.requests == 2
    assert found.prefill == pytest.approx(1 / PREFILL_SHARE)


def test_what_waits_at_one_engine_and_no_more_at_another_has_moved_and_comes_on_top_of_nothing() -> None:
    stays = need([(load(running=20), CAPACITY), (load(), CAPACITY)], 4, 120, coming=False)
    moved = [(load(running=20, queued_per_s=-10), CAPACITY), (load(queued_per_s=10), CAPACITY)]
    assert need(moved, 4, 120, coming=False) == stays
    slower = replace(CAPACITY, request_s=4, prefill_tokens_per_s=5_000)
    found = need([moved[0], (moved[1][0], slower)], 4, 120, coming=False)
    assert found.requests == pytest.approx(stays.requests + 10 * (4 - 2) / 20)
    assert found.prefill == pytest.approx((2 - 1) / PREFILL_SHARE)


def test_a_queue_that_is_worked_off_takes_nothing_from_what_comes() -> None:
    fewer = need([(load(running=20, prefill=8_000, queued_per_s=-10), CAPACITY)], 4, 120, coming=False)
    assert fewer == need([(load(running=20, prefill=8_000), CAPACITY)], 4, 120, coming=False)


def test_what_the_last_seconds_brought_counts_once_it_needs_a_fifth_more_pods_than_there_are() -> None:
    """Two pods are there; one reads 8,000 tokens a second."""
    assert need([(load(prefill=8_000, now=19_000), CAPACITY)], 2, 120, coming=False).prefill == pytest.approx(1)
    assert need([(load(prefill=8_000, now=20_000), CAPACITY)], 2, 120, coming=False).prefill == pytest.approx(2.5)


FULL = Capacity(requests=64, prefill_tokens_per_s=20_000, prompt_tokens=200, request_s=5, calibrated=True)
"""What a pod carries that has 64 places, each taken for five seconds."""


def refuses(ready: int, refused_per_s: float) -> Need:
    return need([(replace(load(running=64 * ready, ready=ready), refused_per_s=refused_per_s), FULL)], ready, 120, coming=False)


def test_whoever_is_refused_needs_a_place_for_as_long_as_others_do() -> None:
    assert refuses(4, 0).requests == pytest.approx(4)
    assert refuses(4, 64 / 5 * 2).requests == pytest.approx(6)
    assert refuses(4, 100).prefill == pytest.approx(1 / PREFILL_SHARE)


def test_however_many_are_refused_they_ask_for_as_many_pods_again_at_most() -> None:
    assert refuses(4, 1e9).requests == 8
    assert refuses(4, 1e9).prefill == pytest.approx(4 / PREFILL_SHARE)


def test_headroom_grows_with_the_square_root() -> None:
    assert [Need(each, 0, 0).with_headroom(0.5) for each in (0, 1, 4, 9)] == [0, 2, 5, 11]


def test_a_queue_counts_as_far_as_the_pods_cannot_work_it_off_in_time() -> None:
    waits = [(load(running=20, waiting=2000), CAPACITY)]
    assert need(waits, 1, 120, coming=False).backlog == pytest.approx(200 / DRAIN_S)
    assert need(waits, 2, 120, coming=False).backlog == pytest.approx(80 / DRAIN_S)
    assert need(waits, 3, 120, coming=False).backlog == 0


def test_a_queue_asks_for_nothing_while_pods_are_coming() -> None:
    assert need([(load(running=20, waiting=2000), CAPACITY)], 1, 120, coming=True).backlog == 0


@given(st.floats(0, 1), st.floats(0, 200), st.floats(0, 500), st.floats(0, 50), st.floats(0, 1e6), st.integers(1, 20))
def test_a_canary_changes_no_total(share: float, running: float, waiting: float, queued: float, prefill: float, pods: int) -> None:
    everything = load(running=running, waiting=waiting, queued_per_s=queued, prefill=prefill, ready=100)
    whole = need([(everything, CAPACITY)], pods, 120, coming=False)
    parts = [
        (load(running=running * part, waiting=waiting * part, queued_per_s=queued * part, prefill=prefill * part, ready=100), CAPACITY)
        for part in (share, 1 - share)
    ]
    assert need(parts, pods, 120, coming=False).pods == pytest.approx(whole.pods, abs=1e-6)
