"""A change that needs no pods, let in by steps, look by look in a simulated world."""

import json
from typing import Any

import pytest

from llm_operator.core.actions import Plan
from llm_operator.core.kinds import CONFIG_MAP, CONTROLLER_REVISION
from llm_sidecar.table import TABLE_KEY, WHOLE, Table, decode
from tests.unit.core.builders import make_deployment, make_spec
from tests.unit.core.sim import Sim

STEPS: list[dict[str, Any]] = [
    {"weightPercent": 5, "minDuration": "30s"},
    {"approval": {}, "maxDuration": "1h"},
    {"weightPercent": 50, "minDuration": "1m"},
]
TIMED = [STEPS[0], STEPS[2]]


def by_steps(steps: list[dict[str, Any]] | None = None, **changes: Any) -> dict[str, Any]:
    return {"config": {"steps": STEPS if steps is None else steps, **changes}}


def serving(steps: list[dict[str, Any]] | None = None, replicas: int = 2, **changes: Any) -> Sim:
    """A deployment that serves, and lets changes in by steps."""
    sim = Sim(deployment=make_deployment(spec=make_spec(replicas=replicas, rollout=by_steps(steps, **changes))))
    sim.settle()
    return sim


def changed(queue: int = 1, **fields: Any) -> Sim:
    """A deployment whose first change has just been asked for."""
    sim = serving(**fields)
    sim.edit(limits={"queue": queue})
    return sim


def run(sim: Sim, looks: int = 4, seconds: float = 1.0) -> Plan:
    """Look several times, with a little time in between; return the last plan."""
    for _ in range(looks):
        made = sim.look()
        sim.tick(seconds)
    return made


def pass_time(sim: Sim, seconds: float) -> None:
    """Let the time of a step pass, then look until what follows from it is there."""
    sim.tick(seconds)
    run(sim)


def status(sim: Sim) -> dict[str, Any]:
    found: dict[str, Any] = sim.deployment["status"]
    return found


def rollout(sim: Sim) -> dict[str, Any]:
    found: dict[str, Any] = status(sim)["rollout"]
    return found


def state(sim: Sim) -> tuple[str, int, int]:
    return rollout(sim)["state"], rollout(sim)["step"], rollout(sim)["weight"]


def condition(sim: Sim, kind: str) -> dict[str, Any]:
    return next(each for each in status(sim)["conditions"] if each["type"] == kind)


def holds(sim: Sim, *kinds: str) -> list[str]:
    return [condition(sim, kind)["status"] for kind in kinds]


def table(sim: Sim) -> Table:
    return decode(sim.objects[CONFIG_MAP, "chat-snapshot"]["data"][TABLE_KEY].encode())


def weights(sim: Sim) -> dict[str, int]:
    return {route.revision: route.weight for route in table(sim).routes}


def answer(sim: Sim) -> dict[str, Any]:
    found: dict[str, Any] = status(sim)["actions"][-1]
    return found


def ask(sim: Sim, verb: str, revision: str | None = None) -> dict[str, Any]:
    """Ask for a verb under a new id, look, and return the answer."""
    sim.verb(verb, f"gh-{verb}-{sim.now:%H-%M-%S}", revision)
    run(sim, 3)
    return answer(sim)


# The whole way


def test_a_change_gets_its_requests_step_by_step_and_then_is_stable() -> None:
    sim = serving(TIMED)
    pods, stable = sorted(sim.pods), status(sim)["stable"]["revision"]
    sim.edit(limits={"queue": 1})
    run(sim)
    latest = status(sim)["latestRevision"]
    assert state(sim) == ("Stepping", 1, 5)
    assert weights(sim) == {stable: 9_500, latest: 500}
    assert (status(sim)["stable"]["weight"], status(sim)["canary"]) == (95, status(sim)["canary"] | {"revision": latest, "weight": 5})
    pass_time(sim, 30)
    assert state(sim) == ("Stepping", 2, 50)
    assert weights(sim) == {stable: 5_000, latest: 5_000}
    sim.tick(60)
    sim.settle()
    assert state(sim) == ("Promoted", 2, 100)
    assert (status(sim)["stable"]["revision"], status(sim)["phase"]) == (latest, "Ready")
    assert "canary" not in status(sim)
    assert weights(sim) == {latest: WHOLE}
    assert sorted(sim.pods) == pods
    again = sim.look()
    assert (again.applies, again.deletes, again.nudges, again.events, again.next_look_s) == ((), (), (), (), None)


