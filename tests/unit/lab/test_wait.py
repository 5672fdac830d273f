import time

import pytest

from tests.lab.wait import WaitTimeoutError, until


def test_the_first_true_value_is_returned() -> None:
    values = iter([0, None, 7])
    assert until(lambda: next(values), timeout_s=1, what="seven", interval_s=0) == 7


def test_an_expected_error_counts_as_not_yet_and_is_told_at_the_end() -> None:
    def refused() -> bool:
        raise ConnectionRefusedError("nobody listens")

    with pytest.raises(WaitTimeoutError, match=r"gave up after 0\.02 s waiting for the server: ConnectionRefusedError: nobody listens"):
        until(refused, timeout_s=0.02, what="the server", interval_s=0.001)


def test_a_mistake_in_the_condition_is_not_swallowed() -> None:
    with pytest.raises(TypeError):
        until(lambda: len(3), timeout_s=1, what="a length")  # type: ignore[arg-type]  # the mistake is the point


def test_the_condition_is_asked_at_least_once_and_not_again_after_the_time() -> None:
    asked = []
    start = time.monotonic()
    with pytest.raises(WaitTimeoutError):
        until(lambda: asked.append(1), timeout_s=0, what="never", interval_s=5)
    assert len(asked) == 1
    assert time.monotonic() - start < 1


def test_what_runs_between_two_questions_runs_while_waiting() -> None:
    turns: list[int] = []
    until(lambda: len(turns) == 3, timeout_s=1, what="three turns", interval_s=0, between=lambda: turns.append(1))
    assert len(turns) == 3
