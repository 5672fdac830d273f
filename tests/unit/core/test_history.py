"""What is kept of engines and revisions, for how long, and under which id."""

import json
from typing import Any

import pytest

from llm_operator.core import canonical, names
from llm_operator.core.kinds import CONFIG_MAP, CONTROLLER_REVISION, DEPLOYMENT
from tests.unit.core.builders import make_config, make_deployment, make_prompt, make_spec
from tests.unit.core.sim import Sim

OTHER = {"source": "s3://models/other"}


def serving(**fields: Any) -> Sim:
    sim = Sim(**fields)
    sim.settle()
    return sim


def stored(sim: Sim, kind: str) -> set[str]:
    """Return the ids of what is stored of a kind."""
    return {
        name.removeprefix("chat-")
        for (each, name), live in sim.objects.items()
        if each == CONTROLLER_REVISION and live["data"]["kind"] == kind
    }


def test_an_engine_goes_with_the_last_revision_that_ran_on_it() -> None:
    sim = serving()
    (old,) = sim.engines()
    sim.edit(model=OTHER)
    sim.settle()
    assert old in stored(sim, "engine")
    for queue in range(12):
        sim.tick()
        sim.edit(limits={"queue": queue})
        sim.settle()
    assert stored(sim, "engine") == set(sim.engines())
    assert len(stored(sim, "revision")) == 11


def test_what_still_has_a_route_or_pods_is_kept_however_old_it_is() -> None:
    sim = serving()
    (old,) = sim.engines()
    stable = sim.deployment["status"]["stable"]["revision"]
    sim.max_ready = 1
    for length in range(12):
        sim.tick()
        sim.edit(engine={"maxModelLen": 1024 + length})
        for _ in range(3):
            sim.look()
            sim.tick()
    assert old in stored(sim, "engine")
    assert stable in stored(sim, "revision")
    assert set(sim.engines()) <= stored(sim, "engine")


def test_what_pods_on_their_way_out_still_serve_is_kept() -> None:
    sim = serving()
    (old,) = sim.engines()
    stable = sim.deployment["status"]["stable"]["revision"]
    sim.drains = False
    sim.edit(model=OTHER)
    for queue in range(14):
        for _ in range(5):
            sim.look()
            sim.tick()
        sim.edit(limits={"queue": queue})
    assert old not in sim.engines()
    assert old in stored(sim, "engine")
    assert stable in stored(sim, "revision")


def test_what_an_earlier_hash_has_named_keeps_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    sim = serving()
    before = sim.deployment["status"]["stable"]
    monkeypatch.setattr("llm_operator.core.identity.identity", lambda value: canonical.identity(["a later version", value]))
    monkeypatch.setattr("llm_operator.core.stored.HASH_VERSION", 2)
    made = sim.settle()
    assert (made.applies, made.status["stable"]) == ((), before)
    sim.edit(limits={"queue": 3})
    sim.settle()
    now = sim.deployment["status"]["stable"]
    assert now["engine"] == before["engine"]
    assert sim.objects[CONTROLLER_REVISION, f"chat-{now['revision']}"]["data"]["hashVersion"] == 2
    sim.edit(limits={})
    sim.settle()
    assert sim.deployment["status"]["stable"] == before


@pytest.mark.parametrize("table", [True, False])
def test_with_status_and_controller_revisions_lost_at_once_what_runs_says_what_its_references_were(*, table: bool) -> None:
    spec = make_spec(prompt={"ref": {"name": "support"}, "updatePolicy": "Notify"})
    sim = serving(deployment=make_deployment(spec=spec), prompt=make_prompt())
    engines, pods, before = sim.engines(), set(sim.pods), sim.deployment.pop("status")
    sim.prompt = make_prompt(system="Be long.")
    sim.config = make_config(
        images={"sidecar": "example.org/llm-sidecar:2", "fetcher": "example.org/llm-fetcher:2"},
        engineProfiles={"vllm": {"image": "example.org/vllm:0.33.0", "version": "0.33.0"}},
    )
    for key in [key for key in sim.objects if key[0] == CONTROLLER_REVISION or (not table and key[0] == CONFIG_MAP)]:
        del sim.objects[key]
    sim.settle()
    assert (sim.engines(), set(sim.pods)) == (engines, pods)
    if table:
        assert sim.deployment["status"]["stable"] == before["stable"]
        assert {each["digest"] for each in sim.deployment["status"]["resolutions"]} == {each["digest"] for each in before["resolutions"]}


@pytest.mark.parametrize("noted", [{}, {"engine": "vllm"}])
def test_inputs_that_do_not_say_everything_tell_what_they_can(noted: dict[str, str]) -> None:
    sim = serving()
    (engine,) = sim.engines()
    live = sim.objects[DEPLOYMENT, f"chat-{engine}"]["metadata"]["annotations"]
    inputs = json.loads(live[names.ANNOTATION_INPUTS])
    live[names.ANNOTATION_INPUTS] = json.dumps({**inputs, "requested": noted})
    del sim.deployment["status"]
    for key in [key for key in sim.objects if key[0] == CONTROLLER_REVISION]:
        del sim.objects[key]
    sim.settle()
    assert sim.engines() == [engine]


# A bundle that one pod cannot run


def condition(sim: Sim, kind: str) -> dict[str, Any]:
    return next(each for each in sim.deployment["status"]["conditions"] if each["type"] == kind)


def test_one_pod_of_five_that_cannot_run_a_bundle_holds_it_back_is_named_and_let_through_by_the_next() -> None:
    sim = serving(deployment=make_deployment(spec=make_spec(replicas=5)))
    pods, stable = sorted(sim.pods), sim.deployment["status"]["stable"]["revision"]
    sim.refusing[pods[2]] = "prompt.system: cannot be compiled"
    sim.edit(limits={"queue": 1})
    for _ in range(10):
        sim.look()
        sim.tick()
    status = sim.deployment["status"]
    assert status["stable"]["revision"] == stable != status["latestRevision"]
    programmed = condition(sim, "TableProgrammed")
    assert (programmed["status"], programmed["reason"]) == ("False", "BundleRefused")
    assert f"pod {pods[2]}: prompt.system: cannot be compiled" in programmed["message"]
    assert condition(sim, "Ready")["status"] == "True"
    assert sorted(sim.pods) == pods
    sim.refusing.clear()
    sim.edit(limits={"queue": 2})
    sim.settle()
    assert sim.deployment["status"]["stable"]["revision"] == sim.deployment["status"]["latestRevision"]
    assert condition(sim, "Stalled")["status"] == "False"
    assert sorted(sim.pods) == pods