def test_every_change_of_weight_or_state_is_a_line_of_history_and_an_event() -> None:
    sim = changed(steps=TIMED)
    told = []
    for seconds in (1, 1, 1, 1, 30, 1, 1, 1, 60, 1, 1, 1, 1):
        told += [(each.reason, each.message) for each in sim.look().events if each.reason.startswith("Rollout")]
        sim.tick(seconds)
    lines = status(sim)["history"]
    assert [(each["state"], each["step"], each["weight"]) for each in lines] == [
        ("Preparing", 1, 0),
        ("Stepping", 1, 5),
        ("Stepping", 2, 50),
        ("Finalising", 2, 100),
        ("Promoted", 2, 100),
    ]
    assert [reason for reason, _ in told] == [f"Rollout{each['state']}" for each in lines]
    assert all(each["message"] in message for each, (_, message) in zip(lines, told, strict=True))


def test_a_step_is_waited_for_without_looking_and_without_writing() -> None:
    sim = changed(steps=[{"weightPercent": 5, "minDuration": "1h"}])
    run(sim)
    assert holds(sim, "Ready", "Reconciling", "Stalled", "Progressing", "TableProgrammed") == ["True", "False", "False", "True", "True"]
    before = status(sim)
    for _ in range(5):
        sim.tick(300)
        made = sim.look()
        assert (made.applies, made.nudges, made.events, made.status) == ((), (), (), before)
    assert made.next_look_s == pytest.approx(3600 - 5 * 300 - 6, abs=6)


def test_no_request_goes_to_a_revision_before_every_ready_pod_can_serve_it() -> None:
    sim = serving(TIMED)
    late = min(sim.pods)
    sim.deaf.add(late)
    sim.edit(limits={"queue": 1})
    run(sim)
    assert state(sim) == ("Preparing", 1, 0)
    assert sorted(weights(sim).values()) == [0, WHOLE]
    assert late in condition(sim, "TableProgrammed")["message"]
    sim.deaf.clear()
    sim.tick(60)
    run(sim)
    assert state(sim) == ("Stepping", 1, 5)


def test_the_time_of_a_step_counts_from_when_every_ready_pod_knows_of_it() -> None:
    sim = changed(steps=TIMED)
    run(sim, 1)
    sim.deaf.add(min(sim.pods))
    run(sim, 6, seconds=20)
    assert (state(sim), rollout(sim)["reason"]) == (("Stepping", 1, 5), "Delivering")
    sim.deaf.clear()
    sim.tick(60)
    run(sim, 3)
    assert (state(sim), rollout(sim)["reason"]) == (("Stepping", 1, 5), "Stepping")
    pass_time(sim, 30)
    assert state(sim) == ("Stepping", 2, 50)


def test_a_change_without_steps_goes_as_before_and_status_says_nothing_of_rollouts() -> None:
    sim = Sim(deployment=make_deployment(spec=make_spec(replicas=2)))
    sim.settle()
    sim.edit(limits={"queue": 1})
    sim.settle()
    assert status(sim)["stable"]["revision"] == status(sim)["latestRevision"]
    assert not {"rollout", "history", "abortedRevisions"} & status(sim).keys()
    assert not {"ApprovalRequired", "SpecDiverged"} & {each["type"] for each in status(sim)["conditions"]}


def test_the_first_revision_and_a_change_of_the_engine_need_no_steps() -> None:
    sim = serving(STEPS)
    assert "rollout" not in status(sim)
    sim.edit(model={"source": "s3://models/other"})
    sim.settle()
    assert "rollout" not in status(sim)
    assert status(sim)["stable"]["revision"] == status(sim)["latestRevision"]


