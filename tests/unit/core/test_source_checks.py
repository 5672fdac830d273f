"""What other files at the same source do, in a simulated world whose looks come only when the last one asked for them."""

import copy
import json
from datetime import timedelta
from typing import Any

import pytest

from llm_operator.api.llmdeployment import Model
from llm_operator.core.actions import Plan
from llm_operator.core.clock import stamp
from llm_operator.core.kinds import CONTROLLER_REVISION, JOB
from llm_operator.core.observed import Observed
from llm_operator.core.references import References
from llm_operator.core.source_checks import check_model
from llm_operator.core.world import sort
from tests.unit.core.builders import NOW, SOURCE, digest_of, make_config, make_deployment, make_prompt, make_spec
from tests.unit.core.sim import Sim

HOURS_6 = 6 * 3600
TURN_S = 600
MOVED = digest_of("moved")
UNREACHABLE = json.dumps({"error": {"reason": "SourceUnreachable", "message": "no route"}})


def serving(policy: str = "Notify", **fields: Any) -> Sim:
    spec = make_spec(model={"source": SOURCE, "updatePolicy": policy})
    sim = Sim(**{"deployment": make_deployment(spec=spec), **fields})
    let_pass(sim, 30)
    assert sim.deployment["status"]["phase"] == "Ready"
    sim.log.clear()
    return sim


def let_pass(sim: Sim, seconds: float) -> list[Plan]:
    """Let time pass and look when the last look asked for it, once a minute while a change is under way."""
    plans, end = [], sim.now + timedelta(seconds=seconds)
    while sim.now < end:
        made = sim.look()
        plans.append(made)
        busy = bool(made.applies or made.deletes or sim.deployment["status"].get("canary"))
        pause_s = 1.0 if busy else made.next_look_s if made.next_look_s is not None else seconds
        sim.tick(min(max(pause_s, 0.1), (end - sim.now).total_seconds()))
    return plans


def let_a_check_pass(sim: Sim) -> list[Plan]:
    return let_pass(sim, HOURS_6 + 2 * TURN_S)


def answer(sim: Sim, digest: str) -> None:
    sim.resolver_answers[SOURCE] = json.dumps({"digest": digest, "bytes": 11, "files": 3})


def edit_policy(sim: Sim, policy: str) -> None:
    sim.edit(model={"source": SOURCE, "updatePolicy": policy})


def told(sim: Sim) -> dict[str, str]:
    return next(each for each in sim.deployment["status"]["conditions"] if each["type"] == "UpdateAvailable")


def resolution(sim: Sim) -> dict[str, Any]:
    return next(each for each in sim.deployment["status"]["resolutions"] if each["field"] == "spec.model.source")


def served(sim: Sim) -> str:
    """The digest that the only engine's pods fetch."""
    (pod,) = sim.held()
    args: list[str] = pod["spec"]["initContainers"][0]["args"]
    return args[args.index("--digest") + 1]


def jobs(sim: Sim) -> list[str]:
    return [name for kind, name in sim.objects if kind == JOB]


def begun(sim: Sim) -> int:
    return sum(line.startswith("apply Job") for line in sim.log)


def test_a_pinned_source_is_never_asked_again() -> None:
    sim = serving("Pin")
    answer(sim, MOVED)
    assert sim.plan().next_look_s is None
    let_pass(sim, 3 * HOURS_6)
    assert sim.log == []
    assert resolution(sim).keys() == {"field", "requested", "digest", "bytes", "files"}
    assert told(sim)["status"] == "False"


@pytest.mark.parametrize("policy", ["Notify", "Rollout"])
def test_a_source_that_has_not_moved_is_asked_every_six_hours_and_only_the_time_of_that_is_written(policy: str) -> None:
    sim = serving(policy)
    before, objects = copy.deepcopy(sim.deployment["status"]), copy.deepcopy(sim.objects)
    pods = set(sim.pods)
    let_pass(sim, 4 * HOURS_6 + 2 * TURN_S)
    assert (begun(sim), len(sim.log)) == (4, 8), "each Job is made and deleted, and nothing else is written"
    after = sim.deployment["status"]
    assert resolution(sim).pop("checkedAt") > next(each for each in before["resolutions"] if "checkedAt" in each).pop("checkedAt")
    assert after == before
    assert sim.objects == objects
    assert {name for name in sim.pods if "resolve" not in name} == {name for name in pods if "resolve" not in name}


@pytest.mark.covers
def test_a_check_is_no_change_that_is_under_way() -> None:
    sim = serving()
    for made in let_a_check_pass(sim):
        assert made.status["phase"] == "Ready"
        assert {each["type"]: each["status"] for each in made.status["conditions"]}["Reconciling"] == "False"
        assert made.events == ()


