import pytest

from bench.record import Bound


@pytest.mark.parametrize(("value", "below", "reached"), [(1.1, False, True), (1.2, False, True), (1.4, False, False), (1.6, True, False)])
def test_a_figure_must_stay_under_its_bounds(value: float, below: bool, reached: bool) -> None:
    bound = Bound(floor=1.5, aim=1.2)
    assert (bound.below_floor(value), bound.reached(value)) == (below, reached)


@pytest.mark.parametrize(("value", "below", "reached"), [(0.5, True, False), (0.6, False, False), (0.9, False, True), (1.1, False, True)])
def test_a_figure_may_have_to_reach_its_bounds(value: float, below: bool, reached: bool) -> None:
    bound = Bound(floor=0.6, aim=0.9, at_least=True)
    assert (bound.below_floor(value), bound.reached(value)) == (below, reached)


def test_without_bounds_nothing_is_said() -> None:
    assert not Bound().below_floor(5.0)
    assert Bound().reached(5.0) is None