@pytest.mark.parametrize(("health", "reconciling"), [("Serving", "False"), ("Rollout", "True")])
def test_tools_that_wait_for_what_they_applied_wait_for_its_steps_where_that_is_asked_for(health: str, reconciling: str) -> None:
    sim = changed(steps=[{"weightPercent": 5, "minDuration": "1h"}])
    sim.edit(rollout={**sim.deployment["spec"]["rollout"], "gitOpsHealth": health})
    sim.look()
    assert holds(sim, "Ready", "Reconciling", "Stalled") == ["True", "True", "False"], "every pod has to learn of it"
    run(sim)
    assert state(sim) == ("Stepping", 1, 5)
    assert holds(sim, "Ready", "Reconciling", "Stalled") == ["True", reconciling, "False"]


# Approvals


def test_an_approval_is_waited_for_and_the_status_says_so_to_every_tool() -> None:
    sim = changed()
    run(sim)
    pass_time(sim, 30)
    assert state(sim) == ("Stepping", 2, 5)
    assert (status(sim)["phase"], status(sim)["reason"]) == ("Paused", "ApprovalRequired")
    assert holds(sim, "Ready", "Reconciling", "Stalled", "Progressing", "ApprovalRequired") == [
        "True",
        "False",
        "False",
        "Unknown",
        "True",
    ]
    pass_time(sim, 600)
    assert state(sim) == ("Stepping", 2, 5)


def test_an_approval_in_the_spec_lets_its_revision_on_and_no_other() -> None:
    sim = changed()
    run(sim)
    pass_time(sim, 30)
    sim.edit(rollout={**by_steps(), "approve": {"revision": status(sim)["stable"]["revision"]}})
    run(sim)
    assert state(sim) == ("Stepping", 2, 5)
    sim.edit(rollout={**by_steps(), "approve": {"revision": status(sim)["latestRevision"]}})
    run(sim)
    assert state(sim) == ("Stepping", 3, 50)


def test_the_verb_approve_lets_it_on_once() -> None:
    sim = changed(steps=[{"weightPercent": 5}, {"approval": {}}, {"approval": {}}])
    run(sim, 6)
    assert state(sim) == ("Stepping", 2, 5)
    assert ask(sim, "approve")["message"] == "step 2 of 3 is approved"
    assert state(sim) == ("Stepping", 3, 5)
    assert ask(sim, "approve")["outcome"] == "Done"
    run(sim)
    assert state(sim)[0] == "Promoted"


def test_an_approval_nobody_gives_pauses_and_can_still_be_given() -> None:
    sim = changed()
    run(sim)
    pass_time(sim, 30)
    pass_time(sim, 3_600)
    assert state(sim) == ("Paused", 2, 5)
    assert (rollout(sim)["reason"], status(sim)["phase"]) == ("Inconclusive", "Paused")
    assert "nobody has approved" in rollout(sim)["message"]
    sim.edit(rollout={**by_steps(), "approve": {"revision": status(sim)["latestRevision"]}})
    run(sim)
    assert state(sim) == ("Stepping", 3, 50)


def test_an_approval_nobody_gives_aborts_where_that_is_asked_for() -> None:
    sim = changed(steps=[{"weightPercent": 5}, {"approval": {}, "maxDuration": "1h", "onInconclusive": "Abort"}])
    run(sim, 6)
    pass_time(sim, 3_600)
    assert (state(sim), rollout(sim)["reason"]) == (("Aborted", 2, 0), "Inconclusive")


# Abort, and what comes after


def test_an_abort_takes_all_requests_back_and_is_remembered() -> None:
    sim = changed()
    stable = status(sim)["stable"]["revision"]
    run(sim)
    latest = status(sim)["latestRevision"]
    assert ask(sim, "abort")["outcome"] == "Done"
    sim.settle()
    assert state(sim) == ("Aborted", 1, 0)
    assert weights(sim) == {stable: WHOLE}
    assert [each["revision"] for each in status(sim)["abortedRevisions"]] == [latest]
    assert (status(sim)["stable"]["revision"], status(sim)["latestRevision"]) == (stable, latest)
    assert "canary" not in status(sim)
    assert (status(sim)["phase"], status(sim)["reason"]) == ("Stalled", "Aborted")
    assert holds(sim, "Ready", "Reconciling", "Stalled", "Progressing", "SpecDiverged") == ["True", "False", "True", "False", "True"]
    for _ in range(3):
        sim.edit(limits={"queue": 1})
        sim.tick(600)
        sim.settle()
    assert state(sim) == ("Aborted", 1, 0)
    assert weights(sim) == {stable: WHOLE}


