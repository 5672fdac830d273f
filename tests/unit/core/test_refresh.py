"""The verb refresh, look by look, in a simulated world, with kills and losses in between."""

import copy
import json
from typing import Any

import pytest

from llm_operator.core import names
from llm_operator.core.kinds import CONTROLLER_REVISION, DEPLOYMENT, JOB
from llm_sidecar.table import TABLE_KEY
from tests.unit.core.builders import SOURCE, digest_of, make_config, make_deployment, make_prompt, make_spec
from tests.unit.core.sim import Sim

NEWER = make_config(images={"sidecar": "example.org/llm-sidecar:2", "fetcher": "example.org/llm-fetcher:2"})


def serving(**fields: Any) -> Sim:
    sim = Sim(**fields)
    sim.settle()
    return sim


def actions(sim: Sim) -> list[dict[str, str]]:
    return list(sim.deployment["status"].get("actions", []))


def condition(sim: Sim, kind: str) -> dict[str, Any]:
    return next(each for each in sim.deployment["status"]["conditions"] if each["type"] == kind)


def sidecar_image(sim: Sim) -> str:
    (engine,) = sim.engines()
    pod = sim.objects[DEPLOYMENT, f"chat-{engine}"]["spec"]["template"]["spec"]
    return next(str(each["image"]) for each in pod["initContainers"] if each["name"] == "sidecar")


@pytest.mark.covers
def test_with_nothing_newer_the_answer_is_nothing_to_refresh_and_nothing_moves() -> None:
    sim = serving()
    engines, pods, stable = sim.engines(), set(sim.pods), sim.deployment["status"]["stable"]
    sim.refresh("gh-1")
    sim.settle()
    (answer,) = actions(sim)
    assert (answer["outcome"], answer["result"]) == ("Done", answer["revision"])
    assert answer["message"].startswith("Nothing to refresh")
    assert (sim.engines(), set(sim.pods), sim.deployment["status"]["stable"]) == (engines, pods, stable)
    assert not [name for kind, name in sim.objects if kind == JOB]


def test_a_newer_operator_says_what_it_would_make_otherwise_and_a_refresh_makes_it() -> None:
    sim = serving()
    (old,) = sim.engines()
    sim.config = NEWER
    sim.settle()
    told = condition(sim, "RefreshAvailable")
    assert (told["status"], told["reason"]) == ("True", "RenderingChanged")
    assert "spec.initContainers[fetch].image, spec.initContainers[sidecar].image" in told["message"]
    assert "kubectl llm refresh chat" in told["message"]
    assert sim.engines() == [old]
    sim.refresh("gh-1")
    sim.settle()
    (new,) = sim.engines()
    assert new != old
    assert sidecar_image(sim) == "example.org/llm-sidecar:2"
    (answer,) = actions(sim)
    assert answer["result"] == sim.deployment["status"]["stable"]["revision"]
    assert f"on the new engine {new}" in answer["message"]
    assert condition(sim, "RefreshAvailable")["status"] == "False"


def test_a_refresh_takes_edited_profiles_a_moved_model_and_a_newer_prompt_in_one_step() -> None:
    sim = serving(
        deployment=make_deployment(spec=make_spec(prompt={"ref": {"name": "support"}, "updatePolicy": "Pin"})), prompt=make_prompt()
    )
    sim.prompt = make_prompt(generation=2, system="Be long.")
    sim.resolver_answers[SOURCE] = json.dumps({"digest": digest_of("moved"), "bytes": 1, "files": 1})
    sim.config = make_config(engineProfiles={"vllm": {"image": "example.org/vllm:0.33.0", "version": "0.33.0"}})
    sim.settle()
    sim.refresh("gh-1")
    engines: set[str] = set()
    for _ in range(20):
        sim.look()
        sim.tick()
        engines |= set(sim.engines())
    sim.settle()
    assert len(engines) == 2, "one new engine for all that was newer"
    pod = sim.objects[DEPLOYMENT, f"chat-{sim.engines()[0]}"]["spec"]["template"]["spec"]
    assert pod["containers"][0]["image"] == "example.org/vllm:0.33.0"
    assert digest_of("moved") in pod["initContainers"][0]["args"]
    assert "Be long." in json.dumps([each["data"].get("bundle") for (kind, _), each in sim.objects.items() if kind == CONTROLLER_REVISION])
    assert {each["digest"] for each in sim.deployment["status"]["resolutions"]} >= {digest_of("moved")}


@pytest.mark.covers
def test_a_newer_prompt_alone_needs_no_new_engine() -> None:
    sim = serving(deployment=make_deployment(spec=make_spec(prompt={"ref": {"name": "support"}})), prompt=make_prompt())
    engines, pods = sim.engines(), set(sim.pods)
    sim.prompt = make_prompt(generation=2, system="Be long.")
    sim.refresh("gh-1")
    sim.settle()
    assert (sim.engines(), set(sim.pods)) == (engines, pods)
    assert "on the same engine" in actions(sim)[-1]["message"]
    assert condition(sim, "UpdateAvailable")["status"] == "False"


