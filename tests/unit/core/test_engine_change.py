"""Engine changes, step by step: what waits for what, what is taken back, and what happens when stable serves no more."""

from typing import Any

import pytest

from llm_operator.core.kinds import CONFIG_MAP, DEPLOYMENT
from llm_sidecar.table import TABLE_KEY, WHOLE, Table, decode
from tests.unit.core.builders import SOURCE, make_deployment, make_spec
from tests.unit.core.sim import Sim

OTHER = {"source": "s3://models/other"}
THIRD = {"source": "s3://models/third"}
FULL = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."


def condition(sim: Sim, kind: str) -> dict[str, Any]:
    return next(each for each in sim.deployment["status"]["conditions"] if each["type"] == kind)


def table(sim: Sim) -> Table:
    return decode(sim.objects[CONFIG_MAP, "chat-snapshot"]["data"][TABLE_KEY].encode())


def weights(sim: Sim) -> dict[str, int]:
    return {route.engine: route.weight for route in table(sim).routes if route.weight}


def asked(sim: Sim, engine: str) -> int:
    return int(sim.objects[DEPLOYMENT, f"chat-{engine}"]["spec"]["replicas"])


def serving(replicas: int = 1) -> tuple[Sim, str]:
    """A deployment at rest, and its engine."""
    sim = Sim(deployment=make_deployment(spec=make_spec(replicas=replicas)))
    sim.settle()
    (engine,) = sim.engines()
    return sim, engine


def run(sim: Sim, rounds: int) -> None:
    for _ in range(rounds):
        sim.look()
        sim.tick()


def until_weight(sim: Sim, engine: str, weight: int) -> str:
    """Look until the engine beside the given one has a weight, and return it."""
    for _ in range(60):
        run(sim, 1)
        found = {name: each for name, each in weights(sim).items() if name != engine}
        if weight in found.values():
            return next(iter(found))
    raise AssertionError(f"no engine ever had {weight}: {weights(sim)}")


def others(sim: Sim, engine: str) -> list[str]:
    return [pod["metadata"]["name"] for pod in sim.held() if pod["metadata"]["labels"]["llmops.dev/engine"] != engine]


def mine(sim: Sim, engine: str) -> list[str]:
    return [pod["metadata"]["name"] for pod in sim.held() if pod["metadata"]["labels"]["llmops.dev/engine"] == engine]


def test_a_new_engine_that_is_never_ready_stays_at_one_pod_and_costs_stable_nothing() -> None:
    sim, old = serving(3)
    sim.max_ready = 3
    sim.edit(model=OTHER)
    run(sim, 40)
    assert (sim.ready_pods(old), len(sim.held()), weights(sim)) == (3, 4, {old: WHOLE})
    assert condition(sim, "Ready")["status"] == "True"
    assert "0% of requests" in condition(sim, "Progressing")["message"]
    assert "0 of 1 pods ready" in condition(sim, "Progressing")["message"]


def test_a_surge_pod_without_a_node_is_said_and_stable_keeps_all_its_pods() -> None:
    sim, old = serving(2)
    sim.unschedulable = FULL
    sim.edit(model=OTHER)
    run(sim, 10)
    assert condition(sim, "CapacityAvailable")["status"] == "False"
    assert sim.ready_pods(old) == 2


def test_a_pod_of_stable_without_a_node_is_said_while_a_new_engine_loads() -> None:
    sim, old = serving(3)
    sim.max_ready = 3
    sim.edit(model=OTHER)
    run(sim, 10)
    assert condition(sim, "CapacityAvailable")["status"] == "True"
    sim.crashed |= set(others(sim, old))
    sim.pods.pop(mine(sim, old)[0])
    sim.unschedulable = FULL
    run(sim, 4)
    assert (sim.ready_pods(old), len(mine(sim, old))) == (2, 3)
    lacks = condition(sim, "CapacityAvailable")
    assert (lacks["status"], lacks["reason"], "1 pod waits for 1 more nvidia.com/gpu" in lacks["message"]) == (
        "False",
        "Unschedulable",
        True,
    )


def test_pods_that_serve_and_tell_nobody_what_are_named_at_rest() -> None:
    sim, _ = serving(2)
    sim.silent |= set(sim.pods)
    run(sim, 10)
    assert (condition(sim, "Ready")["status"], sim.deployment["status"]["phase"]) == ("True", "Ready")
    waits = condition(sim, "Reconciling")
    assert (waits["status"], waits["reason"]) == ("True", "Delivering")
    assert "2 of 2 pods ready, but table" in waits["message"]
    assert "which cannot be asked" in waits["message"]


@pytest.mark.parametrize("trouble", ["lonely", "silent"])
def test_an_engine_gets_no_units_before_every_sidecar_has_reached_it_and_who_has_not_is_named(trouble: str) -> None:
    sim, old = serving(2)
    (first, _) = sim.pods
    getattr(sim, trouble).add(first)
    sim.edit(model=OTHER)
    run(sim, 20)
    assert weights(sim) == {old: WHOLE}
    assert first in condition(sim, "Progressing")["message"]
    assert len(sim.held()) == 3
    getattr(sim, trouble).clear()
    assert sim.plan().next_look_s is not None
    sim.settle()
    assert sim.engines() != [old]


