"""Engine changes within the accelerators there are, and the entry that holds requests meanwhile."""

import json
from typing import Any

import pytest

from llm_operator.core import names
from llm_operator.core.kinds import DEPLOYMENT, NETWORK_POLICY, POD_DISRUPTION_BUDGET, SERVICE
from llm_sidecar.bundle import FIRST_SCHEMA
from tests.unit.core.builders import make_config, make_deployment, make_spec
from tests.unit.core.sim import Sim
from tests.unit.core.test_engine_change import OTHER, asked, condition, mine, others, run, weights

REPLACE = {"capacity": {"mode": "Replace"}}
ENTRY = (DEPLOYMENT, "chat-entry")


def replacing(replicas: int = 1, **fields: Any) -> tuple[Sim, str]:
    sim = Sim(deployment=make_deployment(spec=make_spec(replicas=replicas, rollout=REPLACE)), **fields)
    sim.settle()
    (engine,) = sim.engines()
    return sim, engine


def test_the_only_accelerator_changes_hands_while_the_entry_holds_requests() -> None:
    sim, old = replacing()
    sim.edit(model=OTHER, rollout=REPLACE)
    nobody, words = 0, ""
    for _ in range(40):
        run(sim, 1)
        assert len(sim.held()) <= 1
        assert sim.ready_pods() or sim.entries()
        nobody += not sim.ready_pods()
        words += sim.deployment["status"]["message"]
    assert nobody
    assert "requests wait in chat-entry" in words
    sim.settle()
    assert sim.engines() != [old]
    assert sim.ready_pods() == 1


@pytest.mark.covers
def test_the_last_pod_stays_until_the_entry_is_ready() -> None:
    sim, old = replacing(entry_gets_ready=False)
    sim.edit(model=OTHER, rollout=REPLACE)
    run(sim, 10)
    assert (sim.ready_pods(old), asked(sim, old)) == (1, 1)
    assert "the only pod stays until chat-entry is ready" in condition(sim, "Progressing")["message"]
    sim.entry_gets_ready = True
    sim.settle()
    assert sim.engines() != [old]


def test_the_last_pod_stays_until_the_entry_runs_the_table() -> None:
    sim, old = replacing()
    (entry,) = (pod["metadata"]["name"] for pod in sim.entries())
    sim.deaf.add(entry)
    sim.edit(model=OTHER, rollout=REPLACE)
    run(sim, 10)
    assert sim.ready_pods(old) == 1
    assert entry in condition(sim, "TableProgrammed")["message"]
    sim.deaf.clear()
    sim.tick(70)
    sim.settle()


def test_with_more_than_one_pod_one_goes_before_one_comes_and_units_move_along() -> None:
    sim, old = replacing(4)
    sim.edit(model=OTHER, rollout=REPLACE)
    seen = [0]
    for _ in range(80):
        run(sim, 1)
        assert len(sim.held()) <= 4
        assert sim.ready_pods() >= 3
        new = sum(weight for engine, weight in weights(sim).items() if engine != old)
        if new != seen[-1]:
            seen.append(new)
    assert seen == [0, 3333, 6666, 10_000]
    sim.settle()
    assert len(others(sim, old)) == 4


def test_the_way_back_needs_no_second_accelerator_either() -> None:
    sim, old = replacing()
    sim.max_ready = 1
    sim.edit(model=OTHER, rollout=REPLACE)
    while mine(sim, old):
        run(sim, 1)
    sim.crashed |= set(others(sim, old))
    sim.edit(model={"source": "s3://models/tiny"}, rollout=REPLACE)
    for _ in range(20):
        run(sim, 1)
        assert len(sim.held()) <= 1
        sim.crashed |= set(others(sim, old))
    sim.settle()
    assert sim.engines() == [old]


def test_a_lost_only_pod_makes_room_without_an_entry() -> None:
    sim, old = replacing(entry_gets_ready=False)
    sim.crashed |= set(mine(sim, old))
    sim.tick(1)
    sim.edit(model=OTHER, rollout=REPLACE)
    sim.tick(70)
    run(sim, 20)
    assert not mine(sim, old)
    assert sim.ready_pods() == 1


# The entry


def test_an_entry_is_one_sidecar_under_the_same_service_budget_and_policy_and_counts_as_no_replica() -> None:
    sim, _ = replacing()
    live = sim.objects[ENTRY]
    labels = live["spec"]["template"]["metadata"]["labels"]
    assert live["spec"]["replicas"] == 1
    assert labels[names.LABEL_ROLE] == "entry"
    assert names.LABEL_ENGINE not in labels
    for selector in (
        sim.objects[SERVICE, "chat"]["spec"]["selector"],
        sim.objects[POD_DISRUPTION_BUDGET, "chat"]["spec"]["selector"]["matchLabels"],
        sim.objects[NETWORK_POLICY, "chat"]["spec"]["podSelector"]["matchLabels"],
    ):
        assert selector.items() <= labels.items()
    (sidecar,) = live["spec"]["template"]["spec"]["containers"]
    variables = {each["name"]: each.get("value") for each in sidecar["env"]}
    assert "LLM_ENGINE" in variables
    assert variables["LLM_ENGINE"] is None
    assert "LLM_ENGINE_URL" not in variables
    status = sim.deployment["status"]
    assert (status["replicas"], status["readyReplicas"]) == (1, 1)
    assert status["selector"].endswith(f",{names.LABEL_ENGINE}")
    assert status["table"]["of"] == 2


