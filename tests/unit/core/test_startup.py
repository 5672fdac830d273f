"""How long pods take to start: read from what the kubelet tells, the last few kept, none counted twice or long after."""

from datetime import timedelta
from typing import Any

import pytest

from llm_operator.core.clock import stamp
from llm_operator.core.observed import Obj
from tests.unit.core.builders import NOW, make_deployment, make_spec
from tests.unit.core.sim import Sim
from tests.unit.core.test_engine_change import run


def at(seconds: float) -> str:
    return stamp(NOW + timedelta(seconds=seconds))


def deployed(replicas: int = 1) -> Sim:
    sim = Sim(deployment=make_deployment(spec=make_spec(replicas=replicas)))
    run(sim, 8)
    return sim


def tell(pod: Obj, *, made: float = 0, placed: float = 2, fetched: float | None = 12, began: float = 15, answers: float = 45) -> None:
    """Have a kubelet tell how a pod started."""
    pod["metadata"]["creationTimestamp"] = at(made)
    times = {"PodScheduled": placed, "Ready": answers}
    conditions = [{"type": kind, "status": "True", "lastTransitionTime": at(made + each)} for kind, each in times.items()]
    ended = {"state": {"terminated": {"exitCode": 0, "finishedAt": at(made + (fetched or 0))}}}
    pod["status"] |= {
        "conditions": conditions,
        "initContainerStatuses": [{"name": "sidecar", "state": {"running": {}}}, *([{"name": "fetch", **ended}] if fetched else [])],
        "containerStatuses": [{"name": "engine", "state": {"running": {"startedAt": at(made + began)}}}],
    }


def told(sim: Sim) -> dict[str, tuple[int, int]]:
    """Return the last time and the median of each phase that the status tells."""
    sim.look()
    phases: list[dict[str, Any]] = sim.deployment["status"].get("startup", {}).get("phases", [])
    return {each["name"]: (each["lastSeconds"], each["medianSeconds"]) for each in phases}


def test_the_parts_of_a_start_add_up_to_the_whole() -> None:
    sim = deployed()
    tell(sim.held()[0])
    assert told(sim) == {"Scheduled": (2, 2), "Fetched": (10, 10), "Image": (3, 3), "Weights": (30, 30), "Ready": (45, 45)}


def test_files_that_are_mounted_take_no_time() -> None:
    sim = deployed()
    tell(sim.held()[0], fetched=None)
    assert told(sim)["Fetched"] == (0, 0)
    assert told(sim)["Image"] == (13, 13)


def test_the_last_is_told_beside_the_median_of_five() -> None:
    sim = deployed(replicas=7)
    for number, pod in enumerate(sim.held()):
        tell(pod, made=number, answers=(500, 500, 30, 40, 80, 90, 60)[number])
    assert told(sim)["Ready"] == (500, 90)
    starts = sim.deployment["status"]["startup"]["starts"]
    assert len(starts) == 5
    assert [each["readyAt"] for each in starts] == sorted(each["readyAt"] for each in starts)


def test_no_start_is_counted_twice() -> None:
    sim = deployed(replicas=7)
    for number, pod in enumerate(sim.held()):
        tell(pod, made=number // 4)  # some at the same second
    told(sim)
    before = sim.deployment["status"]["startup"]
    told(sim)
    assert sim.deployment["status"]["startup"] == before


def test_a_pod_that_became_ready_at_the_same_second_as_one_that_is_known_counts_too() -> None:
    sim = deployed(replicas=2)
    first, second = sorted(sim.held(), key=lambda pod: pod["metadata"]["name"], reverse=True)
    for pod in (first, second):
        tell(pod)
        told(sim)
    assert [each["pod"] for each in sim.deployment["status"]["startup"]["starts"]] == [
        second["metadata"]["name"],
        first["metadata"]["name"],
    ]


def test_a_pod_that_was_unready_for_a_while_or_has_restarted_has_not_just_started() -> None:
    sim = deployed(replicas=2)
    late, again = sim.held()
    tell(late, answers=5000)
    tell(again)
    again["status"]["containerStatuses"][0]["restartCount"] = 1
    assert told(sim) == {}


def test_what_is_not_told_whole_is_not_told_at_all() -> None:
    sim = deployed()
    tell(sim.held()[0])
    del sim.held()[0]["status"]["containerStatuses"][0]["state"]
    assert told(sim) == {}


def test_a_spec_that_cannot_be_read_leaves_what_was_known() -> None:
    sim = deployed()
    tell(sim.held()[0])
    before = told(sim)
    sim.edit(replicas="many")
    assert told(sim) == before


@pytest.mark.covers
def test_autoscaling_counts_on_it() -> None:
    asked = {"mode": "BuiltIn", "maxReplicas": 6}
    sim = Sim(deployment=make_deployment(spec=make_spec(replicas=1, autoscaling=asked)))
    run(sim, 8)
    for startup_s in (120, 45):
        alarm = sim.plan().alarm
        assert alarm is not None
        assert alarm.outlook.startup_s == startup_s
        tell(sim.held()[0])
