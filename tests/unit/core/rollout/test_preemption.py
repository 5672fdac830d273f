"""A pod of stable that needs the accelerator of one on trial gets it: requests first, then the pod, and the rollout waits for room."""

from typing import Any

import pytest

from llm_operator.core.kinds import DEPLOYMENT
from tests.unit.core.builders import make_config, make_deployment, make_spec
from tests.unit.core.rollout.engines import FULL, OTHER, THIRD, Watched, by_steps
from tests.unit.core.sim import Sim

KINDS = {
    "l4": {"resource": "nvidia.com/gpu", "nodeSelector": {"gpu": "l4"}},
    "a100": {"resource": "nvidia.com/gpu", "nodeSelector": {"gpu": "a100"}},
}
LONG = [{"weightPercent": 5, "minDuration": "1h"}]


def tried(mode: str = "Surge", replicas: int = 2, **changes: Any) -> Watched:
    """A deployment with one pod on trial, and not one accelerator more than that takes."""
    one = Watched.serving(replicas, mode, LONG, **changes)
    one.sim.accelerators = replicas + (mode == "Surge")
    one.sim.edit(model=OTHER)
    one.run(2)
    one.tick(60)
    one.until("Stepping")
    one.run(4)
    assert (one.share(), len(one.pods(old=False))) == (500, 1)
    return one


def scaled(one: Watched, replicas: int) -> Watched:
    one.replicas, one.healthy = replicas, False
    one.sim.edit(replicas=replicas)
    return one


def test_when_stable_is_scaled_up_into_a_full_cluster_the_pod_on_trial_makes_room() -> None:
    one = scaled(tried(), 3)
    shares = []
    for _ in range(6):
        one.run(1)
        shares.append((one.share(), len(one.pods(old=False))))
    assert shares.index((0, 1)) < shares.index((0, 0)), "its pod goes before its requests"
    one.run(4)
    assert (one.sim.ready_pods(one.old), one.rollout["state"], one.rollout["reason"]) == (3, "WaitingCapacity", "Unschedulable")
    line = next(each for each in one.status["history"] if each["reason"] == "CanaryPreempted")
    assert (line["state"], line["weight"]) == ("WaitingCapacity", 0)
    assert "stable comes first: 1 pod waits for 1 more nvidia.com/gpu" in line["message"]
    one.run(5, 600)
    assert one.rollout["state"] == "WaitingCapacity"
    one.sim.accelerators = 4
    one.until("Stepping")
    one.run(4)
    assert (one.state, one.share()) == (("Stepping", 1, 5), 500)


def test_while_stable_waits_for_more_than_the_pod_on_trial_had_it_does_not_come_back() -> None:
    one = scaled(tried(), 5)
    one.run(20)
    assert (one.sim.ready_pods(one.old), one.pods(old=False)) == (3, [])
    assert (one.rollout["state"], one.rollout["reason"]) == ("WaitingCapacity", "CanaryPreempted")
    assert one.condition("CapacityAvailable")["status"] == "False"


def test_a_quota_that_refuses_a_pod_of_stable_counts_as_well() -> None:
    one = scaled(tried(), 3)
    words = 'pods "x" is forbidden: exceeded quota: gpus, requested: requests.nvidia.com/gpu=1, used: 3, limited: 3'
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": words}
    one.sim.objects[DEPLOYMENT, f"chat-{one.old}"]["status"] = {"conditions": [failure]}
    one.run(4)
    assert (one.share(), one.pods(old=False), one.rollout["reason"]) == (0, [], "CanaryPreempted")
    assert "exceeded quota" in one.rollout["message"]
    del one.sim.objects[DEPLOYMENT, f"chat-{one.old}"]["status"]
    one.sim.accelerators = 9
    one.until("Stepping")


class TwoKinds(Sim):
    """A cluster with accelerators of two kinds, of which one is scarce."""

    scarce = 3

    def _kubelet(self, name: str) -> None:
        kinds = [(pod["metadata"]["name"], pod["spec"].get("nodeSelector"), pod["status"]["phase"]) for pod in self.held()]
        taken = sum(kind == {"gpu": "l4"} and phase == "Running" for _, kind, phase in kinds)
        mine = self.pods[name]["spec"].get("nodeSelector") == {"gpu": "l4"}
        self.unschedulable = FULL if mine and taken >= self.scarce else ""
        super()._kubelet(name)


def test_a_node_that_is_lost_takes_none_from_what_is_tried_on_another_kind() -> None:
    """An accelerator that no pod of stable may use is no use to it."""
    rollout, config = by_steps(LONG), make_config(acceleratorProfiles=KINDS)
    sim = TwoKinds(config=config, deployment=make_deployment(spec=make_spec(replicas=3, rollout=rollout)))
    sim.settle()
    one = Watched(sim, 3, healthy=False)
    sim.edit(accelerator={"profile": "a100"})
    one.until("Stepping")
    one.run(4)
    sim.scarce = 2
    sim.pods.pop(one.pods(old=True)[0])
    one.run(8)
    assert (one.rollout["state"], one.share(), sim.ready_pods(one.old)) == ("Stepping", 500, 2)


def test_what_keeps_a_pod_of_stable_from_a_node_but_is_no_accelerator_preempts_nobody() -> None:
    one = tried()
    one.sim.unschedulable = "0/3 nodes are available: 3 Insufficient memory."
    scaled(one, 3)
    one.run(10)
    assert (one.rollout["state"], one.share()) == ("Stepping", 500)


@pytest.mark.parametrize("mode", ["Borrow", "Replace"])
def test_with_one_of_stables_accelerators_it_makes_room_too(mode: str) -> None:
    one = scaled(tried(mode, 3), 4)
    one.run(12)
    assert "CanaryPreempted" in [each["reason"] for each in one.status["history"]]
    assert (one.rollout["state"], one.share(), one.sim.ready_pods(one.old)) == ("WaitingCapacity", 0, 3)


def test_a_canary_that_serves_alone_is_preempted_by_nobody() -> None:
    one = tried()
    one.healthy = False
    one.sim.crashed |= set(one.pods(old=True))
    one.sim.edit(replicas=3)
    one.run(3)
    assert one.sim.ready_pods() == 1


@pytest.mark.covers
def test_the_pod_of_an_aborted_engine_makes_room_as_well() -> None:
    one = tried(keep="24h")
    one.ask("abort")
    one.run(6)
    assert len(one.pods(old=False)) == 1
    scaled(one, 3).run(8)
    assert (one.sim.ready_pods(one.old), one.pods(old=False)) == (3, [])


def test_without_replicas_the_pod_of_an_aborted_engine_goes_too() -> None:
    one = tried(keep="24h")
    one.ask("abort")
    one.run(6)
    scaled(one, 0).run(8)
    assert one.sim.held() == []


def test_a_newer_spec_in_the_middle_goes_on_from_there() -> None:
    one = scaled(tried(), 3)
    one.run(6)
    one.sim.edit(model=THIRD)
    one.until("WaitingCapacity")
    one.sim.accelerators = 4
    one.until("Stepping")