def test_what_was_aborted_is_let_in_again_by_a_retry_alone() -> None:
    sim = changed()
    run(sim)
    ask(sim, "abort")
    first = rollout(sim)["id"]
    assert ask(sim, "promote")["message"].endswith("is aborted; retry lets it in again")
    assert ask(sim, "retry")["outcome"] == "Done"
    run(sim)
    assert state(sim) == ("Stepping", 1, 5)
    assert rollout(sim)["id"] != first
    assert table(sim).salt == rollout(sim)["id"]
    assert "abortedRevisions" not in status(sim)
    assert ask(sim, "retry")["outcome"] == "Rejected"


def test_after_an_abort_another_revision_begins_at_once() -> None:
    sim = changed()
    run(sim)
    ask(sim, "abort")
    sim.edit(limits={"queue": 2})
    run(sim)
    assert state(sim) == ("Stepping", 1, 5)
    assert holds(sim, "Stalled", "SpecDiverged") == ["False", "False"]


def test_the_old_spec_is_the_way_out_of_an_abort() -> None:
    sim = changed()
    run(sim)
    ask(sim, "abort")
    sim.edit(limits={})
    sim.settle()
    assert (status(sim)["phase"], condition(sim, "SpecDiverged")["status"]) == ("Ready", "False")


def test_a_revision_that_a_pod_cannot_serve_is_aborted_before_it_gets_a_request() -> None:
    sim = serving(replicas=3)
    stable = status(sim)["stable"]["revision"]
    sim.refusing[sorted(sim.pods)[1]] = "prompt.system: cannot be compiled"
    sim.edit(limits={"queue": 1})
    run(sim)
    assert (state(sim), rollout(sim)["reason"]) == (("Aborted", 1, 0), "BundleRefused")
    assert "cannot be compiled" in rollout(sim)["message"]
    assert weights(sim) == {stable: WHOLE}, "what it refuses is in no table any more, so it can follow again"


def test_a_revision_that_not_every_pod_can_serve_in_time_is_aborted() -> None:
    sim = serving(progressDeadline="2m")
    sim.silent.add(min(sim.pods))
    sim.edit(limits={"queue": 1})
    run(sim)
    assert state(sim)[0] == "Preparing"
    pass_time(sim, 120)
    assert (state(sim), rollout(sim)["reason"]) == (("Aborted", 1, 0), "ProgressDeadlineExceeded")
    assert min(sim.pods) in rollout(sim)["message"]


# Pause, resume, promote


def test_a_pause_keeps_the_requests_where_they_are_until_it_is_resumed() -> None:
    sim = changed(steps=TIMED)
    run(sim)
    assert ask(sim, "pause")["outcome"] == "Done"
    pass_time(sim, 3_600)
    assert state(sim) == ("Paused", 1, 5)
    assert (status(sim)["phase"], status(sim)["reason"]) == ("Paused", "PauseRequested")
    assert holds(sim, "Ready", "Reconciling", "Stalled", "Progressing") == ["True", "False", "False", "Unknown"]
    assert ask(sim, "pause")["outcome"] == "Rejected"
    assert ask(sim, "resume")["outcome"] == "Done"
    assert state(sim) == ("Stepping", 1, 5)
    pass_time(sim, 31)
    assert state(sim) == ("Stepping", 2, 50)


def test_a_promotion_by_hand_skips_what_is_left() -> None:
    sim = changed()
    run(sim)
    assert ask(sim, "promote")["outcome"] == "Done"
    sim.settle()
    assert state(sim)[0] == "Promoted"
    assert status(sim)["stable"]["revision"] == status(sim)["latestRevision"]


def test_a_verb_for_another_revision_is_rejected_and_moves_nothing() -> None:
    sim = changed()
    run(sim)
    stale = status(sim)["latestRevision"]
    sim.edit(limits={"queue": 2})
    run(sim)
    refused = ask(sim, "promote", stale)
    assert (refused["outcome"], state(sim)) == ("Rejected", ("Stepping", 1, 5))
    assert "is not the latest revision" in refused["message"]


