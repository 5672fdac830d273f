"""What becomes of a deployment, look by look, in a simulated world."""

import copy
import json
from itertools import pairwise
from typing import Any

import orjson
import pytest

from llm_operator.core import names
from llm_operator.core.actions import Plan
from llm_operator.core.kinds import CONFIG_MAP, CONTROLLER_REVISION, DEPLOYMENT, JOB, SERVICE
from llm_operator.core.observed import Obj
from llm_operator.core.plan import plan
from llm_sidecar.table import TABLE_KEY, Table, decode
from tests.unit.core.builders import SOURCE, digest_of, make_config, make_deployment, make_prompt, make_spec
from tests.unit.core.rollout.engines import by_steps
from tests.unit.core.sim import Sim

OTHER = {"source": "s3://models/other"}


def condition(sim: Sim, kind: str) -> dict[str, Any]:
    return next(each for each in sim.deployment["status"]["conditions"] if each["type"] == kind)


def table(sim: Sim) -> Table:
    return decode(sim.objects[CONFIG_MAP, "chat-snapshot"]["data"][TABLE_KEY].encode())


def serving(**fields: object) -> Sim:
    """A deployment that serves and has nothing left to do."""
    sim = Sim(**fields)  # type: ignore[arg-type]  # passed on to the dataclass as they are
    sim.settle()
    return sim


def names_of(plan: Plan) -> list[str]:
    return [f"{each.kind.kind} {each.name}" for each in plan.applies]


# Coming up


def test_a_new_deployment_comes_to_serve_and_then_nothing_is_written() -> None:
    sim = serving()
    status = sim.deployment["status"]
    assert (status["phase"], status["readyReplicas"]) == ("Ready", 1)
    assert "canary" not in status
    before = sim.version
    sim.tick()
    again = sim.look()
    assert (again.applies, again.deletes, again.nudges, again.events, again.next_look_s) == ((), (), (), (), None)
    assert again.status == status
    assert sim.version == before


def test_a_plan_changes_nothing_of_what_it_is_made_from() -> None:
    sim = Sim(deployment=make_deployment(spec=make_spec(replicas=2, rollout=by_steps())))
    sim.settle()
    sim.edit(model={"source": "s3://models/other"})
    for _ in range(120):
        before = orjson.dumps(sim.observed(), default=sorted)
        plan(sim.observed(), sim.config, sim.now)
        assert orjson.dumps(sim.observed(), default=sorted) == before
        sim.look()
        sim.tick(2)
    assert sim.deployment["status"]["rollout"]["state"] == "Promoted"


def test_a_deployment_with_nothing_but_what_is_required_comes_to_serve() -> None:
    sim = serving(deployment=make_deployment(spec={"model": {"source": SOURCE}, "accelerator": {"profile": "l4"}}))
    assert sim.deployment["status"]["phase"] == "Ready"


def test_what_others_depend_on_is_applied_first() -> None:
    sim = Sim()
    sim.look()
    sim.tick()
    kinds = [each.kind.kind for each in sim.look().applies]
    assert kinds == [
        "ControllerRevision",
        "ControllerRevision",
        "ConfigMap",
        "Service",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "Deployment",
    ]


def test_stable_is_named_only_when_something_serves() -> None:
    sim = Sim(max_ready=0)
    for _ in range(5):
        sim.look()
        sim.tick()
    status = sim.deployment["status"]
    assert "stable" not in status
    assert status["canary"]["revision"] == status["latestRevision"]
    assert status["phase"] == "Loading"
    assert condition(sim, "Ready")["status"] == "False"


def test_nothing_follows_from_a_deployment_that_is_being_deleted() -> None:
    sim = serving()
    sim.deployment["metadata"]["deletionTimestamp"] = "2026-11-22T12:00:00Z"
    assert sim.plan() == Plan(status=sim.deployment["status"])


@pytest.mark.covers
def test_a_deployment_that_is_deleted_before_its_first_look_has_no_status() -> None:
    sim = Sim()
    sim.deployment["metadata"]["deletionTimestamp"] = "2026-11-22T12:00:00Z"
    assert sim.plan() == Plan()


def test_without_replicas_the_revision_becomes_stable_and_the_phase_says_why_nothing_runs() -> None:
    sim = serving(deployment=make_deployment(spec=make_spec(replicas=0)))
    status = sim.deployment["status"]
    assert (status["phase"], status["replicas"]) == ("ScaledToZero", 0)
    assert status["stable"]["revision"] == status["latestRevision"]
    assert condition(sim, "Ready") | {} == condition(sim, "Ready") | {"status": "False", "reason": "ScaledToZero"}
    assert condition(sim, "Reconciling")["status"] == "False"


