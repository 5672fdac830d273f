"""Pods together: the silent ones count as the others do, and too many of them mean that nothing is known."""

from dataclasses import replace

import pytest

from llm_operator.core.scaling.load import Blind, Load, Track, observe
from llm_operator.core.scaling.reasons import ScaleReason
from llm_operator.core.scaling.sample import Sample
from tests.unit.core.scaling.pods import CAPACITY, at, reading, refusing


def track(*samples: Sample) -> Track:
    found = Track(samples[:1])
    for each in samples[1:]:
        found = found.hear(each)
    return found


def steady(pod: int, until_s: int = 120, rate: float = 100, **now: float) -> Track:
    """Return the readings of a pod that reads prompts at one rate."""
    return track(*(reading(second, pod, prefilled=rate * second, **now) for second in range(0, until_s + 1, 5)))


def test_load_is_that_of_all_pods() -> None:
    tracks = {str(pod): steady(pod, running=3, waiting=1) for pod in range(4)}
    assert observe(tracks, tracks.keys(), at(120)) == Load(4, 4, 12, 4, 0, 400, 400, 400)


def test_a_silent_pod_counts_as_the_others_do() -> None:
    tracks = {str(pod): steady(pod, running=3) for pod in range(3)} | {"3": steady(3, until_s=60, running=50)}
    found = observe(tracks, tracks.keys(), at(120))
    assert isinstance(found, Load)
    assert (found.heard, found.running) == (3, 12)
    assert found.prefill_tokens_per_s == pytest.approx(400)


def test_too_many_silent_pods_make_it_unknown() -> None:
    tracks = {"0": steady(0), "1": steady(1, until_s=100)}
    found = observe(tracks, ["0", "1"], at(120))
    assert isinstance(found, Blind)
    assert (found.reason, found.message) == (ScaleReason.METRICS_STALE, "1 of 2 ready pods have told their load within 15 s")


def test_a_pod_that_was_never_heard_is_silent() -> None:
    found = observe({}, ["0"], at(0))
    assert isinstance(found, Blind)
    assert found.reason is ScaleReason.METRICS_STALE


def test_pods_that_tell_the_same_process_are_not_believed() -> None:
    tracks = {"a": steady(0), "b": steady(0), "c": steady(1)}
    found = observe(tracks, tracks.keys(), at(120))
    assert isinstance(found, Blind)
    assert found.reason is ScaleReason.METRICS_STALE