def test_a_verb_that_comes_with_a_newer_spec_is_not_meant_for_it() -> None:
    sim = changed()
    run(sim)
    sim.verb("promote", "gh-1")
    sim.edit(limits={"queue": 2})
    run(sim)
    assert (answer(sim)["outcome"], state(sim)) == ("Rejected", ("Stepping", 1, 5))


def test_before_anything_is_stable_there_is_nothing_to_roll_out() -> None:
    sim = Sim(deployment=make_deployment(spec=make_spec(rollout=by_steps())), max_ready=0)
    run(sim)
    assert ask(sim, "promote")["message"].startswith("no revision is stable yet")


# A newer spec in the middle


def test_a_newer_spec_supersedes_what_is_on_its_way_and_begins_from_stable() -> None:
    sim = changed(steps=TIMED)
    stable = status(sim)["stable"]["revision"]
    run(sim)
    pass_time(sim, 30)
    first = rollout(sim)
    sim.edit(limits={"queue": 2})
    run(sim)
    assert (rollout(sim)["replaces"], rollout(sim)["revision"]) == (stable, status(sim)["latestRevision"])
    assert state(sim) == ("Stepping", 1, 5)
    assert [each["state"] for each in status(sim)["history"]].count("Superseded") == 1
    assert rollout(sim)["id"] != first["id"]
    assert weights(sim)[stable] == 9_500
    pass_time(sim, 30)
    pass_time(sim, 60)
    assert status(sim)["stable"]["revision"] == status(sim)["latestRevision"]


def test_the_old_spec_in_the_middle_takes_all_requests_back() -> None:
    sim = changed(steps=TIMED)
    stable = status(sim)["stable"]["revision"]
    run(sim)
    sim.edit(limits={})
    sim.settle()
    assert (state(sim)[0], weights(sim)) == ("Superseded", {stable: WHOLE})
    assert (status(sim)["phase"], status(sim).get("abortedRevisions")) == ("Ready", None)


def test_an_engine_change_in_the_middle_supersedes_and_serves_in_the_end() -> None:
    sim = changed(steps=TIMED)
    run(sim)
    sim.edit(model={"source": "s3://models/other"})
    sim.settle()
    assert state(sim)[0] == "Superseded"
    assert status(sim)["stable"]["revision"] == status(sim)["latestRevision"]


@pytest.mark.covers
def test_what_comes_in_the_middle_of_an_engine_change_waits_until_that_is_taken_back() -> None:
    sim = serving(TIMED)
    sim.max_ready = 3
    sim.edit(model={"source": "s3://models/other"})
    for _ in range(30):
        run(sim, 1)
        if 0 < status(sim).get("canary", {}).get("weight", 0) < 100:
            break
    sim.edit(model=make_spec()["model"], limits={"queue": 1})
    run(sim, 3)
    assert (state(sim), rollout(sim)["reason"]) == (("Preparing", 1, 0), "Draining")
    run(sim, 30)
    assert state(sim) == ("Stepping", 1, 5)
    assert len(sim.engines()) == 1


def test_shorter_steps_in_the_middle_never_skip_the_last_one() -> None:
    sim = changed(steps=[{"weightPercent": 5}, {"weightPercent": 10}, {"weightPercent": 20, "minDuration": "1h"}])
    run(sim, 12)
    assert state(sim) == ("Stepping", 3, 20)
    sim.edit(rollout=by_steps([{"weightPercent": 15, "minDuration": "1h"}]))
    run(sim)
    assert state(sim) == ("Stepping", 1, 15)


def test_without_steps_any_more_it_gets_every_request() -> None:
    sim = changed(steps=TIMED)
    run(sim)
    sim.edit(rollout={})
    sim.settle()
    assert state(sim)[0] == "Promoted"