def test_while_the_model_is_asked_what_serves_stays_what_is_asked_for() -> None:
    sim = serving()
    latest = sim.deployment["status"]["latestRevision"]
    sim.config = NEWER
    sim.refresh("gh-1")
    made = sim.look()
    assert [each.kind for each in made.applies] == [JOB]
    assert made.next_look_s is not None
    (answer,) = actions(sim)
    assert answer["outcome"] == "Running"
    assert SOURCE in answer["message"]
    assert sim.deployment["status"]["latestRevision"] == latest
    sim.deployment["metadata"]["annotations"] = {}
    sim.settle()
    assert actions(sim)[-1]["outcome"] == "Done", "the annotation is needed only until it has been read"


@pytest.mark.parametrize("writes", range(8))
def test_a_kill_after_any_write_of_a_refresh_changes_nothing_in_the_end(writes: int) -> None:
    sim = serving()
    (old,) = sim.engines()
    sim.config = NEWER
    sim.refresh("gh-1")
    made: set[str] = set()
    for _ in range(12):
        plan = sim.plan()
        sim.execute(type(plan)(applies=plan.applies[:writes]))
        seen = set(sim.engines()) - {old}
        assert made <= seen, "a look after the kill goes back to the stored template"
        made |= seen
        sim.look()
        sim.tick()
        if sim.engines() != sorted({old} | made):
            break
        assert made <= set(sim.engines())
    sim.settle()
    (new,) = sim.engines()
    assert new != old
    assert [each["outcome"] for each in actions(sim)] == ["Done"]
    assert sim.log.count(f"delete Deployment chat-{new}") == 0


def test_a_status_lost_in_the_middle_does_not_undo_a_refresh_even_without_its_annotation() -> None:
    sim = serving()
    (old,) = sim.engines()
    sim.max_ready = 1
    sim.config = make_config(engineProfiles={"vllm": {"image": "example.org/vllm:0.33.0", "version": "0.33.0"}})
    sim.refresh("gh-1")
    for _ in range(6):
        sim.look()
        sim.tick()
    (new,) = set(sim.engines()) - {old}
    del sim.deployment["status"]
    sim.deployment["metadata"]["annotations"] = {}
    sim.config = make_config(engineProfiles={"vllm": {"image": "example.org/vllm:0.34.0", "version": "0.34.0"}})
    for _ in range(3):
        sim.look()
        sim.tick()
        assert new in sim.engines()
    sim.max_ready = 10
    sim.settle()
    assert sim.engines() == [new]


@pytest.mark.covers
def test_a_status_lost_after_a_refresh_rejects_the_annotation_that_is_still_there() -> None:
    sim = serving()
    sim.config = NEWER
    sim.refresh("gh-1")
    sim.settle()
    engines = sim.engines()
    del sim.deployment["status"]
    sim.settle()
    assert sim.engines() == engines
    (answer,) = actions(sim)
    assert answer["outcome"] == "Rejected"


@pytest.mark.parametrize("lost", ["old", "new"])
def test_a_lost_controller_revision_does_not_turn_a_refresh_back(lost: str) -> None:
    sim = serving()
    (old,) = sim.engines()
    sim.max_ready = 1
    sim.config = NEWER
    sim.refresh("gh-1")
    for _ in range(6):
        sim.look()
        sim.tick()
    (new,) = set(sim.engines()) - {old}
    sim.tick(60)
    del sim.objects[CONTROLLER_REVISION, f"chat-{old if lost == 'old' else new}"]
    for _ in range(3):
        sim.look()
        sim.tick()
        assert set(sim.engines()) == {old, new}
    sim.max_ready = 10
    sim.settle()
    assert sim.engines() == [new]


def test_the_same_spec_finds_the_last_rendering_and_a_way_back_is_counted_too() -> None:
    sim = serving()
    (first,) = sim.engines()
    before = sim.config
    sim.config = NEWER
    sim.refresh("gh-1")
    sim.settle()
    (second,) = sim.engines()
    sim.config = before
    sim.settle()
    assert sim.engines() == [second]
    sim.refresh("gh-2")
    sim.settle()
    assert sim.engines() == [first], "the same template is the same engine"
    sim.config = NEWER
    sim.edit(engine={"maxModelLen": 2048})
    sim.settle()
    sim.edit(engine={})
    sim.settle()
    assert sim.engines() == [first]


