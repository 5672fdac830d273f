"""``capacity.stableFloorPercent``: more old pods make way at once, once the new engine serves, and never more pods are held for it."""

from typing import Any

from tests.unit.core.builders import make_deployment, make_spec
from tests.unit.core.rollout.engines import OTHER, Watched
from tests.unit.core.sim import Sim

QUICK: list[dict[str, Any]] = [{"weightPercent": 5, "minDuration": "2s"}]


def changed(percent: int, steps: list[dict[str, Any]] | None, running: int = 0) -> Watched:
    """A change of the engine of six pods, of which so much has to stay."""
    rollout: dict[str, Any] = {"capacity": {"stableFloorPercent": percent}, **({"engine": {"steps": steps}} if steps else {})}
    one = Watched(Sim(deployment=make_deployment(spec=make_spec(replicas=6, rollout=rollout))), 6, healthy=False)
    one.sim.settle()
    one.sim.running = running
    one.sim.edit(model=OTHER)
    return one


def walk(one: Watched) -> tuple[int, int]:
    """Return how many looks a change takes, and how many pods were ready at least."""
    old, looks, least = one.old, 0, 6
    while one.old == old:
        one.run(1)
        looks, least = looks + 1, min(least, one.sim.ready_pods())
        assert len(one.sim.held()) <= 7
        assert looks < 120
    one.sim.settle()
    assert one.sim.ready_pods() == 6
    return looks, least


def test_half_a_floor_is_faster_holds_no_more_pods_and_keeps_what_is_promised() -> None:
    whole, none_less = walk(changed(100, None))
    half, fewer = walk(changed(50, None))
    assert none_less == 6
    assert 3 <= fewer < 6
    assert half < whole * 2 / 3


def test_a_trial_takes_no_pod_and_a_new_engine_that_never_serves_takes_none_either() -> None:
    one = changed(25, [{"weightPercent": 5, "minDuration": "1h"}])
    one.until("Stepping")
    one.run(5)
    assert one.sim.ready_pods(one.old) == 6
    broken = changed(25, None)
    broken.sim.max_ready = 6
    broken.run(10)
    assert broken.sim.ready_pods(broken.old) == 6


def test_no_pod_goes_that_the_load_is_known_to_need() -> None:
    one = changed(10, QUICK, running=40)
    _, least = walk(one)
    assert least >= 3, "240 requests, of which a pod of a hundred may have 80"