@pytest.mark.covers
def test_an_entry_pulls_with_the_secrets_of_all_images() -> None:
    sim, _ = replacing(config=make_config(imagePullSecrets=["registry"]))
    assert sim.objects[ENTRY]["spec"]["template"]["spec"]["imagePullSecrets"] == [{"name": "registry"}]


def test_an_upgrade_of_the_operator_does_not_touch_a_live_entry() -> None:
    sim, _ = replacing()
    before, pods = sim.objects[ENTRY]["spec"]["template"], set(sim.pods)
    sim.config = make_config(images={"sidecar": "example.org/llm-sidecar:2", "fetcher": "example.org/llm-fetcher:2"})
    sim.edit(limits={"queue": 3})
    sim.settle()
    assert sim.objects[ENTRY]["spec"]["template"] == before
    assert set(sim.pods) == pods
    sim.remove(*ENTRY)
    sim.settle()
    (container,) = sim.objects[ENTRY]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "example.org/llm-sidecar:2"


def test_an_entry_follows_the_served_name_and_the_drain() -> None:
    sim, _ = replacing()
    before = sim.objects[ENTRY]["spec"]["template"]
    sim.edit(drain={"minimum": "1s"})
    sim.settle()
    after = sim.objects[ENTRY]["spec"]["template"]
    assert after["spec"]["terminationGracePeriodSeconds"] < before["spec"]["terminationGracePeriodSeconds"]


def test_an_entry_that_somebody_edited_is_put_right() -> None:
    sim, _ = replacing()
    live = sim.objects[ENTRY]
    live["spec"]["template"]["spec"]["containers"][0]["image"] = "example.org/other"
    sim.settle()
    assert sim.objects[ENTRY]["spec"]["template"]["spec"]["containers"][0]["image"] == "example.org/llm-sidecar:1"
    del sim.objects[ENTRY]["metadata"]["annotations"]
    sim.settle()
    assert json.loads(sim.objects[ENTRY]["metadata"]["annotations"][names.ANNOTATION_INPUTS]) == {"servedName": "chat"}


def test_an_unreadable_spec_leaves_the_entry_and_does_not_make_one() -> None:
    sim, _ = replacing()
    sim.edit(accelerator={})
    sim.look()
    assert ENTRY in sim.objects
    assert asked(sim, sim.engines()[0]) == 1
    sim.remove(*ENTRY)
    sim.look()
    assert ENTRY not in sim.objects


@pytest.mark.covers
def test_an_entry_whose_sidecar_is_too_old_for_the_bundle_gets_the_sidecar_of_today() -> None:
    sim, _ = replacing()
    sim.schemas["example.org/llm-sidecar:1"] = FIRST_SCHEMA - 1
    sim.config = make_config(images={"sidecar": "example.org/llm-sidecar:2", "fetcher": "example.org/llm-fetcher:1"})
    sim.schemas["example.org/llm-sidecar:2"] = FIRST_SCHEMA
    sim.look()
    (container,) = sim.objects[ENTRY]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "example.org/llm-sidecar:2"


@pytest.mark.covers
def test_without_the_mode_the_entry_goes_but_not_while_nobody_serves() -> None:
    sim, old = replacing()
    sim.crashed |= set(mine(sim, old))
    sim.tick(1)
    sim.edit(rollout={})
    run(sim, 5)
    assert ENTRY in sim.objects
    sim.crashed.clear()
    sim.settle()
    assert ENTRY not in sim.objects


def test_there_is_no_entry_with_a_surge() -> None:
    sim = Sim()
    sim.settle()
    assert ENTRY not in sim.objects


def test_a_way_back_after_the_pod_has_changed_hands_goes_on_from_the_one_that_serves() -> None:
    sim, old = replacing()
    sim.edit(model=OTHER, rollout=REPLACE)
    while not sim.ready_pods() or mine(sim, old):
        run(sim, 1)
    sim.edit(model={"source": "s3://models/tiny"}, rollout=REPLACE)
    sim.tick(1)
    for _ in range(30):
        run(sim, 1)
        assert len(sim.held()) <= 1
    sim.settle()
    assert sim.engines() == [old]
    assert sim.ready_pods() == 1
