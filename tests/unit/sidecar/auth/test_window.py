"""A window of a minute is never too generous, and says truly when there is room again."""

from hypothesis import given
from hypothesis import strategies as st

from llm_sidecar.auth.window import Window

_steps = st.lists(st.tuples(st.floats(0, 40), st.integers(1, 50)), max_size=40)


@given(_steps)
def test_it_counts_all_of_the_last_60_seconds_and_nothing_older_than_61(steps: list[tuple[float, int]]) -> None:
    window, now, past = Window(), 1000.0, list[tuple[float, int]]()
    for pause_s, amount in steps:
        now += pause_s
        window.add(now, amount)
        past.append((now, amount))
        assert window.used >= sum(each for at, each in past if now - at <= 60)
        assert window.used <= sum(each for at, each in past if now - at <= 61)


@given(_steps, st.integers(0, 100))
def test_after_the_time_it_says_there_is_room_and_not_two_seconds_before(steps: list[tuple[float, int]], most: int) -> None:
    window, now = Window(), 1000.0
    for pause_s, amount in steps:
        now += pause_s
        window.add(now, amount)
    wait_s = window.wait_s(now, most)
    assert (wait_s == 0) == (window.used <= most)
    if wait_s > 2:
        window.roll(now + wait_s - 2)
        assert window.used > most
    window.roll(now + wait_s)
    assert window.used <= most


def test_what_is_taken_back_does_not_count_and_what_is_gone_is_not_taken_back() -> None:
    window = Window()
    window.add(1000.5, 3)
    window.take_back(1000.5, 1)
    assert window.used == 2
    window.add(1062.0, 1)
    window.take_back(1000.5, 2)
    assert window.used == 1