def test_notify_tells_of_other_files_with_the_way_out_and_moves_nothing() -> None:
    sim = serving()
    answer(sim, MOVED)
    let_a_check_pass(sim)
    assert (told(sim)["status"], told(sim)["reason"]) == ("True", "ModelChanged")
    for words in (SOURCE, MOVED, digest_of(SOURCE), "`kubectl llm refresh chat`", "spec.model.updatePolicy"):
        assert words in told(sim)["message"]
    assert (resolution(sim)["digest"], resolution(sim)["available"], served(sim)) == (digest_of(SOURCE), MOVED, digest_of(SOURCE))
    sim.log.clear()
    let_a_check_pass(sim)
    assert len(sim.log) == 2, "that it is still so is written to nothing but the time"
    answer(sim, digest_of(SOURCE))
    let_a_check_pass(sim)
    assert (told(sim)["status"], "available" in resolution(sim)) == ("False", False)


def test_rollout_serves_other_files_by_a_change_of_the_engine() -> None:
    sim = serving("Rollout")
    (old,) = sim.engines()
    answer(sim, MOVED)
    let_a_check_pass(sim)
    (new,) = sim.engines()
    assert new != old
    assert served(sim) == MOVED
    assert (resolution(sim)["digest"], resolution(sim)["bytes"]) == (MOVED, 11)
    assert told(sim)["status"] == "False"
    assert begun(sim) == 1
    answer(sim, digest_of(SOURCE))
    let_a_check_pass(sim)
    assert sim.engines() == [old], "files that come back are served by the engine they had"


@pytest.mark.covers
def test_what_notify_has_told_of_is_asked_once_more_and_served_when_the_policy_becomes_rollout() -> None:
    sim = serving()
    answer(sim, MOVED)
    let_a_check_pass(sim)
    answer(sim, digest_of("moved again"))
    edit_policy(sim, "Rollout")
    assert [each.kind for each in sim.look().applies] == [JOB], "nobody waits for a turn"
    assert "is asked once more" in told(sim)["message"]
    let_pass(sim, 60)
    assert served(sim) == digest_of("moved again")
    assert told(sim)["status"] == "False"


def test_a_refresh_takes_what_notify_has_told_of() -> None:
    sim = serving()
    answer(sim, MOVED)
    let_a_check_pass(sim)
    sim.refresh("gh-1")
    let_pass(sim, 60)
    assert served(sim) == MOVED
    assert (told(sim)["status"], jobs(sim)) == ("False", [])


@pytest.mark.covers
@pytest.mark.parametrize("policy", ["Notify", "Rollout"])
def test_a_check_that_fails_is_told_and_tried_again_and_disturbs_nobody(policy: str) -> None:
    sim = serving(policy)
    sim.resolver_answers[SOURCE] = UNREACHABLE
    plans = let_pass(sim, HOURS_6 + 5 * TURN_S)
    assert (told(sim)["status"], told(sim)["reason"]) == ("Unknown", "SourceUnreachable")
    assert told(sim)["message"] == f"{SOURCE} could not be asked what it holds now, and is asked again: no route"
    assert 3 <= begun(sim) <= 6
    assert all(made.status["phase"] == "Ready" for made in plans)
    since = [next(each for each in made.status["conditions"] if each["type"] == "UpdateAvailable") for made in plans]
    first = next(index for index, each in enumerate(since) if each["status"] == "Unknown")
    assert all(each == since[first] for each in since[first:]), "while it is asked again the last failure stays what is told"
    assert served(sim) == digest_of(SOURCE)
    answer(sim, MOVED)
    let_pass(sim, 3 * TURN_S)
    assert (told(sim)["status"], served(sim)) == (("True", digest_of(SOURCE)) if policy == "Notify" else ("False", MOVED))
    assert jobs(sim) == []


def test_what_was_found_before_stays_told_while_the_source_cannot_be_asked() -> None:
    sim = serving()
    answer(sim, MOVED)
    let_a_check_pass(sim)
    sim.resolver_answers[SOURCE] = UNREACHABLE
    let_a_check_pass(sim)
    assert (told(sim)["status"], told(sim)["reason"]) == ("True", "ModelChanged")


def test_a_newer_prompt_and_other_files_are_told_of_together() -> None:
    spec = make_spec(model={"source": SOURCE, "updatePolicy": "Notify"}, prompt={"ref": {"name": "support"}})
    sim = serving(deployment=make_deployment(spec=spec), prompt=make_prompt())
    sim.prompt = make_prompt(generation=2, system="Be long.")
    answer(sim, MOVED)
    let_a_check_pass(sim)
    assert told(sim)["reason"] == "ModelChanged"
    assert "LLMPrompt support has changed" in told(sim)["message"]


def test_a_policy_that_is_pinned_again_forgets_what_was_found() -> None:
    sim = serving()
    answer(sim, MOVED)
    let_a_check_pass(sim)
    edit_policy(sim, "Pin")
    assert sim.settle().next_look_s is None
    assert told(sim)["status"] == "False"
    assert resolution(sim).keys() == {"field", "requested", "digest", "bytes", "files"}