def test_a_spec_that_cannot_be_read_moves_nothing_but_can_be_aborted() -> None:
    sim = changed(steps=TIMED)
    run(sim)
    good = sim.deployment["spec"]
    sim.edit(replicas="many")
    pass_time(sim, 600)
    assert state(sim) == ("Stepping", 1, 5)
    assert status(sim)["reason"] == "SpecInvalid"
    assert "nobody knows yet what the spec asks for" in ask(sim, "promote")["message"]
    assert ask(sim, "abort")["outcome"] == "Done"
    assert state(sim) == ("Aborted", 1, 0)
    sim.edit(**good)
    run(sim)
    assert state(sim) == ("Aborted", 1, 0)


def test_a_spec_that_cannot_be_used_yet_promotes_nothing_by_its_steps() -> None:
    sim = changed(steps=TIMED)
    run(sim)
    sim.resolver_answers["s3://models/lost"] = '{"error":"NotFound","message":"no such object"}'
    sim.edit(model={"source": "s3://models/lost"}, rollout={})
    pass_time(sim, 600)
    assert state(sim) == ("Stepping", 1, 5)


# Without replicas, and with pods that come and go


def test_at_zero_replicas_a_change_is_stable_at_once() -> None:
    sim = serving(replicas=0)
    sim.edit(limits={"queue": 1})
    sim.settle()
    assert (state(sim)[0], status(sim)["phase"]) == ("Promoted", "ScaledToZero")
    assert status(sim)["stable"]["revision"] == status(sim)["latestRevision"]


def test_time_without_a_ready_pod_does_not_count_against_a_revision() -> None:
    sim = serving(progressDeadline="2m")
    sim.crashed |= sim.pods.keys()
    sim.tick()
    sim.edit(limits={"queue": 1})
    run(sim, 3)
    assert (state(sim)[0], rollout(sim)["reason"]) == ("Preparing", "NotReady")
    pass_time(sim, 600)
    sim.crashed.clear()
    run(sim)
    assert state(sim) == ("Stepping", 1, 5)


def test_pods_that_come_in_the_middle_serve_what_the_others_do() -> None:
    sim = changed(steps=TIMED)
    run(sim)
    sim.edit(replicas=4)
    run(sim, 8)
    assert (state(sim), sim.ready_pods()) == (("Stepping", 1, 5), 4)
    pass_time(sim, 30)
    assert state(sim) == ("Stepping", 2, 50)


def test_the_last_step_to_stable_waits_for_every_ready_pod_and_says_so() -> None:
    sim = changed(steps=[{"weightPercent": 5, "minDuration": "30s"}], progressDeadline="2m")
    run(sim)
    late = min(sim.pods)
    sim.deaf.add(late)
    pass_time(sim, 30)
    stable = status(sim)["stable"]["revision"]
    assert (state(sim), stable != status(sim)["latestRevision"]) == (("Finalising", 1, 100), True)
    pass_time(sim, 120)
    assert (state(sim)[0], rollout(sim)["reason"]) == ("Finalising", "ProgressDeadlineExceeded")
    assert late in rollout(sim)["message"]
    assert holds(sim, "Stalled", "Ready") == ["True", "True"]
    sim.deaf.clear()
    sim.tick(60)
    sim.settle()
    assert (state(sim)[0], status(sim)["phase"]) == ("Promoted", "Ready")


# Rollback


def test_a_rollback_serves_what_was_stable_before_and_remembers_what_it_left() -> None:
    sim = changed(steps=[{"weightPercent": 5}])
    before = status(sim)["stable"]["revision"]
    sim.settle()
    latest = status(sim)["latestRevision"]
    assert ask(sim, "rollback")["outcome"] == "Done"
    sim.settle()
    assert (status(sim)["stable"]["revision"], status(sim)["latestRevision"]) == (before, latest)
    assert weights(sim) == {before: WHOLE}
    assert (rollout(sim)["state"], rollout(sim)["reason"], rollout(sim)["rollback"]) == ("Promoted", "RolledBack", True)
    why = f"it was rolled back to revision {before}"
    assert [(each["revision"], each["message"]) for each in status(sim)["abortedRevisions"]] == [(latest, why)]
    assert status(sim)["message"] == f"revision {latest} was aborted: {why}; revision {before} stays"
    assert holds(sim, "Ready", "Stalled", "SpecDiverged") == ["True", "True", "True"]
    assert "is not stable" in ask(sim, "rollback")["message"]
    ask(sim, "retry")
    sim.settle()
    assert status(sim)["stable"]["revision"] == latest


