"""Confidence sequences against their published values, and what they say of requests still needed."""

import math

import pytest

from llm_operator.core.gates import sequence
from llm_operator.core.gates.contrast import Contrast, Estimate

ESTIMATE = Estimate(0.0, 0.4 / 120, 120, 1080, 200, 199)


@pytest.mark.parametrize(("n", "percent"), [(60, 35.6), (120, 20.1), (240, 12.5), (480, 8.3), (1000, 5.7)])
def test_half_widths_are_the_known_ones(n: int, percent: float) -> None:
    parameter = sequence.rho(0.1, sequence.NON_INFERIORITY_TIME)
    assert parameter == pytest.approx(0.15419, abs=1e-5)
    assert math.expm1(sequence.radius(n, 0.4, 0.1, parameter)) * 100 == pytest.approx(percent, abs=0.1)


def test_with_the_requests_it_asks_for_the_bound_is_inside() -> None:
    more = sequence.more(ESTIMATE, 0.1, 0.05, sequence.NON_INFERIORITY_TIME)
    assert more
    n = ESTIMATE.canary + more
    assert sequence.bound(Estimate(0.0, 0.4 / n, n, 9 * n, 200, 199), 0.05, sequence.NON_INFERIORITY_TIME) < 0.1001


def test_no_number_of_requests_makes_room_where_there_is_none() -> None:
    assert sequence.more(ESTIMATE, 0.0, 0.05, sequence.NON_INFERIORITY_TIME) is None
    assert sequence.more(ESTIMATE, 1e-9, 0.05, sequence.NON_INFERIORITY_TIME) is None


def test_one_bucket_bounds_nothing() -> None:
    assert sequence.bound(Estimate(0.0, 0.1, 9, 9, 1, 0), 0.05, sequence.DETECTION_TIME) == float("inf")


def test_minutes_without_a_control_are_left_out() -> None:
    assert Contrast().add([(1, 5.0, 1.0)], [(2, 4.0, 1.0)]).unmatched == 5
    assert Contrast().add([], [(2, 4.0, 1.0)]) == Contrast()


def test_what_moves_both_arms_cancels() -> None:
    found = Contrast()
    for level, weight in ((0.0, 1.0), (3.0, 40.0)):
        canary = [(bucket, weight, weight * (level + 0.1)) for bucket in range(50)]
        found = found.add(canary, [(bucket, 10.0, 10.0 * level) for bucket in range(50)])
    estimate = found.estimate()
    assert estimate
    assert estimate.difference == pytest.approx(0.1)