def test_a_policy_that_was_just_set_is_asked_for_within_a_turn() -> None:
    sim = serving("Pin")
    answer(sim, MOVED)
    edit_policy(sim, "Notify")
    let_pass(sim, TURN_S + 60)
    assert (begun(sim), told(sim)["status"]) == (1, "True")


def test_another_source_starts_the_clock_anew() -> None:
    sim = serving()
    let_pass(sim, HOURS_6 - TURN_S)
    sim.edit(model={"source": "s3://models/other", "updatePolicy": "Notify"})
    let_pass(sim, 60)
    sim.log.clear()
    let_pass(sim, HOURS_6 - TURN_S)
    assert begun(sim) == 0


@pytest.mark.parametrize("writes", range(4))
@pytest.mark.parametrize("policy", ["Notify", "Rollout"])
def test_a_kill_after_any_write_of_a_check_changes_nothing_in_the_end(policy: str, writes: int) -> None:
    sim = serving(policy)
    answer(sim, MOVED)
    sim.tick(sim.plan().next_look_s or 0)
    for _ in range(20):
        plan = sim.plan()
        sim.execute(type(plan)(applies=plan.applies[:writes]))  # and then it dies: neither deletes nor a status
        sim.tick()
        sim.look()
        sim.tick()
    assert begun(sim) == 1
    assert jobs(sim) == []
    assert (told(sim)["status"], served(sim)) == (("True", digest_of(SOURCE)) if policy == "Notify" else ("False", MOVED))


def test_a_lost_status_asks_again_within_a_turn_and_moves_nothing_before() -> None:
    sim = serving("Rollout")
    engines = sim.engines()
    del sim.deployment["status"]
    let_pass(sim, 2 * TURN_S)
    assert (sim.engines(), begun(sim)) == (engines, 1)
    assert "checkedAt" in resolution(sim)


def test_revisions_are_stored_without_when_their_source_was_asked() -> None:
    sim = serving()
    answer(sim, MOVED)
    let_a_check_pass(sim)
    stored = json.dumps([each["data"] for (kind, _), each in sim.objects.items() if kind == CONTROLLER_REVISION])
    assert "checkedAt" not in stored
    assert "available" not in stored


def test_a_spec_that_cannot_be_used_asks_for_nothing() -> None:
    sim = serving()
    sim.edit(engine={"profile": "tgi"})
    let_a_check_pass(sim)
    assert begun(sim) == 0


def test_a_thousand_checks_that_are_due_at_once_begin_at_different_times() -> None:
    known = {"field": "spec.model.source", "requested": SOURCE, "digest": MOVED, "checkedAt": stamp(NOW - timedelta(days=1))}
    model, config = Model.model_validate({"source": SOURCE, "updatePolicy": "Notify"}), make_config()
    begin_in_s = []
    for number in range(1000):
        references = References.of([known])
        references.keep(references.previous[0])
        world = sort(Observed(make_deployment(uid=f"00000000-0000-4000-8000-{number:012}")))
        check = check_model(world, model, config, references, NOW)
        begin_in_s.append(0.0 if check.jobs else check.look_s or 0.0)
    assert sum(each == 0 for each in begin_in_s) < 100
    busiest = max(sum(second <= each < second + 10 for each in begin_in_s) for second in range(1, TURN_S, 10))
    assert busiest < 40


def surprise(sim: Sim) -> None:
    """Let a pod find other files where it starts, as after the source has moved."""
    (pod,) = sim.held()
    ended = {"terminated": {"exitCode": 1, "message": f"SourceChanged: {SOURCE} was changed or deleted since it was resolved"}}
    pod["status"]["initContainerStatuses"] = [{"name": "fetch", "state": {"waiting": {}}, "lastState": ended}]


@pytest.mark.parametrize("policy", ["Notify", "Rollout"])
def test_a_pod_that_finds_other_files_has_the_source_asked_before_its_time(policy: str) -> None:
    sim = serving(policy)
    answer(sim, MOVED)
    surprise(sim)
    let_pass(sim, 2 * TURN_S)
    assert begun(sim) == 1
    assert (told(sim)["status"], served(sim)) == (("True", digest_of(SOURCE)) if policy == "Notify" else ("False", MOVED))


def test_a_pod_that_is_wrong_about_its_source_has_it_asked_once_a_turn_at_most() -> None:
    sim = serving()
    surprise(sim)
    let_pass(sim, 10 * TURN_S)
    assert 5 <= begun(sim) <= 10


def test_how_often_is_the_administrators_to_say() -> None:
    sim = serving(config=make_config(modelCheckSeconds=20))
    answer(sim, MOVED)
    let_pass(sim, 60)
    assert told(sim)["status"] == "True"
    assert begun(sim) >= 2