@pytest.mark.covers
def test_a_pod_that_does_not_run_the_table_gets_no_units() -> None:
    sim, old = serving(1)
    sim.edit(model=OTHER)
    while not others(sim, old):
        run(sim, 1)
    (new,) = others(sim, old)
    sim.deaf.add(new)
    del sim.tables[new], sim.mounted[new]
    run(sim, 10)
    assert weights(sim) == {old: WHOLE}
    assert f"{new} does not serve it yet" in condition(sim, "Progressing")["message"]
    sim.deaf.clear()
    sim.tick(70)
    sim.settle()


def test_the_way_back_is_a_ratchet_too_and_the_pods_that_are_left_serve_again() -> None:
    sim, old = serving(4)
    pods = set(mine(sim, old))
    sim.edit(model=OTHER)
    until_weight(sim, old, 5000)
    sim.edit(model={"source": SOURCE})
    salts = set()
    for _ in range(60):
        run(sim, 1)
        assert sim.ready_pods() >= 4
        assert len(sim.held()) <= 5
        salts.add(table(sim).salt)
    sim.settle()
    assert sim.engines() == [old]
    assert len(pods & set(mine(sim, old))) == 2
    assert len(salts - {""}) == 1, "units moved between engines at random"


def test_a_change_that_another_one_replaces_is_taken_back_before_the_next_begins() -> None:
    sim, old = serving(4)
    sim.edit(model=OTHER)
    middle = until_weight(sim, old, 5000)
    sim.edit(model=THIRD)
    said = set()
    for _ in range(80):
        run(sim, 1)
        assert sim.ready_pods() >= 4
        assert len(sim.held()) <= 5
        third = set(weights(sim)) - {old, middle}
        assert not (third and weights(sim).get(middle))
        said.add("is taken back first" in condition(sim, "Progressing")["message"])
    sim.settle()
    assert said == {True, False}
    assert not {old, middle} & set(sim.engines())


@pytest.mark.covers
def test_a_pod_that_still_streams_holds_the_next_one_up_and_is_named() -> None:
    sim, old = serving(3)
    first = mine(sim, old)
    sim.streaming |= set(first)
    sim.edit(model=OTHER)
    until_weight(sim, old, 3333)
    run(sim, 10)
    assert (sim.ready_pods(old), sim.ready_pods(), len(sim.held())) == (2, 3, 4)
    progressing = condition(sim, "Progressing")
    assert progressing["reason"] == "Draining"
    assert any(name in progressing["message"] for name in first)
    assert "33% of requests" in progressing["message"]
    sim.streaming.clear()
    sim.settle()


def test_a_prompt_edit_in_mid_change_keeps_the_pods_and_the_units_of_the_new_engine() -> None:
    sim, old = serving(4)
    sim.edit(model=OTHER)
    new = until_weight(sim, old, 5000)
    pods, salt = set(mine(sim, new)), table(sim).salt
    sim.edit(model=OTHER, limits={"queue": 3})
    run(sim, 1)
    assert (weights(sim)[new], table(sim).salt) == (5000, salt)
    assert pods <= set(mine(sim, new))
    sim.settle()
    assert sim.engines() == [new]


def test_replicas_that_change_in_mid_change_are_those_of_the_end() -> None:
    for replicas in (2, 6, 0):
        sim, old = serving(4)
        sim.edit(model=OTHER)
        new = until_weight(sim, old, 5000)
        sim.edit(model=OTHER, replicas=replicas)
        sim.settle()
        assert (sim.engines(), len(sim.held())) == ([new], replicas)


def test_the_first_revision_starts_with_all_its_pods_and_a_corrected_one_within_the_same_ceiling() -> None:
    sim = Sim(deployment=make_deployment(spec=make_spec(replicas=3)), max_ready=0)
    run(sim, 5)
    assert len(sim.held()) == 3
    sim.edit(model=OTHER)
    for _ in range(12):
        run(sim, 1)
        assert len(sim.held()) <= 4
    assert len(sim.held()) == 3
    sim.max_ready = 9
    sim.settle()


def test_when_stable_is_lost_the_new_engine_takes_over_with_its_first_pod_and_then_grows_at_once() -> None:
    sim, old = serving(3)
    sim.crashed |= set(sim.pods)
    sim.tick(1)
    sim.edit(model=OTHER)
    sim.tick(70)
    run(sim, 8)
    new = sim.deployment["status"]["stable"]["engine"]
    assert new != old
    run(sim, 8)
    assert asked(sim, new) == 3
    sim.settle()
    assert sim.engines() == [new]


def test_when_stable_only_blinks_units_move_for_that_moment_and_nothing_is_given_up() -> None:
    sim, old = serving(3)
    sim.max_ready = 4
    sim.edit(model=OTHER)
    new = until_weight(sim, old, 3333)
    sim.crashed |= set(mine(sim, old))
    sim.tick(1)
    sim.look()
    assert weights(sim) == {new: WHOLE}
    run(sim, 2)
    assert sim.deployment["status"]["stable"]["engine"] == old
    assert asked(sim, old) >= 2
    sim.crashed.clear()
    sim.settle()
    assert sim.engines() == [new]