def test_inputs_that_lead_to_the_same_pods_are_remembered_with_the_engine() -> None:
    sim = serving()
    (engine,) = sim.engines()
    sim.config = make_config(engineProfiles={"vllm": {"image": "example.org/vllm:0.32.0", "version": "0.32.1"}})
    sim.refresh("gh-1")
    sim.settle()
    assert sim.engines() == [engine]
    assert actions(sim)[-1]["message"].startswith("Nothing to refresh")
    assert condition(sim, "RefreshAvailable")["status"] == "False"
    sim.config = make_config(
        engineProfiles={"vllm": {"image": "example.org/vllm:0.33.0", "version": "0.33.0"}},
        images={"sidecar": "example.org/llm-sidecar:2", "fetcher": "example.org/llm-fetcher:2"},
    )
    sim.edit(limits={"queue": 3})
    sim.settle()
    assert sim.engines() == [engine], "neither the edited profile nor the newer operator moves it"
    del sim.objects[CONTROLLER_REVISION, f"chat-{engine}"]
    sim.settle()
    assert sim.engines() == [engine]


@pytest.mark.covers
def test_an_edited_profile_without_any_setting_moves_nothing_either() -> None:
    sim = serving(deployment=make_deployment(spec=make_spec(accelerator={"profile": "cpu"})))
    engines = sim.engines()
    sim.config = make_config(acceleratorProfiles={"cpu": {"nodeSelector": {"kind": "cpu"}}})
    sim.settle()
    assert sim.engines() == engines
    assert "spec.accelerator.profile cpu" in condition(sim, "RefreshAvailable")["message"]


@pytest.mark.covers
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"config": make_config(engineProfiles={"other": {"image": "x", "version": "1"}})}, "spec.engine.profile"),
        ({"prompt": None}, "spec.prompt.ref.name"),
        ({"resolver_answers": {SOURCE: json.dumps({"error": {"reason": "SourceDenied", "message": "no luck"}})}}, "no luck"),
        ({"resolver_answers": {SOURCE: json.dumps({"error": {"reason": "SourceUnreachable", "message": "no luck"}})}}, "no luck"),
    ],
)
def test_what_cannot_be_resolved_anew_fails_the_refresh_and_changes_nothing(change: dict[str, Any], words: str) -> None:
    sim = serving(deployment=make_deployment(spec=make_spec(prompt={"ref": {"name": "support"}})), prompt=make_prompt())
    before = copy.deepcopy(sim.deployment["status"])
    for name, value in change.items():
        setattr(sim, name, value)
    sim.refresh("gh-1")
    sim.settle()
    (answer,) = actions(sim)
    assert answer["outcome"] == "Failed"
    assert answer["message"].startswith("nothing was changed: ")
    assert words in answer["message"]
    after = sim.deployment["status"]
    assert {name: after[name] for name in ("stable", "resolutions", "phase")} == {
        name: before[name] for name in ("stable", "resolutions", "phase")
    }
    assert not [name for kind, name in sim.objects if kind == JOB]


def test_a_spec_edited_meanwhile_overtakes_a_refresh() -> None:
    sim = serving()
    sim.refresh("gh-1")
    sim.look()
    sim.edit(limits={"queue": 3})
    sim.settle()
    assert [each["outcome"] for each in actions(sim)] == ["Superseded"]


def test_a_second_refresh_overtakes_the_first_and_asks_with_a_job_of_its_own() -> None:
    sim = serving()
    sim.refresh("gh-1")
    sim.look()
    sim.refresh("gh-2")
    sim.look()
    assert [each["outcome"] for each in actions(sim)] == ["Superseded", "Running"]
    assert len([name for kind, name in sim.objects if kind == JOB]) == 1
    sim.settle()
    assert [each["outcome"] for each in actions(sim)] == ["Superseded", "Done"]


def test_a_verb_on_a_deployment_that_never_had_a_revision_is_rejected() -> None:
    sim = Sim(deployment=make_deployment(spec=make_spec(engine={"profile": "tgi"})))
    sim.ask('{"id": "gh-1", "verb": "refresh", "revision": "a"}')
    sim.look()
    assert [each["outcome"] for each in actions(sim)] == ["Rejected"]


def test_the_answer_is_told_once_as_an_event() -> None:
    sim = serving()
    sim.ask("{")
    assert [(each.type, each.reason) for each in sim.look().events] == [("Warning", "ActionRejected")]
    again = sim.look()
    assert (again.events, again.status) == ((), sim.deployment["status"])


def test_without_status_and_table_the_spec_alone_says_what_is_asked_for() -> None:
    sim = serving()
    engines = sim.engines()
    del sim.deployment["status"]
    data = sim.objects[next(key for key in sim.objects if key[0].kind == "ConfigMap")]["data"]
    data[TABLE_KEY] = "{"
    sim.settle()
    assert sim.engines() == engines
    assert names.ANNOTATION_INPUTS not in sim.objects[CONTROLLER_REVISION, f"chat-{engines[0]}"]["metadata"].get("annotations", {})