def test_scaling_changes_the_replicas_and_nothing_else() -> None:
    sim = serving()
    sim.edit(replicas=3)
    assert names_of(sim.look()) == [f"Deployment chat-{sim.engines()[0]}"]
    sim.settle()
    assert sim.deployment["status"]["readyReplicas"] == 3
    sim.edit(replicas=1)
    sim.settle()
    assert len(sim.pods) == 1


def test_missing_accelerators_are_said_for_as_long_as_they_are_missing() -> None:
    sim = Sim(unschedulable="0/3 nodes are available: 3 Insufficient nvidia.com/gpu.")
    for _ in range(4):
        sim.look()
        sim.tick()
    status = sim.look().status
    assert status["phase"] == "WaitingForAccelerators"
    capacity = condition(sim, "CapacityAvailable")
    assert (capacity["status"], capacity["reason"]) == ("False", "Unschedulable")
    assert "1 more nvidia.com/gpu" in capacity["message"]
    sim.unschedulable = ""
    sim.settle()
    assert condition(sim, "CapacityAvailable")["status"] == "True"


@pytest.mark.covers
def test_an_engine_that_is_not_ready_in_time_is_stalled_and_recovers_by_itself() -> None:
    sim = Sim(max_ready=0)
    for _ in range(4):
        sim.look()
        sim.tick()
    (engine,) = sim.engines()
    late = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    sim.objects[DEPLOYMENT, f"chat-{engine}"]["status"] = {"conditions": [late]}
    made = sim.look()
    assert (made.status["phase"], made.next_look_s) == ("Loading", 30.0)
    stalled = condition(sim, "Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "ProgressDeadlineExceeded")
    assert "spec.engine.startup.timeout" in stalled["message"]
    sim.max_ready = 1
    sim.settle()
    assert condition(sim, "Stalled")["status"] == "False"


# Config changes


def test_a_config_change_restarts_nothing_and_becomes_stable_when_every_sidecar_runs_it() -> None:
    sim = serving(deployment=make_deployment(spec=make_spec(replicas=2)))
    pods, before = set(sim.pods), sim.deployment["status"]
    sim.edit(prompt={"inline": {"system": "Be brief."}})
    made = sim.look()
    assert [each.kind for each in made.applies] == [CONTROLLER_REVISION, CONFIG_MAP]
    status = sim.deployment["status"]
    assert status["canary"] == {
        "revision": status["latestRevision"],
        "engine": before["stable"]["engine"],
        "diffClass": "Config",
        "replicas": 2,
        "ready": 2,
        "weight": 100,
    }
    assert status["stable"]["revision"] == before["stable"]["revision"]
    assert status["phase"] == "Updating"
    assert {nudge.pod_name for nudge in made.nudges} == pods
    assert made.next_look_s == 0.3
    sim.settle()
    assert set(sim.pods) == pods
    assert sim.deployment["status"]["stable"]["revision"] == status["latestRevision"]
    assert (table(sim).generation, len(table(sim).routes)) == (3, 1)
    assert sim.deployment["status"]["inputs"]["promptDigest"].startswith("sha256:")


def test_a_sidecar_that_does_not_take_the_table_is_named_and_nudged_three_times() -> None:
    sim = serving()
    (pod,) = sim.pods
    sim.deaf.add(pod)
    sim.edit(limits={"queue": 1})
    values = []
    for _ in range(40):
        values += [nudge.value for nudge in sim.look().nudges]
        sim.tick()
    assert values == ["2", "2.2", "2.3"]
    programmed = condition(sim, "TableProgrammed")
    assert (programmed["status"], programmed["reason"]) == ("False", "Delivering")
    assert pod in programmed["message"]
    assert "canary" in sim.deployment["status"]
    assert sim.plan().next_look_s == 5.0


@pytest.mark.covers
def test_a_refused_bundle_is_never_stable_and_the_condition_says_who_refuses_it_and_why() -> None:
    sim = serving()
    (pod,) = sim.pods
    before = sim.deployment["status"]["stable"]["revision"]
    sim.refusing[pod] = "prompt.system: cannot be compiled"
    sim.edit(limits={"queue": 1})
    for _ in range(3):
        sim.look()
        sim.tick()
    assert sim.deployment["status"]["stable"]["revision"] == before
    assert condition(sim, "TableProgrammed")["reason"] == "BundleRefused"
    stalled = condition(sim, "Stalled")
    assert stalled["status"] == "True"
    assert f"pod {pod}: prompt.system: cannot be compiled" in stalled["message"]
    assert condition(sim, "Ready")["status"] == "True"


def test_a_pod_that_cannot_be_asked_holds_a_config_change_back_and_is_named() -> None:
    sim = serving()
    (pod,) = sim.pods
    sim.silent.add(pod)
    sim.edit(limits={"queue": 1})
    sim.look()
    sim.tick()
    sim.look()
    assert f"{pod}, which cannot be asked" in condition(sim, "TableProgrammed")["message"]
    assert "canary" in sim.deployment["status"]


# Engine changes


def test_an_engine_change_goes_one_up_one_down_and_units_move_with_the_pods() -> None:
    sim = serving(deployment=make_deployment(spec=make_spec(replicas=4)))
    (old,) = sim.engines()
    sim.edit(model=OTHER)
    steps = []
    for _ in range(60):
        sim.look()
        assert len(sim.held()) <= 5
        assert sim.ready_pods() >= 4
        weights = {route.engine: route.weight for route in table(sim).routes}
        new = sim.deployment["status"].get("canary", {}).get("engine", "")
        step = (sim.ready_pods(old), sim.ready_pods(new), weights.get(new, 0)) if new else None
        if step and step not in steps:
            steps.append(step)
        sim.tick()
    moves = list(dict.fromkeys(weight for _, _, weight in steps))
    assert moves == [0, 2500, 5000, 7500, 10000]
    (new,) = sim.engines()
    assert new != old
    assert sim.ready_pods(new) == 4
    assert [route.engine for route in table(sim).routes] == [new]
    assert (SERVICE, f"chat-{old}") not in sim.objects


@pytest.mark.covers
def test_the_old_route_stays_until_the_last_old_pod_is_gone() -> None:
    sim = serving()
    (old,) = sim.engines()
    sim.drains = False
    sim.edit(model=OTHER)
    for _ in range(10):
        sim.look()
        sim.tick()
    (new,) = sim.engines()
    assert [route.engine for route in table(sim).routes] == [new, old]
    assert table(sim).stable == sim.deployment["status"]["stable"]["revision"]
    sim.drains = True
    sim.tick()
    sim.settle()
    assert [route.engine for route in table(sim).routes] == [new]


def test_a_route_whose_bundle_is_lost_goes_with_it() -> None:
    sim = serving()
    sim.drains = False
    sim.edit(model=OTHER)
    while len(sim.engines()) < 2 or len(table(sim).routes) < 2:
        sim.look()
        sim.tick()
    data = sim.objects[CONFIG_MAP, "chat-snapshot"]["data"]
    (old,) = (route for route in table(sim).routes if route.revision == table(sim).stable)
    while old.engine in sim.engines():
        sim.look()
        sim.tick()
    sim.objects[CONFIG_MAP, "chat-snapshot"]["data"] = {key: each for key, each in data.items() if key != old.bundle}
    sim.look()
    assert [route.engine for route in table(sim).routes] == sim.engines()


def test_going_back_in_mid_change_uses_the_running_engine_again() -> None:
    sim = serving()
    (old,) = sim.engines()
    pods = set(sim.pods)
    sim.max_ready = 1
    sim.edit(model=OTHER)
    for _ in range(4):
        sim.look()
        sim.tick()
    assert len(sim.engines()) == 2
    sim.edit(model={"source": SOURCE})
    sim.settle()
    assert sim.engines() == [old]
    assert set(sim.pods) == pods
    assert f"delete Deployment chat-{old}" not in sim.log


def test_a_third_engine_replaces_the_one_that_never_became_ready() -> None:
    sim = serving()
    (old,) = sim.engines()
    sim.max_ready = 1
    sim.edit(model=OTHER)
    for _ in range(4):
        sim.look()
        sim.tick()
    (middle,) = set(sim.engines()) - {old}
    sim.edit(model={"source": "s3://models/third"})
    for _ in range(4):
        sim.look()
        sim.tick()
    assert middle not in sim.engines()
    assert old in sim.engines()
    assert len(sim.engines()) == 2
    sim.max_ready = 10
    sim.settle()
    assert old not in sim.engines()


def test_a_first_engine_that_never_became_ready_does_not_hold_its_accelerators() -> None:
    sim = Sim(max_ready=0)
    for _ in range(4):
        sim.look()
        sim.tick()
    (broken,) = sim.engines()
    sim.edit(model=OTHER)
    for _ in range(4):
        sim.look()
        sim.tick()
    assert broken not in sim.engines()
    sim.max_ready = 10
    sim.settle()


def test_a_crash_between_the_writes_of_a_promotion_brings_no_old_engine_back() -> None:
    sim = serving()
    (old,) = sim.engines()
    sim.edit(model=OTHER)
    while old in sim.engines():
        made = sim.plan()
        sim.execute(made)  # the status is lost the first time
        sim.tick()
        sim.look()
        sim.tick()
    sim.settle()
    assert sim.log.count(f"delete Deployment chat-{old}") == 1
    assert sim.log.count(f"apply Deployment chat-{old}") == 1


def test_drain_is_part_of_the_engine_and_the_startup_timeout_is_not() -> None:
    sim = serving()
    (old,) = sim.engines()
    sim.edit(engine={"startup": {"timeout": "30m"}})
    made = sim.look()
    assert [each.object["spec"]["progressDeadlineSeconds"] for each in made.applies] == [1800]
    sim.edit(drain={"minimum": "1s"})
    sim.settle()
    assert sim.engines() != [old]


def test_at_zero_replicas_a_new_engine_is_stable_at_once() -> None:
    sim = serving(deployment=make_deployment(spec=make_spec(replicas=0)))
    (old,) = sim.engines()
    sim.edit(model=OTHER)
    sim.settle()
    assert sim.engines() != [old]


# Bad input


@pytest.mark.covers
@pytest.mark.parametrize(
    ("spec", "reason", "words"),
    [
        ({"engine": {"profile": "tgi"}}, "EngineProfileUnknown", ["spec.engine.profile", '"tgi"', "valid names are vllm"]),
        ({"accelerator": {"profile": "h100"}}, "AcceleratorProfileUnknown", ["spec.accelerator.profile", '"h100"', "cpu, l4"]),
        ({"engine": {"args": {"middleware": "x"}}}, "EngineArgumentInvalid", ["spec.engine.args[middleware]", "never accepted"]),
        ({"prompt": {"ref": {"name": "gone"}}}, "PromptMissing", ["spec.prompt.ref.name", '"gone"', "create it"]),
        ({"prompt": {"inline": {"system": "{{ x }}"}}}, "PromptInvalid", ["spec.prompt.inline.system", "x"]),
        ({"prompt": {"inline": {"template": "hello"}}}, "PromptInvalid", ["spec.prompt.inline.template", "prompt"]),
        ({"prompt": {"inline": {"system": "a", "inputs": {"type": 3}}}}, "PromptInvalid", ["spec.prompt.inline.inputs"]),
        ({"model": {"source": "s3://other/x"}}, "SourceNotAllowed", ["spec.model.source", "bucket other", "allowed are models"]),
        ({"model": {"source": "pvc://claim/x"}}, "SourceNotAllowed", ["spec.model.source", "s3://"]),
        ({"model": {"source": "hf://x/y"}}, "SourceInvalid", ["spec.model.source", "s3://BUCKET/PREFIX"]),
        ({"replicas": -1}, "SpecInvalid", ["spec.replicas"]),
    ],
)
def test_bad_input_stalls_with_a_sentence_and_the_good_revision_keeps_serving(spec: Obj, reason: str, words: list[str]) -> None:
    sim = serving(config=make_config(sources={"schemes": ["s3"], "s3Buckets": ["models"]}))
    good, objects = sim.deployment["status"]["stable"], copy.deepcopy(sim.objects)
    sim.edit(**spec)
    made = sim.look()
    assert (made.applies, made.deletes, made.nudges, made.next_look_s) == ((), (), (), None)
    assert [(each.type, each.reason) for each in made.events] == [("Warning", reason)]
    assert sim.objects == objects
    stalled = condition(sim, "Stalled")
    assert (stalled["status"], stalled["reason"], stalled["observedGeneration"]) == ("True", reason, 2)
    assert all(word in stalled["message"] for word in words), stalled["message"]
    assert condition(sim, "Reconciling")["status"] == "False"
    assert condition(sim, "Ready")["status"] == "True"
    assert sim.deployment["status"]["stable"] == good
    assert sim.look().status == made.status


def test_what_somebody_breaks_is_repaired_while_the_spec_is_bad() -> None:
    sim = serving()
    sim.edit(engine={"profile": "tgi"})
    sim.look()
    del sim.objects[SERVICE, "chat"]
    assert names_of(sim.look()) == ["Service chat"]


def test_an_unreadable_spec_does_not_scale_what_runs() -> None:
    sim = serving(deployment=make_deployment(spec=make_spec(replicas=3, engine={"startup": {"timeout": "5m"}})))
    sim.edit(accelerator={})
    assert sim.look().applies == ()
    assert condition(sim, "Stalled")["reason"] == "SpecInvalid"
    (engine,) = sim.engines()
    del sim.objects[DEPLOYMENT, f"chat-{engine}"]
    (again,) = sim.look().applies
    assert again.object["spec"]["replicas"] == 1


def test_a_change_under_way_goes_on_while_the_next_spec_is_bad_but_nothing_is_deleted() -> None:
    sim = serving()
    (old,) = sim.engines()
    sim.max_ready = 1
    sim.edit(model=OTHER)
    for _ in range(4):
        sim.look()
        sim.tick()
    latest = sim.deployment["status"]["latestRevision"]
    sim.edit(engine={"profile": "tgi"})
    sim.max_ready = 10
    for _ in range(6):
        assert not sim.look().deletes
        sim.tick()
    assert sim.deployment["status"]["stable"]["revision"] == latest
    assert sim.deployment["status"]["inputs"]["generation"] == 2
    assert old in sim.engines()
    sim.edit(engine={})
    sim.settle()
    assert old not in sim.engines()


def test_bad_input_from_the_start_creates_nothing() -> None:
    sim = Sim(deployment=make_deployment(spec=make_spec(engine={"profile": "tgi"})))
    made = sim.look()
    assert made.applies == ()
    assert (made.status["phase"], made.status["replicas"]) == ("Stalled", 0)
    assert condition(sim, "TableProgrammed")["status"] == "Unknown"
    assert condition(sim, "Resolved")["status"] == "False"


@pytest.mark.covers
def test_a_bundle_that_is_too_large_is_refused_with_its_size() -> None:
    sim = Sim(deployment=make_deployment(spec=make_spec(prompt={"inline": {"messages": [{"role": "user", "content": "x" * 60_000}] * 3}})))
    assert "180" in sim.look().status["message"]
    assert condition(sim, "Stalled")["reason"] == "BundleTooLarge"


# Prompts by reference


def test_a_prompt_that_appears_ends_the_wait_for_it() -> None:
    sim = Sim(deployment=make_deployment(spec=make_spec(prompt={"ref": {"name": "support"}})))
    assert sim.look().status["reason"] == "PromptMissing"
    sim.prompt = make_prompt()
    sim.settle()
    assert sim.deployment["status"]["phase"] == "Ready"
    assert {"spec.prompt.ref"} <= {each["field"] for each in sim.deployment["status"]["resolutions"]}


@pytest.mark.parametrize(("policy", "served", "told"), [("Rollout", True, "False"), ("Notify", False, "True"), ("Pin", False, "False")])
def test_an_edited_prompt_does_what_its_policy_says(policy: str, *, served: bool, told: str) -> None:
    sim = serving(
        deployment=make_deployment(spec=make_spec(prompt={"ref": {"name": "support"}, "updatePolicy": policy})), prompt=make_prompt()
    )
    before = sim.deployment["status"]["stable"]["revision"]
    sim.prompt = make_prompt(generation=2, system="Be long.")
    sim.settle()
    assert (sim.deployment["status"]["stable"]["revision"] != before) == served
    assert condition(sim, "UpdateAvailable")["status"] == told
    sim.edit(limits={"queue": 7})
    sim.settle()
    words = json.dumps([each["data"].get("bundle", "") for (kind, _), each in sim.objects.items() if kind == CONTROLLER_REVISION])
    assert ("Be long." in words) == served


def test_a_pinned_prompt_outlives_its_llmprompt_and_a_followed_one_does_not() -> None:
    sim = serving(deployment=make_deployment(spec=make_spec(prompt={"ref": {"name": "support"}})), prompt=make_prompt())
    sim.prompt = None
    assert sim.look().next_look_s is None
    assert condition(sim, "Stalled")["status"] == "False"
    sim.edit(prompt={"ref": {"name": "support"}, "updatePolicy": "Rollout"})
    sim.look()
    assert condition(sim, "Stalled")["reason"] == "PromptMissing"


def test_an_invalid_llmprompt_is_named_with_its_field() -> None:
    sim = Sim(deployment=make_deployment(spec=make_spec(prompt={"ref": {"name": "support"}})), prompt=make_prompt(system="{{ nope }}"))
    message = sim.look().status["message"]
    assert "LLMPrompt support spec.system" in message
    assert "nope" in message


@pytest.mark.covers
def test_an_edit_that_breaks_the_llmprompt_is_no_update() -> None:
    sim = serving(deployment=make_deployment(spec=make_spec(prompt={"ref": {"name": "support"}})), prompt=make_prompt())
    sim.prompt = make_prompt(messages=[{"role": "nobody", "content": ""}])
    sim.look()
    assert condition(sim, "UpdateAvailable")["status"] == "False"


# Profiles


def test_an_edited_profile_moves_nothing_and_says_so() -> None:
    sim = serving()
    engine = {"image": "example.org/vllm:0.33.0", "version": "0.33.0"}
    sim.config = make_config(engineProfiles={"vllm": engine}, acceleratorProfiles={"l4": {"resource": "example.org/tpu"}})
    sim.settle()
    refresh = condition(sim, "RefreshAvailable")
    assert refresh["status"] == "True"
    assert "spec.engine.profile vllm" in refresh["message"]
    assert "spec.accelerator.profile l4" in refresh["message"]
    before = sim.engines()
    sim.edit(engine={"maxModelLen": 4096})
    sim.settle()
    (now,) = sim.engines()
    assert [now] != before
    pod = sim.objects[DEPLOYMENT, f"chat-{now}"]["spec"]["template"]["spec"]
    assert pod["containers"][0]["image"] == "example.org/vllm:0.32.0"
    assert pod["nodeSelector"] == {"gpu": "l4"}


def test_a_profile_that_is_taken_away_keeps_what_was_made_with_it() -> None:
    sim = serving()
    sim.config = make_config(engineProfiles={"other": {"image": "x", "version": "1"}})
    sim.settle()
    assert condition(sim, "Stalled")["status"] == "False"


@pytest.mark.covers
def test_a_stored_profile_that_cannot_be_read_any_more_is_taken_anew() -> None:
    sim = serving()
    (engine,) = sim.engines()
    sim.objects[CONTROLLER_REVISION, f"chat-{engine}"]["data"]["inputs"]["engine"]["profile"] = {"renamed": 1}
    sim.settle()
    assert sim.engines() == [engine]


def test_an_upgrade_of_the_operator_restarts_nothing() -> None:
    sim = serving()
    engines, pods = sim.engines(), set(sim.pods)
    sim.config = make_config(images={"sidecar": "example.org/llm-sidecar:2", "fetcher": "example.org/llm-fetcher:2"})
    sim.edit(limits={"queue": 3})
    sim.settle()
    assert (sim.engines(), set(sim.pods)) == (engines, pods)


# Resolving


def test_the_job_is_deleted_once_the_status_has_its_answer() -> None:
    sim = Sim()
    sim.look()
    sim.tick()
    made = sim.look()
    assert not any(each.kind == JOB for each in made.deletes)
    assert {"field": "spec.model.source", "requested": SOURCE, "digest": digest_of(SOURCE), "bytes": 10, "files": 2} in made.status[
        "resolutions"
    ]
    assert [each.kind for each in sim.look().deletes] == [JOB]


def test_a_prompt_edit_never_moves_the_weights() -> None:
    sim = serving()
    sim.resolver_answers[SOURCE] = json.dumps({"digest": digest_of("moved"), "bytes": 1, "files": 1})
    sim.edit(prompt={"inline": {"system": "x"}})
    sim.settle()
    resolution = next(each for each in sim.deployment["status"]["resolutions"] if each["field"] == "spec.model.source")
    assert resolution["digest"] == digest_of(SOURCE)


def fail(reason: str) -> str:
    return json.dumps({"error": {"reason": reason, "message": f"{SOURCE}: no luck"}})


@pytest.mark.covers
def test_a_source_that_is_not_there_stalls_and_is_asked_again_after_five_minutes() -> None:
    sim = Sim(resolver_answers={SOURCE: fail("SourceNotFound")})
    sim.look()
    sim.tick()
    made = sim.look()
    assert made.next_look_s == pytest.approx(300, abs=1)
    stalled = condition(sim, "Stalled")
    assert (stalled["status"], stalled["reason"], stalled["message"]) == ("True", "SourceNotFound", f"{SOURCE}: no luck")
    assert condition(sim, "Resolved")["status"] == "False"
    sim.tick(301)
    assert [each.kind for each in sim.look().deletes] == [JOB]
    sim.tick()
    made = sim.look()
    assert [each.kind for each in made.applies] == [JOB]
    assert condition(sim, "Stalled")["reason"] == "SourceNotFound"
    sim.resolver_answers.clear()
    sim.tick()
    sim.settle()
    assert condition(sim, "Stalled")["status"] == "False"


def test_a_store_that_cannot_be_reached_is_asked_again_with_growing_pauses() -> None:
    sim = Sim(resolver_answers={SOURCE: fail("SourceUnreachable")})
    starts = []
    for _ in range(30):
        made = sim.look()
        if any(each.kind == JOB for each in made.applies):
            starts.append((sim.now - sim.began).total_seconds())
        sim.tick(made.next_look_s or 1)
    pauses = [later - earlier for earlier, later in pairwise(starts)]
    assert pauses[0] < 20
    assert all(later >= earlier for earlier, later in pairwise(pauses))
    assert 250 < pauses[-1] < 320
    assert condition(sim, "Stalled")["status"] == "False"
    assert condition(sim, "Resolved") | {} == condition(sim, "Resolved") | {"status": "False", "reason": "SourceUnreachable"}


def test_a_new_source_that_cannot_be_resolved_leaves_the_old_one_serving() -> None:
    sim = serving(resolver_answers={OTHER["source"]: fail("SourceDenied")})
    engines = sim.engines()
    sim.edit(model=OTHER)
    for _ in range(3):
        sim.look()
        sim.tick()
    assert sim.engines() == engines
    assert condition(sim, "Ready")["status"] == "True"
    assert condition(sim, "Stalled")["reason"] == "SourceDenied"
    sim.edit(model={"source": SOURCE})
    sim.settle()
    assert sim.engines() == engines
    assert not [name for kind, name in sim.objects if kind == JOB]


# Names


def foreign(kind: str, name: str) -> Obj:
    return {"kind": kind, "metadata": {"name": name, "uid": "theirs", "resourceVersion": "9", "creationTimestamp": ""}, "spec": {}}


@pytest.mark.covers
def test_an_object_of_somebody_else_under_our_name_is_never_touched() -> None:
    sim = Sim()
    theirs = foreign("Service", "chat")
    sim.objects[SERVICE, "chat"] = theirs
    sim.look()
    sim.tick()
    sim.look()
    made = sim.look()
    assert (made.applies, made.deletes) == ((), ())
    stalled = condition(sim, "Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "NameConflict")
    assert "Service chat belongs to somebody else" in stalled["message"]
    assert made.next_look_s == 30.0
    del sim.objects[SERVICE, "chat"]
    sim.settle()


@pytest.mark.covers
def test_what_an_earlier_deployment_of_the_name_leaves_is_waited_for() -> None:
    sim = Sim()
    left = foreign("Service", "chat")
    left["metadata"] |= {
        "labels": names.managed_labels("chat"),
        "ownerReferences": [{"kind": "LLMDeployment", "name": "chat", "uid": "earlier", "controller": True}],
    }
    sim.objects[SERVICE, "chat"] = left
    sim.look()
    sim.tick()
    sim.look()
    made = sim.look()
    assert (made.applies, made.next_look_s) == ((), 1.0)
    assert made.status["reason"] == "NameInUse"
    assert condition(sim, "Stalled")["status"] == "False"
    del sim.objects[SERVICE, "chat"]
    sim.settle()


def test_pods_of_an_earlier_deployment_of_the_name_do_not_count() -> None:
    sim = serving()
    (pod,) = sim.pods.values()
    old = copy.deepcopy(pod)
    old["metadata"] |= {"name": "old", "uid": "old"}
    sidecar = next(each for each in old["spec"]["initContainers"] if each["name"] == "sidecar")
    next(each for each in sidecar["env"] if each["name"] == "LLM_POD_TOKEN")["value"] = names.pod_token("earlier")
    sim.pods["old"] = old
    assert sim.plan().status == sim.deployment["status"]


@pytest.mark.covers
def test_an_object_that_is_being_deleted_is_made_again_when_its_name_is_free() -> None:
    sim = serving()
    sim.objects[SERVICE, "chat"]["metadata"]["deletionTimestamp"] = "now"
    made = sim.look()
    assert (made.applies, made.deletes, made.next_look_s) == ((), (), 1.0)
    del sim.objects[SERVICE, "chat"]
    assert names_of(sim.look()) == ["Service chat"]


# Repair


@pytest.mark.parametrize("kind", ["ControllerRevision", "ConfigMap", "Service", "NetworkPolicy", "PodDisruptionBudget", "Deployment"])
def test_each_deleted_child_comes_back_and_nothing_else_changes(kind: str) -> None:
    sim = serving()
    for key in [key for key in sim.objects if key[0].kind == kind]:
        lost = sim.objects[key]
        sim.remove(*key)
        made = sim.look()
        assert [(each.kind, each.name) for each in made.applies] == [key]
        assert made.deletes == ()
        assert sim.objects[key].get("spec") == lost.get("spec")
        sim.settle()


def test_an_edited_child_is_put_right_with_its_uid_and_version_as_precondition() -> None:
    sim = serving()
    live = sim.objects[SERVICE, "chat"]
    live["spec"]["selector"]["llmops.dev/deployment"] = "other"
    (apply,) = sim.look().applies
    assert apply.force
    wanted, there = apply.object["metadata"], live["metadata"]
    assert (wanted["uid"], wanted["resourceVersion"]) == (there["uid"], there["resourceVersion"])


def test_what_others_add_to_a_child_is_left_alone() -> None:
    sim = serving()
    sim.objects[SERVICE, "chat"]["metadata"]["annotations"] = {"theirs": "x"}
    sim.objects[SERVICE, "chat"]["spec"]["clusterIP"] = "10.0.0.1"
    assert sim.look().applies == ()


def test_a_child_whose_labels_and_owner_were_stripped_is_found_by_name_and_put_right() -> None:
    sim = serving()
    metadata = sim.objects[SERVICE, "chat"]["metadata"]
    metadata["labels"], metadata["ownerReferences"] = {}, []
    sim.objects[SERVICE, "chat"]["kind"] = "Service"
    (apply,) = sim.look().applies
    assert (apply.kind, apply.name, apply.force) == (SERVICE, "chat", True)
    assert sim.objects[SERVICE, "chat"]["metadata"]["ownerReferences"]


def test_lost_controller_revisions_are_made_again_from_what_runs_even_after_an_upgrade() -> None:
    sim = serving()
    engines, pods, status = sim.engines(), set(sim.pods), sim.deployment["status"]
    lost = {key: sim.objects.pop(key) for key in list(sim.objects) if key[0] == CONTROLLER_REVISION}
    sim.config = make_config(images={"sidecar": "example.org/llm-sidecar:2", "fetcher": "example.org/llm-fetcher:2"})
    sim.settle()
    assert (sim.engines(), set(sim.pods)) == (engines, pods)
    assert sim.deployment["status"]["stable"] == status["stable"]
    again = {key: each["data"] for key, each in sim.objects.items() if key[0] == CONTROLLER_REVISION}
    assert again == {key: each["data"] for key, each in lost.items()}


def test_a_lost_status_is_rebuilt_from_what_serves() -> None:
    sim = serving(deployment=make_deployment(spec=make_spec(prompt={"ref": {"name": "support"}})), prompt=make_prompt())
    before = sim.deployment.pop("status")
    sim.config = make_config(images={"sidecar": "example.org/llm-sidecar:2", "fetcher": "example.org/llm-fetcher:2"})
    sim.prompt = make_prompt(system="Be long.")
    made = sim.look()
    assert (made.applies, made.deletes) == ((), ())
    now = sim.deployment["status"]
    assert {name: now[name] for name in ("stable", "resolutions", "table")} == {
        name: before[name] for name in ("stable", "resolutions", "table")
    }


def test_a_lost_status_in_mid_change_keeps_what_serves() -> None:
    sim = serving()
    (old,) = sim.engines()
    sim.max_ready = 1
    sim.edit(model=OTHER)
    for _ in range(4):
        sim.look()
        sim.tick()
    del sim.deployment["status"]
    for _ in range(4):
        sim.look()
        sim.tick()
        assert old in sim.engines()
    sim.max_ready = 10
    sim.settle()
    assert sim.engines() != [old]


def test_when_everything_but_the_pods_is_lost_the_new_engine_still_waits_its_turn() -> None:
    sim = serving(deployment=make_deployment(spec=make_spec(replicas=2)))
    (old,) = sim.engines()
    del sim.deployment["status"]
    sim.config = make_config(images={"sidecar": "example.org/llm-sidecar:2", "fetcher": "example.org/llm-fetcher:2"})
    for key in [key for key in sim.objects if key[0] in {CONTROLLER_REVISION, CONFIG_MAP}]:
        del sim.objects[key]
    sim.objects[DEPLOYMENT, f"chat-{old}"]["metadata"]["annotations"].clear()
    while old in sim.engines():
        sim.look()
        if sim.engines() == [old] or sim.ready_pods() < 4:
            assert sim.ready_pods(old) == 2 or old not in sim.engines()
        sim.tick()
    sim.settle()
    (new,) = sim.engines()
    assert new != old


def test_a_restored_snapshot_gets_a_generation_above_all_that_were_given_out() -> None:
    sim = serving()
    for queue in (1, 2, 3):
        sim.edit(limits={"queue": queue})
        sim.settle()
    assert table(sim).generation == 7
    del sim.objects[CONFIG_MAP, "chat-snapshot"]
    del sim.deployment["status"]["table"]
    sim.settle()
    assert table(sim).generation == 8


def test_a_broken_or_edited_snapshot_is_replaced_under_a_new_generation() -> None:
    sim = serving()
    data = sim.objects[CONFIG_MAP, "chat-snapshot"]["data"]
    data[TABLE_KEY] = "{"
    sim.settle()
    assert table(sim).generation == 2
    key = next(key for key in sim.objects[CONFIG_MAP, "chat-snapshot"]["data"] if key != TABLE_KEY)
    sim.objects[CONFIG_MAP, "chat-snapshot"]["data"][key] = "{}"
    sim.settle()
    assert table(sim).generation == 3


def test_history_keeps_the_newest_revisions_and_drops_the_rest() -> None:
    sim = serving()
    for queue in range(14):
        sim.edit(limits={"queue": queue})
        sim.settle()
        sim.tick()
    kept = [
        each["data"]["inputs"]
        for (kind, _), each in sim.objects.items()
        if kind == CONTROLLER_REVISION
        if each["data"]["kind"] == "revision"
    ]
    assert len(kept) == 11
    engines = [name for (kind, name), each in sim.objects.items() if kind == CONTROLLER_REVISION if each["data"]["kind"] == "engine"]
    assert len(engines) == 1