def test_a_pod_that_says_it_works_and_counts_nothing_is_not_believed() -> None:
    for pod, running in (("working", 3), ("idle", 0)):
        still = track(*(reading(second, prefilled=500, running=running) for second in range(0, 31, 5)))
        assert still.stands_still is (pod == "working")
        found = observe({pod: still}, [pod], at(30))
        assert isinstance(found, Blind) is (pod == "working")
    assert not track(*(reading(second, prefilled=second // 15, running=3) for second in range(0, 31, 5))).stands_still
    assert not track(reading(0, running=3), reading(14, running=3)).stands_still


def test_what_was_done_while_figures_stood_still_does_not_come_at_once() -> None:
    still = track(*(reading(second, prefilled=500, running=3) for second in range(0, 31, 5)))
    assert still.hear(reading(35, prefilled=50_000, running=3)).samples == (reading(35, prefilled=50_000, running=3),)


def test_more_than_can_have_been_read_since_does_not_come_at_once() -> None:
    """In a hundred steps 8,192 tokens each, and prompts that were begun before and were in the cache."""
    most = 101 * 8192 + 100_000
    assert len(track(reading(0), reading(5, prefilled=most, steps=100)).samples) == 2
    jumped = track(reading(0), reading(5, prefilled=most + 1, steps=100))
    assert (len(jumped.samples), jumped.restarted) == (1, True)
    unknown = [replace(each, kv_tokens=0) for each in (reading(0), reading(5, prefilled=most + 1, steps=100))]
    assert len(track(*unknown).samples) == 2, "how long a prompt may be is not known"


def test_steps_of_far_more_time_than_has_passed_do_not_come_at_once() -> None:
    gaps = {"gaps": 100, "gap_seconds": 5}
    assert len(track(reading(0), reading(5, steps=3000, **gaps)).samples) == 2
    assert len(track(reading(0), reading(5, steps=3001, **gaps)).samples) == 1


def test_while_no_pod_takes_requests_nothing_is_known() -> None:
    found = observe({}, (), at(0))
    assert isinstance(found, Blind)
    assert found.reason is ScaleReason.NO_READY_POD


def test_one_reading_says_nothing_about_a_rate() -> None:
    found = observe({"0": track(reading(0), reading(5))}, ["0"], at(5))
    assert isinstance(found, Blind)
    assert found.reason is ScaleReason.OBSERVING


def test_the_higher_of_two_windows_counts() -> None:
    burst = track(*(reading(second, prefilled=100 * max(second - 90, 0)) for second in range(0, 121, 5)))
    over = track(*(reading(second, prefilled=100 * min(second, 90)) for second in range(0, 121, 5)))
    for each, rate in ((burst, 100), (over, 100 * 60 / 90)):
        found = observe({"0": each}, ["0"], at(120))
        assert isinstance(found, Load)
        assert max(found.prefill_tokens_per_s, found.prefill_tokens_per_s_short) == pytest.approx(rate)


def test_the_last_seconds_count_less_what_may_be_chance() -> None:
    """A hundred prompts of a hundred tokens within five seconds may be eighty as well."""
    quiet = [reading(second, prompts=second, prompt_sum=100 * second, prefilled=100 * second) for second in range(0, 116, 5)]
    burst = track(*quiet, reading(120, prompts=215, prompt_sum=21_500, prefilled=21_500))
    found = observe({"0": burst}, ["0"], at(120))
    assert isinstance(found, Load)
    assert found.prefill_tokens_per_s_short == pytest.approx((10_000 + 2 * 500) / 15)
    assert found.prefill_tokens_per_s_now == pytest.approx(100 * (100 - 2 * 10) / 5)


def test_a_pod_that_has_just_come_adds_what_it_did_and_no_more() -> None:
    tracks = {"0": steady(0), "1": track(reading(110, 1), reading(115, 1, prefilled=500), reading(120, 1, prefilled=1000))}
    found = observe(tracks, tracks.keys(), at(120))
    assert isinstance(found, Load)
    assert found.prefill_tokens_per_s_short == pytest.approx(100 + 1000 / 15)


def test_what_waits_grows_by_what_comes_and_does_not_begin() -> None:
    growing = track(*(reading(second, waiting=2 * second) for second in range(0, 121, 5)))
    falling = track(*(reading(second, waiting=500 - 2 * second) for second in range(0, 121, 5)))
    for each, rate in ((growing, 2), (falling, -2)):
        found = observe({"0": each}, ["0"], at(120))
        assert isinstance(found, Load)
        assert found.queued_per_s == pytest.approx(rate)


def waits(*waiting: float) -> Load:
    """Return the load of pods that can each read ten prompts a second, and of which so many requests wait, ten seconds ago none."""
    tracks = {str(pod): track(reading(0, pod), reading(10, pod, waiting=each)) for pod, each in enumerate(waiting)}
    found = observe(tracks, tracks.keys(), at(10), CAPACITY)
    assert isinstance(found, Load)
    return found


def test_what_waits_counts_of_each_pod_up_to_twice_what_its_peers_have_and_what_it_works_off_in_fifteen_seconds() -> None:
    assert waits(100, 100, 1e6).waiting == 100 + 100 + (2 * 100 + 150)
    assert waits(100, 100, 1e6).queued_per_s == pytest.approx(waits(100, 100, 350).queued_per_s)
    assert waits(100, 100, 350).waiting == 550
    assert waits(0, 0, 0, 1e6, 1e6).waiting == 2 * 150


def test_with_one_peer_nobody_can_tell_which_of_two_is_wrong() -> None:
    assert waits(0, 1e6).waiting == 1e6


def test_a_queue_that_was_told_of_and_is_gone_hides_no_more_than_one_can_have_told() -> None:
    tracks = {str(pod): track(reading(0, pod, waiting=before), reading(15, pod, waiting=60)) for pod, before in enumerate((0, 0, 1e6))}
    found = observe(tracks, tracks.keys(), at(15), CAPACITY)
    assert isinstance(found, Load)
    assert found.queued_per_s == pytest.approx((60 + 60 + 60 - (2 * 60 + 150)) / 15)


def test_requests_that_are_worked_on_count_of_each_pod_up_to_twice_what_its_peers_have_and_what_it_carries() -> None:
    tracks = {str(pod): steady(pod, running=each) for pod, each in enumerate((5, 4, 1000))}
    found = observe(tracks, tracks.keys(), at(120), CAPACITY)
    assert isinstance(found, Load)
    assert found.running == 5 + 4 + (2 * 5 + 20)


def refusals(*tracks: Track, now: float) -> float:
    found = observe({str(pod): each for pod, each in enumerate(tracks)}, [str(pod) for pod in range(len(tracks))], at(now))
    assert isinstance(found, Load)
    return found.refused_per_s


def test_what_is_refused_is_what_is_still_refused() -> None:
    """Three a second all the time; ten within the last five seconds, and none in them."""
    assert refusals(track(*(refusing(second, 3 * second) for second in range(0, 31, 5))), now=30) == pytest.approx(3)
    assert refusals(track(*(refusing(second, 10 * (second == 30)) for second in range(0, 31, 5))), now=30) == pytest.approx(10 / 15)
    assert refusals(track(*(refusing(second, 3 * min(second, 25)) for second in range(0, 31, 5))), now=30) == 0


def test_what_was_refused_before_a_pod_came_asks_for_no_other() -> None:
    full = track(*(refusing(second, 3 * second) for second in range(0, 31, 5)))
    assert refusals(full, track(refusing(25, 0, 1), refusing(30, 0, 1)), now=30) == 0
    assert refusals(full, track(*(refusing(second, 0, 1) for second in (20, 25, 30))), now=30) == pytest.approx(3)


def test_a_count_of_refusals_that_runs_backwards_is_none() -> None:
    assert refusals(track(*(refusing(second, 300 - second) for second in range(0, 31, 5))), now=30) == 0


def test_between_two_readings_a_value_is_on_the_line() -> None:
    found = track(reading(0), reading(20, prefilled=200), reading(40, prefilled=200))
    assert found.prefilled(30) == pytest.approx(100)


def test_a_restarted_engine_begins_anew() -> None:
    one, other = reading(0, prefilled=1000), reading(5, prefilled=10)
    assert track(one, other).samples == (other,)
    assert track(one, reading(5, 1, prefilled=2000)).samples == (reading(5, 1, prefilled=2000),)


def test_a_pod_that_has_restarted_counts_as_the_others_do_until_it_is_known_again() -> None:
    before = steady(1, until_s=100, running=9)
    again = before.hear(reading(110, 7, running=1))
    assert again.says_too_little
    found = observe({"0": steady(0, until_s=110, running=4), "1": again, "2": steady(2, until_s=110, running=4)}, ["0", "1", "2"], at(110))
    assert isinstance(found, Load)
    assert (found.heard, found.running) == (2, 12)
    assert not again.hear(reading(120, 7, running=1, prefilled=10)).says_too_little
    assert not track(reading(110, 7)).says_too_little


def test_a_reading_that_comes_late_or_twice_changes_nothing() -> None:
    found = track(reading(0), reading(5, prefilled=10))
    assert found.hear(reading(5, prefilled=20)) is found
    assert found.hear(reading(4, prefilled=5)) is found
    assert found.hear(reading(0, prefilled=5)) is found


def test_when_the_clock_is_set_back_load_is_known_again_after_ten_seconds() -> None:
    """An hour back: what was read before is an hour in the future, and no news."""
    before = {str(pod): track(reading(3595, pod), reading(3600, pod, running=3)) for pod in range(2)}
    found = observe(before, before.keys(), at(0))
    assert isinstance(found, Blind)
    assert found.reason is ScaleReason.METRICS_STALE
    after = {uid: each.hear(reading(2, int(uid), running=250)) for uid, each in before.items()}
    assert {each.says_too_little for each in after.values()} == {True}
    for second in (7, 12):
        after = {uid: each.hear(reading(second, int(uid), running=250)) for uid, each in after.items()}
    found = observe(after, after.keys(), at(12))
    assert isinstance(found, Load)
    assert found.running == 500


def test_a_reading_that_is_a_little_ahead_is_news() -> None:
    tracks = {"0": steady(0)}
    assert isinstance(observe(tracks, ["0"], at(115)), Load)
    assert isinstance(observe(tracks, ["0"], at(114)), Blind)


def test_only_the_longer_window_is_kept() -> None:
    assert [each.at for each in steady(0, until_s=300).samples][:2] == [at(205), at(210)]
