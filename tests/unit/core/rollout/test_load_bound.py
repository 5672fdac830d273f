"""A new engine has no more requests than its pods can carry as the load is, and no old pod goes while the load needs it."""

from typing import Any

import pytest

from llm_sidecar.table import WHOLE
from tests.unit.core.rollout.engines import OTHER, Watched, by_steps

HALF: list[dict[str, Any]] = [{"weightPercent": 50, "minDuration": "10s"}]


def tried(replicas: int, running: int, steps: list[dict[str, Any]] | None = None) -> Watched:
    """A change that is at its first step, with so many requests in each pod of a hundred, of which 80 may be used."""
    one = Watched.serving(replicas, steps=steps or HALF)
    one.sim.running = running
    one.sim.edit(model=OTHER)
    one.until("Stepping")
    one.run(3)
    return one


def test_a_pod_on_trial_has_no_more_requests_than_it_can_carry_with_headroom_as_the_load_is() -> None:
    one = tried(4, 90)
    load = 90 * 5  # those of the pod on trial count too
    assert 0.75 * 80 / load <= one.share() / WHOLE <= 80 / load < 1 / 4
    assert one.rollout["reason"] == "WeightCappedByCapacity"
    assert "of which its pods can carry 15%" in one.rollout["message"]


@pytest.mark.parametrize(("old", "new"), [(None, 40), (80, 40), (40, 80)])
def test_what_the_engine_that_computes_fewer_requests_at_once_may_have_bounds_the_share(old: int | None, new: int) -> None:
    one = Watched.serving(4, steps=HALF)
    if old is not None:
        one.sim.edit(engine={"args": {"max-num-seqs": str(old)}}, rollout={})
        one.sim.settle()
        one.sim.edit(rollout=by_steps(HALF))
    one.sim.running = 50
    one.sim.edit(engine={"args": {"max-num-seqs": str(new)}})
    one.until("Stepping")
    one.run(3)
    load = 50 * 5
    assert 0.75 * 40 * 0.8 / load <= one.share() / WHOLE <= 40 * 0.8 / load < 1 / 4


def test_a_load_that_it_can_carry_leaves_it_one_of_n_and_one_that_nobody_knows_does_so_too() -> None:
    one = tried(4, 20)
    assert one.share() == 2500
    one.sim.slots = None
    one.sim.running = 90
    one.run(3)
    assert one.share() == 2500


def test_its_share_follows_the_load_in_few_tables() -> None:
    one = tried(4, 90)
    before, share = one.table.generation, one.share()
    for running in (91, 95, 92, 88, 90):
        one.sim.running = running
        one.run(1)
    assert (one.table.generation, one.share()) == (before, share)
    one.sim.running = 99
    one.run(3)
    one.sim.running = 30
    one.run(3)
    assert one.share() == 2500
    assert one.table.generation <= before + 3


def test_the_time_of_a_step_goes_on_while_the_load_rises_and_falls() -> None:
    one = tried(2, 10, [{"weightPercent": 50, "minDuration": "10m", "maxDuration": "30m"}])
    since, reasons = one.rollout["since"], set()
    for running in (95, 10, 95, 10):
        one.sim.running = running
        one.tick(120)
        one.run(6)
        reasons.add(one.rollout["reason"])
        assert one.rollout["since"] == since
    assert reasons == {"Stepping", "WeightCappedByCapacity"}
    one.tick(120)
    one.run(6)
    assert one.rollout["state"] == "Promoted"


@pytest.mark.covers
def test_no_old_pod_goes_in_the_ratchet_while_the_load_is_more_than_all_pods_may_have_and_it_says_so() -> None:
    one = tried(4, 20)
    one.until("Ratcheting")
    while one.share() < 5000:
        one.run(1)
    one.sim.running = 95
    one.run(8)
    serving = one.sim.ready_pods()
    one.run(3, 60)
    assert (one.rollout["state"], one.sim.ready_pods(), serving) == ("Ratcheting", 5, 5)
    assert one.asked(one.old) > 0
    capacity = one.condition("CapacityAvailable")
    assert (capacity["status"], capacity["reason"], one.status["reason"]) == ("True", "WeightCappedByCapacity", "WeightCappedByCapacity")
    assert "the load is more than 4 pods may have with headroom" in one.status["message"]
    one.sim.running = 20
    one.until("Promoted")
    assert one.peak == 5


def test_a_rollback_waits_for_no_load() -> None:
    one = tried(4, 20)
    one.until("Promoted", 150)
    one.sim.settle()
    bad = one.status["latestRevision"]
    one.sim.running = 100
    assert one.ask("rollback")["outcome"] == "Done"
    one.run(3)
    one.until("Promoted", 150)
    assert (one.rollout["reason"], one.status["stable"]["revision"] != bad, one.peak) == ("RolledBack", True, 5)
    assert "WeightCappedByCapacity" not in [each["reason"] for each in one.status["history"] if each["revision"] != bad]


def test_without_steps_no_load_holds_a_change_up() -> None:
    one = Watched.serving(2)
    one.sim.running = 100
    one.sim.edit(model=OTHER, rollout={})
    one.sim.settle()
    assert one.status["stable"]["revision"] == one.status["latestRevision"]