def test_there_is_nothing_to_roll_back_to_before_the_first_rollout() -> None:
    sim = serving()
    told = ask(sim, "rollback")
    latest = status(sim)["latestRevision"]
    words = f"no rollout has brought {latest} to the pods that serve; apply the spec that is wanted"
    assert (told["outcome"], told["message"]) == ("Rejected", words)


def test_what_was_stable_before_and_is_not_stored_any_more_is_not_gone_back_to_and_is_named() -> None:
    sim = changed(steps=[{"weightPercent": 5}])
    before = status(sim)["stable"]["revision"]
    sim.settle()
    sim.remove(CONTROLLER_REVISION, f"chat-{before}")
    told = ask(sim, "rollback")
    assert (told["outcome"], told["message"]) == ("Rejected", f"revision {before} is not stored any more; apply its spec")


def test_what_is_not_stable_yet_is_aborted_and_not_rolled_back() -> None:
    sim = changed()
    run(sim)
    assert ask(sim, "rollback")["message"].endswith("abort takes its requests back")


def test_a_newer_spec_wins_over_a_rollback() -> None:
    sim = changed(steps=[{"weightPercent": 5}])
    sim.settle()
    sim.deaf.add(min(sim.pods))
    ask(sim, "rollback")
    sim.edit(limits={"queue": 2})
    sim.deaf.clear()
    sim.tick(60)
    sim.settle()
    assert status(sim)["stable"]["revision"] == status(sim)["latestRevision"]
    assert "abortedRevisions" not in status(sim)


@pytest.mark.covers
def test_a_rollback_to_what_is_lost_leaves_what_serves() -> None:
    sim = changed(steps=[{"weightPercent": 5}])
    before = status(sim)["stable"]["revision"]
    sim.settle()
    latest = status(sim)["latestRevision"]
    sim.deaf.add(min(sim.pods))
    ask(sim, "rollback")
    sim.remove(CONTROLLER_REVISION, f"chat-{before}")
    sim.remove(CONFIG_MAP, "chat-snapshot")
    run(sim)
    assert set(weights(sim)) == {latest}
    pass_time(sim, 600)
    assert (state(sim)[0], status(sim)["stable"]["revision"]) == ("Aborted", latest)
    assert "abortedRevisions" not in status(sim)


# Losses and kills


def test_a_lost_status_begins_the_change_again_from_what_serves() -> None:
    sim = changed(steps=TIMED)
    stable = status(sim)["stable"]["revision"]
    run(sim)
    pass_time(sim, 30)
    del sim.deployment["status"]
    run(sim)
    assert (state(sim), rollout(sim)["replaces"]) == (("Stepping", 1, 5), stable)


def walked(killed: int) -> tuple[dict[str, Any], list[tuple[str, int, int]], int]:
    """Walk a whole rollout; the operator dies after so many writes, and is started again a moment later."""
    sim = changed(steps=[{"weightPercent": 5, "minDuration": "4s"}])
    writes = 0
    while status(sim).get("rollout", {}).get("state") != "Promoted":
        writes += sim.look_dying(killed - writes - 1)
        sim.tick(5)
    return status(sim), [(each["state"], each["step"], each["weight"]) for each in status(sim)["history"]], writes


def test_an_operator_killed_at_any_write_ends_the_same() -> None:
    ends, told, writes = walked(0)
    assert writes >= 10
    for killed in range(1, writes + 1):
        after, said, _ = walked(killed)
        assert {**after["rollout"], "since": ""} == {**ends["rollout"], "since": ""}
        assert (after["stable"], after["table"], said) == (ends["stable"], ends["table"], told)


def test_the_same_manifest_applied_again_and_again_moves_nothing() -> None:
    sim = changed(steps=[{"weightPercent": 5, "minDuration": "1h"}])
    run(sim)
    before, version = status(sim), sim.version
    for _ in range(20):
        sim.deployment["spec"] = json.loads(json.dumps(sim.deployment["spec"]))
        sim.look()
    assert (status(sim), sim.version) == (before, version)
