"""No pod of stable is ready for a minute, and the new engine has no room: a lost pod makes way where that helps, and never a second one."""

from datetime import timedelta
from typing import Any

import pytest

from tests.data.wire import copied
from tests.unit.core.builders import make_config, make_deployment, make_spec
from tests.unit.core.rollout.engines import FULL, OTHER, Watched, by_steps
from tests.unit.core.sim import Sim

LONG = [{"weightPercent": 5, "minDuration": "1h"}]
L4 = {"gpu": "l4"}
SPOT = {"key": "spot", "operator": "Exists", "effect": "NoSchedule"}
PROFILES: dict[str, dict[str, Any]] = {
    "l4": {"resource": "nvidia.com/gpu", "nodeSelector": L4},
    "zone": {"resource": "nvidia.com/gpu", "nodeSelector": {**L4, "zone": "a"}},
    "amd": {"resource": "amd.com/gpu"},
    "spot": {"resource": "nvidia.com/gpu", "nodeSelector": L4, "tolerations": [SPOT]},
    "cpu": {},
}


def waiting(replicas: int, accelerator: dict[str, Any] | None = None, rollout: dict[str, Any] | None = None, on: str = "l4") -> Watched:
    """A change of the engine whose first pod has no room."""
    sim = Sim(config=make_config(acceleratorProfiles=PROFILES))
    asked = by_steps(LONG) if rollout is None else rollout
    sim.deployment = make_deployment(spec=make_spec(replicas=replicas, rollout=asked, accelerator={"profile": on}))
    sim.settle()
    one = Watched(sim, replicas, healthy=False)
    resource = PROFILES[(accelerator or {}).get("profile", "l4")].get("resource", "memory")
    sim.unschedulable = f"0/3 nodes are available: 3 Insufficient {resource}."
    sim.edit(**({"accelerator": accelerator} if accelerator else {"model": OTHER}))
    one.run(6)
    assert (len(one.pods(old=True)), len(one.pods(old=False))) == (replicas, 1)
    return one


def lost(one: Watched, seconds: float = 61) -> Watched:
    """Have no pod of stable ready for so long."""
    one.sim.crashed |= set(one.pods(old=True))
    one.tick()
    one.run(2)
    one.sim.now += timedelta(seconds=seconds)
    return one


@pytest.mark.parametrize("replicas", [1, 4])
@pytest.mark.parametrize(
    ("accelerator", "on"),
    [
        ({"profile": "amd"}, "l4"),
        ({"profile": "l4", "count": 2}, "l4"),
        ({"profile": "zone"}, "l4"),
        ({"profile": "l4"}, "spot"),
        ({"profile": "cpu"}, "l4"),
    ],
    ids=["another resource", "more than a pod frees", "perhaps other nodes", "nodes that it does not tolerate", "no accelerator"],
)
def test_no_pod_of_stable_goes_where_its_accelerator_is_no_use_to_the_canary(replicas: int, accelerator: dict[str, Any], on: str) -> None:
    one = lost(waiting(replicas, accelerator, on=on))
    one.run(6, 10)
    assert (one.asked(one.old), len(one.pods(old=True)), one.rollout["state"]) == (replicas, replicas, "WaitingCapacity")
    one.sim.crashed.clear()
    one.run(3)
    assert (one.sim.ready_pods(one.old), one.share()) == (replicas, 0)


@pytest.mark.parametrize("rollout", [by_steps(LONG), by_steps(LONG, "Replace"), {}], ids=["by steps", "Replace", "without steps"])
def test_one_pod_goes_at_most_however_often_is_looked_and_however_long_it_takes_to_end(rollout: dict[str, Any]) -> None:
    one = waiting(4, rollout=rollout) if rollout != by_steps(LONG, "Replace") else replacing()
    before = one.asked(one.old)
    lost(one)
    one.sim.streaming |= set(one.pods(old=True))
    for _ in range(6):
        one.look()
    one.run(6, 10)
    assert one.asked(one.old) == before - 1
    one.sim.streaming.clear()
    one.run(6, 10)
    assert one.asked(one.old) == before - 1, "somebody else has got its accelerator"
    one.sim.unschedulable = ""
    one.run(1)
    assert len(one.pods(old=False)) >= 1


def replacing() -> Watched:
    sim = Sim(deployment=make_deployment(spec=make_spec(replicas=4, rollout=by_steps(LONG, "Replace"))))
    sim.settle()
    sim.unschedulable = FULL
    sim.edit(model=OTHER)
    one = Watched(sim, 4, "Replace", healthy=False)
    one.run(6)
    return one


def test_the_pods_that_stay_serve_again_and_stable_gets_its_own_back_before_the_canary() -> None:
    one = waiting(4)
    lost(one)
    one.sim.accelerators, one.sim.unschedulable, one.sim.max_ready = 4, "", 0
    one.run(4)
    assert (one.asked(one.old), one.sim.ready_pods(), one.rollout["state"]) == (3, 0, "Warming")
    one.sim.crashed.clear()
    one.sim.max_ready = 3
    one.run(12)
    one.sim.max_ready = 4
    one.run(4)
    assert (one.sim.ready_pods(one.old), one.share(), one.rollout["state"]) == (4, 0, "WaitingCapacity")
    assert "CanaryPreempted" in [each["reason"] for each in one.status["history"]]


def test_a_pod_that_is_on_its_way_out_already_is_waited_for() -> None:
    one = waiting(4)
    leaves, stays = one.pods(old=True)[:2]
    one.sim.streaming.add(leaves)
    one.sim.pods[leaves]["metadata"]["deletionTimestamp"] = "now"
    one.tick()
    (comes,) = [name for name in one.pods(old=True) if one.sim.pods[name]["status"]["phase"] == "Pending"]
    one.sim.pods[comes]["status"] = copied(one.sim.pods[stays]["status"])
    lost(one)
    one.run(4)
    assert one.asked(one.old) == 4
    one.sim.streaming.clear()
    one.run(4)
    assert one.asked(one.old) == 3


@pytest.mark.covers
def test_where_a_pod_of_stable_has_no_room_either_none_goes_as_it_would_be_that_one() -> None:
    one = waiting(2)
    del one.sim.pods[one.pods(old=True)[0]]
    lost(one)
    one.run(6, 20)
    assert one.asked(one.old) == 2


def test_without_steps_as_many_lost_pods_go_one_by_one_as_the_first_pod_of_the_new_engine_needs() -> None:
    one = lost(waiting(4, {"profile": "l4", "count": 2}, rollout={}))
    asked = []
    for _ in range(12):
        one.run(1, 10)
        asked.append(one.asked(one.old))
    assert sorted(set(asked), reverse=True) == [3, 2]
    assert asked[-1] == 2