def test_when_stable_is_lost_and_there_is_no_room_it_makes_some() -> None:
    sim, old = serving(1)
    sim.crashed |= set(sim.pods)
    sim.tick(1)
    sim.unschedulable = FULL
    sim.edit(model=OTHER)
    sim.tick(70)
    run(sim, 6)
    assert asked(sim, old) == 0
    sim.unschedulable = ""
    sim.settle()
    assert sim.engines() != [old]


def test_when_only_the_replaced_change_serves_it_is_stable_until_the_next_one_is_through() -> None:
    sim, old = serving(3)
    sim.edit(model=OTHER)
    middle = until_weight(sim, old, 3333)
    sim.edit(model=THIRD)
    sim.crashed |= set(mine(sim, old))
    sim.tick(1)
    sim.max_ready = 1
    sim.tick(70)
    run(sim, 6)
    assert sim.deployment["status"]["stable"]["engine"] == middle
    sim.max_ready = 9
    sim.settle()
    assert not {old, middle} & set(sim.engines())


def test_a_deployment_of_stable_that_somebody_deletes_in_mid_change_comes_back() -> None:
    sim, old = serving(2)
    sim.max_ready = 2
    sim.edit(model=OTHER)
    run(sim, 8)
    sim.crashed |= set(others(sim, old))
    sim.remove(DEPLOYMENT, f"chat-{old}")
    run(sim, 3)
    assert asked(sim, old) == 2
    sim.crashed.clear()
    sim.max_ready = 9
    sim.settle()


def test_replicas_of_stable_that_somebody_edits_in_mid_change_come_back() -> None:
    sim, old = serving(3)
    sim.max_ready = 3
    sim.edit(model=OTHER)
    run(sim, 8)
    sim.objects[DEPLOYMENT, f"chat-{old}"]["spec"]["replicas"] = 2
    sim.look()
    assert asked(sim, old) == 3


# Removal


def test_a_frozen_pod_keeps_the_old_revision_in_the_table_and_is_named() -> None:
    sim, _ = serving(2)
    (first, _) = sim.pods
    before = table(sim).stable
    sim.deaf.add(first)
    sim.edit(limits={"queue": 1})
    run(sim, 20)
    assert [route.revision for route in table(sim).routes if not route.weight] == [before]
    assert first in condition(sim, "TableProgrammed")["message"]
    sim.deaf.clear()
    sim.tick(70)
    sim.settle()
    assert len(table(sim).routes) == 1


@pytest.mark.covers
def test_edits_under_a_frozen_pod_end_when_the_table_is_full_and_go_on_when_it_answers() -> None:
    sim, _ = serving(2)
    (first, _) = sim.pods
    sim.deaf.add(first)
    for queue in range(1, 9):
        sim.edit(limits={"queue": queue})
        run(sim, 3)
    assert len(table(sim).routes) == 6
    message = condition(sim, "Progressing")["message"]
    assert "it is not in the table yet" in message
    assert first in message
    sim.deaf.clear()
    sim.tick(70)
    sim.settle()
    assert len(table(sim).routes) == 1
    assert sim.deployment["status"]["stable"]["revision"] == sim.deployment["status"]["latestRevision"]


def test_nothing_of_the_old_engine_goes_while_a_pod_cannot_be_asked_and_it_is_named() -> None:
    sim, old = serving(2)
    sim.edit(model=OTHER)
    new = until_weight(sim, old, WHOLE)
    (left,) = mine(sim, old)
    sim.silent.add(left)
    run(sim, 20)
    assert (DEPLOYMENT, f"chat-{old}") in sim.objects
    assert f"{left}, which cannot be asked" in sim.deployment["status"]["message"]
    sim.silent.clear()
    sim.settle()
    assert sim.engines() == [new]


@pytest.mark.covers
def test_a_pod_whose_sidecar_has_ended_holds_nothing_up() -> None:
    sim, _ = serving(2)
    name = next(iter(sim.pods))
    sim.silent.add(name)
    sim.crashed.add(name)
    state = {"waiting": {"reason": "CrashLoopBackOff"}}
    sim.pods[name]["status"]["initContainerStatuses"] = [{"name": "sidecar", "state": state}]
    sim.edit(limits={"queue": 1})
    run(sim, 8)
    assert len(table(sim).routes) == 1


def test_an_engine_that_comes_back_while_nothing_is_stable_serves_until_the_new_one_does() -> None:
    sim, old = serving(3)
    del sim.deployment["status"]
    sim.crashed |= set(sim.pods)
    sim.tick(1)
    sim.edit(limits={"queue": 2})
    sim.look()
    assert "stable" not in sim.deployment["status"]
    sim.edit(model=OTHER, replicas=2)
    sim.look()
    sim.tick(1)
    sim.crashed.clear()
    run(sim, 4)
    assert sim.deployment["status"]["stable"]["engine"] == old
    assert old in weights(sim)
    sim.settle()
    assert sim.engines() != [old]
