"""A change of the engine, let in by steps: one pod is tried beside those of stable, then the ratchet takes all of them over."""

from datetime import timedelta
from typing import Any

import pytest

from llm_operator.core.kinds import CONFIG_MAP, DEPLOYMENT
from llm_sidecar.table import WHOLE
from tests.unit.core.builders import SOURCE, make_deployment, make_spec
from tests.unit.core.rollout.engines import FULL, OTHER, STEPS, THIRD, Watched, by_steps
from tests.unit.core.sim import Sim

QUICK = [{"weightPercent": 5, "minDuration": "2s"}, {"weightPercent": 50, "minDuration": "2s"}]
OVER_QUOTA = 'pods "x" is forbidden: exceeded quota: gpus, requested: requests.nvidia.com/gpu=1, used: 2, limited: 2'
DENIED = 'admission webhook "policy.example.com" denied the request: image not signed'


def changed(replicas: int = 2, mode: str = "Surge", steps: list[dict[str, Any]] | None = None, **changes: Any) -> Watched:
    """A deployment whose first change of the engine has just been asked for."""
    watched = Watched.serving(replicas, mode, steps, **changes)
    watched.sim.edit(model=OTHER)
    return watched


def refuse_another_pod(one: Watched, words: str) -> None:
    """Have what there is of the new engine besides ready pods refused, as its Deployment tells it."""
    (new,) = [each for each in one.sim.engines() if each != one.old]
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": words}
    one.sim.objects[DEPLOYMENT, f"chat-{new}"]["status"] = {"conditions": [failure]}
    for name in one.pods(old=False):
        if not one.sim.ready(name):
            del one.sim.pods[name]


# The whole way


@pytest.mark.parametrize(
    ("replicas", "mode"), [(n, mode) for n in (1, 2, 4, 8) for mode in ("Surge", "Replace") if (n, mode) != (1, "Replace")]
)
def test_a_change_is_tried_on_one_pod_and_then_goes_pod_by_pod_within_its_accelerators(replicas: int, mode: str) -> None:
    one = changed(replicas, mode, QUICK)
    old, carriers = one.old, replicas - (mode == "Replace")
    one.until("Promoted", 150)
    one.sim.settle()
    states = list(dict.fromkeys(each["state"] for each in one.status["history"]))
    way = ["Preparing", "Warming", "Stepping", "Ratcheting", "Finalising", "Promoted"]
    assert [each for each in states if each != "Ratcheting"] == [each for each in way if each != "Ratcheting"]
    assert ("Ratcheting" in states) == (carriers > 1)
    cap = WHOLE // carriers
    ratchet = [WHOLE * n // carriers for n in range(1, carriers + 1)]
    assert one.weights_seen[0] == 0
    assert [each for each in one.weights_seen if each] == sorted({min(500, cap), min(5000, cap), *ratchet})
    assert one.peak == replicas + (mode == "Surge")
    assert (one.sim.engines(), one.sim.ready_pods()) == ([one.old], replicas)
    assert one.old != old
    assert (one.status["phase"], one.status["stable"]["revision"]) == ("Ready", one.status["latestRevision"])


@pytest.mark.parametrize("mode", ["Surge", "Replace"])
def test_pods_that_drain_for_long_hold_their_accelerators_until_they_end(mode: str) -> None:
    one = changed(4, mode, QUICK)
    while one.status.get("rollout", {}).get("state") != "Promoted":
        one.sim.streaming |= set(one.sim.pods)
        one.run(3)
        one.sim.streaming.clear()
        one.run(1)
    one.sim.settle()
    assert (one.rollout["state"], one.peak, one.sim.ready_pods()) == ("Promoted", 4 + (mode == "Surge"), 4)


def test_a_step_has_its_share_while_stable_keeps_all_its_pods_and_one_pod_is_all_that_is_added() -> None:
    one = changed(4)
    one.until("Stepping")
    one.run(4)
    assert (one.state, one.share()) == (("Stepping", 1, 5), 500)
    assert (one.asked(one.old), len(one.pods(old=False))) == (4, 1)
    assert one.table.salt == one.rollout["id"]
    assert (one.status["canary"]["weight"], one.status["canary"]["diffClass"]) == (5, "Engine")
    assert [one.condition(kind)["status"] for kind in ("Ready", "Reconciling", "Stalled", "Progressing")] == [
        "True",
        "False",
        "False",
        "True",
    ]
    before = one.status
    one.tick(5)
    made = one.look()
    assert (made.applies, made.nudges, made.status) == ((), (), before)


def test_a_step_that_asks_for_more_than_its_pod_can_carry_gets_that_and_says_so() -> None:
    one = changed(4)
    one.until("Stepping")
    one.run(3)
    one.pass_time(30)
    assert (one.state, one.share(), one.rollout["reason"]) == (("Stepping", 2, 50), 2500, "WeightCappedByCapacity")
    assert "50% of requests go to it, of which its pods can carry 25%" in one.rollout["message"]
    capacity = one.condition("CapacityAvailable")
    assert (capacity["status"], capacity["reason"]) == ("True", "WeightCappedByCapacity")
    one.replicas = 8
    one.sim.edit(replicas=8)
    one.healthy = False
    one.run()
    assert (one.asked(one.old), one.share(), len(one.pods(old=False))) == (8, 1250, 1)
    assert "can carry 12%" in one.rollout["message"]


def test_an_approval_keeps_the_share_and_lets_the_ratchet_begin() -> None:
    one = changed(2, steps=[{"weightPercent": 10}, {"approval": {}}])
    one.until("Stepping")
    one.run(6)
    assert (one.status["phase"], one.share(), one.condition("ApprovalRequired")["status"]) == ("Paused", 1000, "True")
    assert one.ask("approve")["outcome"] == "Done"
    one.until("Promoted")


def test_without_steps_nothing_is_rolled_out() -> None:
    one = Watched.serving(2)
    one.sim.edit(model=OTHER, rollout={})
    one.run(30)
    assert "rollout" not in one.status
    assert one.status["stable"]["revision"] == one.status["latestRevision"]


def test_steps_of_the_engine_do_not_rule_a_change_that_needs_no_pods_and_the_other_way_round() -> None:
    one = Watched.serving(2)
    one.sim.edit(limits={"queue": 1})
    one.sim.settle()
    assert "rollout" not in one.status
    one.sim.edit(model=OTHER, rollout={"config": {"steps": STEPS}})
    one.run(30)
    assert "rollout" not in one.status


# Capacity


def test_a_pod_without_a_node_is_waited_for_without_a_deadline_and_stable_stays_as_it_is() -> None:
    one = changed(2, progressDeadline="1m")
    one.sim.unschedulable = FULL
    one.until("WaitingCapacity")
    for _ in range(5):
        one.pass_time(600)
    assert (one.state, one.rollout["reason"]) == (("WaitingCapacity", 1, 0), "Unschedulable")
    assert "1 pod waits for 1 more nvidia.com/gpu" in one.rollout["message"]
    assert (one.condition("CapacityAvailable")["status"], one.condition("Stalled")["status"]) == ("False", "False")
    assert one.sim.ready_pods(one.old) == 2
    one.sim.unschedulable = ""
    one.until("Stepping")


def test_a_pod_that_the_quota_does_not_allow_is_waited_for_in_the_words_of_the_quota() -> None:
    one = changed(2)
    one.run(2)
    refuse_another_pod(one, OVER_QUOTA)
    one.look()
    assert (one.rollout["state"], one.rollout["reason"]) == ("WaitingCapacity", "FailedCreate")
    assert "exceeded quota" in one.rollout["message"]
    assert (one.condition("CapacityAvailable")["status"], one.condition("CapacityAvailable")["reason"]) == ("False", "FailedCreate")


@pytest.mark.covers
def test_a_pod_that_is_refused_for_anything_but_a_quota_has_a_deadline_and_is_given_up_in_the_words_of_who_refused_it() -> None:
    one = changed(2, progressDeadline="1m")
    one.run(2)
    refuse_another_pod(one, DENIED)
    one.look()
    assert (one.rollout["state"], one.rollout["message"]) == ("Warming", f"pods cannot be created: {DENIED}")
    assert one.condition("CapacityAvailable")["status"] != "False"
    one.sim.now += timedelta(seconds=60)
    one.look()
    assert (one.state, one.rollout["reason"]) == (("Aborted", 1, 0), "ProgressDeadlineExceeded")
    assert DENIED in one.rollout["message"]


def test_a_pod_that_never_gets_ready_is_given_up_after_the_deadline() -> None:
    one = changed(2, progressDeadline="2m")
    one.sim.max_ready = 2
    one.until("Warming")
    one.run(3)
    one.pass_time(60)
    assert one.rollout["state"] == "Warming"
    assert "0 of 1 pods ready" in one.rollout["message"]
    one.pass_time(60)
    assert (one.state, one.rollout["reason"]) == (("Aborted", 1, 0), "ProgressDeadlineExceeded")
    one.sim.settle()
    assert one.sim.engines() == [one.old]


@pytest.mark.parametrize("trouble", ["lonely", "silent"])
def test_no_request_goes_to_it_before_every_sidecar_has_reached_it(trouble: str) -> None:
    one = changed(2)
    who = min(one.sim.pods)
    getattr(one.sim, trouble).add(who)
    one.until("Warming")
    one.run(6)
    assert (one.rollout["state"], one.share()) == ("Warming", 0)
    assert who in one.rollout["message"]
    getattr(one.sim, trouble).clear()
    one.until("Stepping")


def test_the_next_pod_waits_for_the_accelerator_of_one_that_still_drains() -> None:
    one = changed(2)
    one.until("Stepping")
    one.run(3)
    one.sim.streaming |= set(one.pods(old=False))
    one.sim.edit(model=THIRD)
    one.run(20)
    assert (one.rollout["state"], one.rollout["reason"]) == ("Preparing", "Draining")
    assert len(one.sim.held()) == 3
    one.sim.streaming.clear()
    one.until("Stepping")


def test_a_pod_that_never_ends_is_named_by_the_change_it_keeps_away_with_the_way_out() -> None:
    one = Watched.serving(2)
    one.healthy = False
    stuck = one.pods(old=True)[0]
    one.sim.streaming.add(stuck)
    one.sim.pods[stuck]["metadata"]["deletionTimestamp"] = "now"
    one.run(6)
    one.sim.edit(model=OTHER)
    one.run(6, 600)
    assert (one.rollout["state"], one.rollout["reason"]) == ("Preparing", "Draining")
    assert one.rollout["message"].endswith(f": waiting for the end of {stuck} (delete it by force if its node is gone)")
    assert one.condition("Progressing")["message"].endswith(one.rollout["message"])
    one.sim.streaming.clear()
    one.until("Stepping")


@pytest.mark.covers
def test_a_pod_that_does_not_come_up_in_the_ratchet_is_told_of_after_the_deadline_and_nothing_is_given_up() -> None:
    one = changed(4, steps=QUICK, progressDeadline="2m")
    one.until("Ratcheting")
    while one.share() < 5000:
        one.run(1)
    one.sim.max_ready = 4
    one.run(8)
    assert (one.rollout["reason"], one.condition("Stalled")["status"]) == ("Warming", "False")
    serving = one.share()
    one.pass_time(60)
    assert one.condition("Stalled")["status"] == "False"
    one.pass_time(60)
    stalled = one.condition("Stalled")
    assert (stalled["status"], stalled["reason"], one.rollout["state"]) == ("True", "ProgressDeadlineExceeded", "Ratcheting")
    assert "the next one is not up after 120s" in stalled["message"]
    one.pass_time(600)
    assert (one.share(), one.rollout["reason"]) == (serving, "ProgressDeadlineExceeded")
    one.sim.max_ready = 9
    one.until("Promoted")


def test_in_the_ratchet_no_time_counts_while_the_next_pod_waits_for_room() -> None:
    one = changed(4, steps=QUICK, progressDeadline="1m")
    one.until("Ratcheting")
    one.sim.unschedulable = FULL
    one.run(10)
    one.pass_time(600)
    assert (one.rollout["state"], one.rollout["reason"], one.condition("Stalled")["status"]) == ("Ratcheting", "Unschedulable", "False")
    one.sim.unschedulable = ""
    one.until("Promoted")


def at_the_second_pod_of_the_ratchet() -> Watched:
    one = changed(4, steps=QUICK, progressDeadline="1m")
    one.until("Ratcheting")
    while max(one.asked(each) for each in one.sim.engines() if each != one.old) < 2:
        one.run(1)
    return one


def test_a_quota_that_refuses_the_next_pod_of_the_ratchet_is_told_of_and_no_time_counts() -> None:
    one = at_the_second_pod_of_the_ratchet()
    refuse_another_pod(one, OVER_QUOTA)
    one.look()
    one.sim.now += timedelta(seconds=600)
    one.look()
    assert (one.rollout["state"], one.rollout["reason"], one.condition("Stalled")["status"]) == ("Ratcheting", "FailedCreate", "False")
    capacity = one.condition("CapacityAvailable")
    assert (capacity["status"], capacity["reason"], OVER_QUOTA in capacity["message"]) == ("False", "FailedCreate", True)
    assert f"1 of 2 pods ready; pods cannot be created: {OVER_QUOTA}" in one.status["message"]


def test_whatever_else_refuses_the_next_pod_of_the_ratchet_is_told_of_after_the_deadline() -> None:
    one = at_the_second_pod_of_the_ratchet()
    refuse_another_pod(one, DENIED)
    one.look()
    assert (one.rollout["reason"], one.condition("Stalled")["status"]) == ("Warming", "False")
    one.sim.now += timedelta(seconds=60)
    one.look()
    stalled = one.condition("Stalled")
    assert (stalled["status"], stalled["reason"], DENIED in stalled["message"]) == ("True", "ProgressDeadlineExceeded", True)


# The canary's pod is lost


def test_a_canary_that_dies_has_no_request_from_the_next_look_on_and_its_step_begins_anew() -> None:
    one = changed(2)
    one.until("Stepping")
    one.run(3)
    one.pass_time(20)
    one.healthy = False
    (pod,) = one.pods(old=False)
    one.sim.crashed.add(pod)
    one.sim.tick(1)
    one.look()
    assert one.share() == 0
    assert (one.rollout["state"], one.rollout["weight"]) == ("Warming", 0)
    one.sim.crashed.clear()
    one.until("Stepping")
    one.run(4)
    assert (one.state, one.share()) == (("Stepping", 1, 5), 500)
    one.pass_time(15)
    assert one.state == ("Stepping", 1, 5), "its time counts from when it is back"
    one.pass_time(20)
    assert one.state == ("Stepping", 2, 50)


@pytest.mark.covers
def test_a_canary_that_crashes_again_and_again_is_aborted_and_does_not_begin_its_step_for_ever() -> None:
    one = changed(2)
    one.healthy = False
    for restarts in range(1, 4):
        one.until("Stepping")
        one.run(3)
        (pod,) = one.pods(old=False)
        one.sim.crashed.add(pod)
        one.sim.pods[pod]["status"]["containerStatuses"][0]["restartCount"] = restarts
        one.sim.tick(1)
        one.run(2)
        one.sim.crashed.clear()
    assert (one.rollout["state"], one.rollout["reason"]) == ("Aborted", "EngineCrashes")
    assert "started again 3 times" in one.rollout["message"]
    one.sim.settle()
    assert one.sim.engines() == [one.old]


def evict(one: Watched) -> None:
    """Have the pod on trial replaced by one of another name, whose engine has never been started again."""
    one.run(3)
    (pod,) = one.pods(old=False)
    del one.sim.pods[pod]
    one.run(1)


@pytest.mark.covers
def test_a_canary_whose_pod_is_replaced_again_and_again_is_aborted_and_does_not_begin_its_step_for_ever() -> None:
    one = changed(2)
    one.healthy = False
    for losses in (1, 2):
        one.until("Stepping")
        evict(one)
        assert (one.rollout["state"], one.rollout["losses"]) == ("Warming", losses)
    one.until("Stepping")
    evict(one)
    assert (one.state, one.rollout["reason"]) == (("Aborted", 1, 0), "CanaryLost")
    assert "its pod was lost, or stopped being ready, 3 times at the same step" in one.rollout["message"]
    one.sim.settle()
    assert one.sim.engines() == [one.old]


def test_at_the_next_step_the_losses_of_a_canary_are_counted_anew() -> None:
    one = changed(2, steps=[{"weightPercent": 5, "minDuration": "30s"}, {"weightPercent": 10, "minDuration": "30s"}])
    one.healthy = False
    for step in (1, 2):
        for _ in range(2):
            one.until("Stepping")
            evict(one)
        one.until("Stepping")
        assert (one.rollout["step"], one.rollout["losses"]) == (step, 2)
        one.run(3)
        one.pass_time(30)
    one.until("Promoted")
    assert "losses" not in one.rollout


def test_a_canary_whose_next_pod_finds_no_node_each_time_was_lost_as_well() -> None:
    one = changed(2)
    one.healthy = False
    for state in ("WaitingCapacity", "WaitingCapacity", "Aborted"):
        one.sim.unschedulable = ""
        one.until("Stepping")
        one.run(3)
        one.sim.unschedulable = FULL
        (pod,) = one.pods(old=False)
        del one.sim.pods[pod]
        one.sim.tick(1)
        one.run(1)
        assert one.rollout["state"] == state
    assert one.rollout["reason"] == "CanaryLost"


def test_a_canary_that_gives_way_to_stable_is_not_lost_by_that() -> None:
    one = changed(2, steps=[{"weightPercent": 5, "minDuration": "1h"}])
    one.healthy = False
    for _ in range(4):
        one.sim.accelerators = 3
        one.sim.edit(replicas=2)
        one.until("Stepping")
        one.run(3)
        one.sim.edit(replicas=3)
        one.until("WaitingCapacity")
        one.run(6)
    assert one.rollout["state"] == "WaitingCapacity"
    assert "losses" not in one.rollout


def test_a_canary_that_dies_at_an_approval_comes_back_to_it_with_the_share_it_had() -> None:
    one = changed(2, steps=[{"weightPercent": 10}, {"approval": {}}])
    one.until("Stepping")
    one.run(6)
    assert one.state == ("Stepping", 2, 10)
    one.healthy = False
    one.sim.crashed |= set(one.pods(old=False))
    one.sim.tick(1)
    one.run(2)
    assert (one.state, one.share()) == (("Warming", 2, 0), 0)
    one.sim.crashed.clear()
    one.run(8)
    assert (one.state, one.share()) == (("Stepping", 2, 10), 1000)


def test_a_paused_canary_that_dies_stays_paused_and_has_its_share_when_it_is_back() -> None:
    one = changed(2)
    one.until("Stepping")
    one.run(3)
    one.ask("pause")
    one.healthy = False
    one.sim.crashed |= set(one.pods(old=False))
    one.sim.tick(1)
    one.run(2)
    assert (one.state, one.share()) == (("Paused", 1, 5), 0)
    one.sim.crashed.clear()
    one.run(6)
    assert (one.state, one.share()) == (("Paused", 1, 5), 500)


def test_a_canary_without_a_node_after_a_loss_waits_for_one() -> None:
    one = changed(2)
    one.until("Stepping")
    one.run(3)
    one.healthy = False
    one.sim.unschedulable = FULL
    (pod,) = one.pods(old=False)
    del one.sim.pods[pod]
    one.run(3)
    assert (one.rollout["state"], one.share()) == ("WaitingCapacity", 0)
    one.sim.unschedulable = ""
    one.until("Stepping")


# Abort and return


def test_an_abort_takes_requests_first_and_the_pod_only_when_every_sidecar_knows() -> None:
    one = changed(2)
    one.until("Stepping")
    one.run(3)
    late = min(one.pods(old=True))
    one.sim.deaf.add(late)
    assert one.ask("abort")["outcome"] == "Done"
    one.run(6)
    assert (one.state, one.share()) == (("Aborted", 1, 0), 0)
    assert len(one.pods(old=False)) == 1, f"{late} may still send requests there"
    one.sim.deaf.clear()
    one.sim.tick(70)
    one.sim.settle()
    assert (one.sim.engines(), len(one.sim.held())) == ([one.old], 2)
    assert [each["revision"] for each in one.status["abortedRevisions"]] == [one.status["latestRevision"]]
    assert (one.status["phase"], one.status["reason"]) == ("Stalled", "Aborted")


def test_a_canary_that_was_aborted_is_kept_warm_for_a_while_and_a_retry_does_not_load_it_again() -> None:
    one = changed(2, keep="2m")
    one.until("Stepping")
    one.run(3)
    pods = one.pods(old=False)
    one.ask("abort")
    one.run(6)
    assert (one.share(), one.pods(old=False)) == (0, pods)
    assert "keeps its pod until" in one.status["message"]
    one.ask("retry")
    one.until("Stepping")
    assert one.pods(old=False) == pods
    one.ask("abort")
    made = one.run(6)
    assert made.next_look_s is not None
    assert 100 < made.next_look_s <= 120
    one.tick(made.next_look_s + 1)
    one.sim.settle()
    assert one.sim.engines() == [one.old]


@pytest.mark.covers
def test_a_pod_that_has_not_been_ready_yet_is_not_kept() -> None:
    one = changed(2, keep="1h")
    one.sim.unschedulable = FULL
    one.until("WaitingCapacity")
    assert "no pod of its engine can serve it yet" in one.ask("promote")["message"]
    one.ask("abort")
    one.sim.settle()
    assert (one.sim.engines(), len(one.sim.held())) == ([one.old], 2)


def test_what_is_kept_warm_goes_at_once_when_something_else_is_asked_for() -> None:
    one = changed(2, keep="1h")
    one.until("Stepping")
    one.ask("abort")
    one.run(4)
    one.sim.edit(model={"source": SOURCE})
    one.sim.settle()
    assert one.sim.engines() == [one.old]


def test_with_replace_stable_gets_its_accelerator_back_at_once() -> None:
    one = changed(2, "Replace", keep="1h")
    one.until("Stepping")
    one.run(3)
    one.ask("abort")
    one.sim.settle()
    assert (one.sim.engines(), one.sim.ready_pods(one.old)) == ([one.old], 2)


def test_an_abort_in_the_middle_of_the_ratchet_goes_back_pod_by_pod() -> None:
    one = changed(4, steps=QUICK)
    one.until("Ratcheting")
    while one.share() < 5000:
        one.run(1)
    shares = []
    one.ask("abort")
    for _ in range(40):
        one.run(1)
        shares.append(one.share())
        assert one.sim.ready_pods() >= 4
    one.sim.settle()
    assert sorted(shares, reverse=True) == shares
    assert 2500 in shares
    assert (one.sim.engines(), one.sim.ready_pods(one.old)) == ([one.old], 4)


def test_a_stable_pod_that_blinks_keeps_no_request_with_what_was_aborted() -> None:
    one = changed(4)
    one.until("Stepping")
    one.run(3)
    one.healthy = False
    one.sim.crashed.add(min(one.pods(old=True)))
    one.sim.tick(1)
    one.ask("abort")
    one.run(2)
    assert one.share() == 0


def test_a_spec_that_cannot_be_read_keeps_nobody_from_an_abort() -> None:
    one = changed(2)
    one.until("Stepping")
    one.run(3)
    good = one.sim.deployment["spec"]
    one.sim.edit(replicas="many")
    one.run(2)
    assert (one.state, one.share()) == (("Stepping", 1, 5), 500)
    one.ask("abort")
    one.run(3)
    assert (one.state, one.share()) == (("Aborted", 1, 0), 0)
    one.sim.edit(**good)
    one.sim.settle()
    assert one.sim.engines() == [one.old]


# A newer spec in the middle


def test_a_newer_spec_on_another_engine_supersedes_and_begins_when_the_canary_is_gone() -> None:
    one = changed(2)
    one.until("Stepping")
    one.run(3)
    (first,) = one.pods(old=False)
    one.sim.edit(model=THIRD)
    one.run(2)
    assert one.share() == 0
    one.until("Stepping")
    assert first not in one.sim.pods
    assert [each["state"] for each in one.status["history"]].count("Superseded") == 1
    one.sim.tick(30)
    one.run()
    one.sim.tick(60)
    one.run()
    one.until("Promoted")
    one.sim.settle()


LOST = '{"error":"NotFound","message":"no such object"}'


@pytest.mark.parametrize(
    "newer",
    [{"model": THIRD}, {"model": THIRD, "rollout": {}}, {"accelerator": {"profile": "nope"}, "rollout": {}}],
    ids=["without weights", "without weights and steps", "without an accelerator and steps"],
)
def test_a_newer_spec_that_cannot_be_used_leaves_what_is_on_its_way_where_it_is(newer: dict[str, Any]) -> None:
    """Its steps are of another revision: they promote nothing of this one."""
    one = changed(2)
    one.until("Stepping")
    one.run(3)
    was, good = one.rollout, one.sim.deployment["spec"]
    one.sim.resolver_answers[THIRD["source"]] = LOST
    one.sim.edit(**newer)
    one.run(6, 60)
    assert (one.rollout, one.share()) == (was, 500)
    refused = one.ask("promote")
    assert (refused["outcome"], "nobody knows yet what the spec asks for" in refused["message"]) == ("Rejected", True)
    one.sim.edit(**good)
    one.until("Promoted")
    one.sim.settle()


def test_a_newer_spec_that_cannot_be_used_makes_nothing_stable_for_asking_for_no_pods() -> None:
    one = changed(2)
    one.until("Stepping")
    one.run(3)
    before, one.healthy = one.status["stable"]["revision"], False
    one.sim.edit(accelerator={"profile": "nope"}, replicas=0)
    one.run(6)
    assert one.status["stable"]["revision"] == before


def test_a_newer_prompt_on_the_engine_of_the_canary_begins_anew_on_the_pod_that_is_there() -> None:
    one = changed(2)
    one.until("Stepping")
    one.run(3)
    pods, first = one.pods(old=False), one.rollout["id"]
    one.sim.edit(limits={"queue": 3})
    one.run(8)
    assert (one.state, one.pods(old=False)) == (("Stepping", 1, 5), pods)
    assert one.rollout["id"] != first
    assert one.table.salt == one.rollout["id"]


def test_a_newer_prompt_in_the_middle_of_the_ratchet_waits_until_stable_has_its_pods_again() -> None:
    one = changed(4, steps=QUICK)
    one.until("Ratcheting")
    while one.share() < 5000:
        one.run(1)
    one.sim.edit(limits={"queue": 3}, rollout=by_steps())
    one.run(1)
    assert one.rollout["state"] == "Preparing"
    assert one.share() >= 2500
    one.run(2)
    assert "is taken back first" in one.rollout["message"]
    for _ in range(60):
        one.run(1)
        assert one.sim.ready_pods() >= 4
    assert (one.rollout["state"], one.sim.ready_pods(one.old), len(one.pods(old=False))) == ("Stepping", 4, 1)


def test_steps_that_are_asked_for_in_the_middle_of_a_change_without_any_begin_when_that_is_taken_back() -> None:
    one = Watched.serving(4)
    one.sim.edit(model=OTHER, rollout={})
    while one.share() < 5000:
        one.run(1)
    one.sim.edit(rollout=by_steps())
    for _ in range(60):
        one.run(1)
        assert one.sim.ready_pods() >= 4
    assert (one.rollout["state"], one.sim.ready_pods(one.old), len(one.pods(old=False))) == ("Stepping", 4, 1)


def test_the_old_spec_takes_all_requests_back() -> None:
    one = changed(4)
    one.until("Stepping")
    one.run(3)
    one.sim.edit(model={"source": SOURCE})
    one.sim.settle()
    assert (one.rollout["state"], one.share(), one.sim.engines()) == ("Superseded", 0, [one.old])


def test_steps_that_are_gone_in_the_middle_leave_the_ratchet() -> None:
    one = changed(2)
    one.until("Stepping")
    one.sim.edit(rollout={})
    one.until("Promoted")
    one.sim.settle()


# Rollback


def test_a_rollback_to_another_engine_is_a_ratchet_without_steps() -> None:
    one = changed(4, steps=QUICK)
    before, revision = one.old, one.status["stable"]["revision"]
    one.until("Promoted", 150)
    one.sim.settle()
    one.weights_seen.clear()
    assert one.ask("rollback")["outcome"] == "Done"
    one.run(3)
    one.until("Promoted", 150)
    one.sim.settle()
    assert (one.old, one.status["stable"]["revision"], one.rollout["reason"]) == (before, revision, "RolledBack")
    assert one.weights_seen == [0, 2500, 5000, 7500, WHOLE, 0]
    assert [each["revision"] for each in one.status["abortedRevisions"]] == [one.status["latestRevision"]]


# Emergency


def test_when_stable_is_lost_requests_go_to_the_canary_at_once_and_after_a_minute_it_is_stable() -> None:
    one = changed(2)
    one.until("Stepping")
    one.run(3)
    one.healthy = False
    lost = one.old
    one.sim.crashed |= set(one.pods(old=True))
    one.sim.tick(1)
    one.look()
    assert one.share() == WHOLE
    one.run(4)
    assert one.old == lost
    one.sim.tick(70)
    one.run(6)
    assert (one.old != lost, one.rollout["state"], one.rollout["reason"]) == (True, "Promoted", "StableLost")
    assert [each["state"] for each in one.status["history"]].count("Promoted") == 1
    one.sim.settle()
    assert (one.sim.engines(), one.sim.ready_pods()) == ([one.old], 2)


@pytest.mark.covers
def test_when_stable_is_lost_in_the_middle_of_the_ratchet_the_new_engine_is_stable_with_the_pods_it_has() -> None:
    one = changed(4, steps=QUICK)
    one.until("Ratcheting")
    one.run(3)
    one.healthy = False
    lost = one.old
    one.sim.crashed |= set(one.pods(old=True))
    one.sim.max_ready = 1
    one.sim.tick(1)
    one.sim.tick(70)
    one.run(4)
    assert (one.old != lost, one.rollout["state"], one.sim.ready_pods() < 4) == (True, "Promoted", True)
    one.sim.max_ready = 9
    one.sim.settle()
    assert (one.sim.engines(), one.sim.ready_pods()) == ([one.old], 4)


def test_when_stable_only_blinks_the_steps_go_on_and_nothing_is_given_up() -> None:
    one = changed(2)
    one.until("Stepping")
    one.run(3)
    one.healthy = False
    pods = one.pods(old=True)
    one.sim.crashed |= set(pods)
    one.sim.tick(1)
    one.run(2)
    assert one.share() == WHOLE
    one.sim.crashed.clear()
    one.run(4)
    assert (one.state, one.share(), one.pods(old=True)) == (("Stepping", 1, 5), 500, pods)


@pytest.mark.covers
def test_when_stable_is_lost_and_the_canary_has_no_room_a_lost_pod_makes_it() -> None:
    one = changed(1)
    one.sim.unschedulable = FULL
    one.until("WaitingCapacity")
    one.healthy = False
    lost = one.old
    one.sim.crashed |= set(one.pods(old=True))
    one.sim.tick(1)
    one.run(2)
    one.sim.tick(70)
    one.run(4)
    assert one.asked(lost) == 0
    one.sim.unschedulable = ""
    one.run(12)
    one.sim.settle()
    assert one.old != lost


# One accelerator in all


def test_with_the_only_accelerator_the_change_is_approved_first_and_then_made_without_steps() -> None:
    one = changed(1, "Replace", [{"weightPercent": 5}, {"approval": {}}, {"weightPercent": 50}])
    one.run(10)
    assert (one.state, one.rollout["reason"]) == (("Stepping", 1, 0), "ApprovalRequired")
    assert (one.sim.ready_pods(one.old), one.pods(old=False)) == (1, [])
    one.ask("approve")
    one.until("Promoted")
    one.sim.settle()
    assert one.sim.ready_pods() == 1
    assert one.status["stable"]["revision"] == one.status["latestRevision"]
    assert one.ask("rollback")["outcome"] == "Done"
    one.run(3)
    one.until("Promoted")
    one.sim.settle()
    assert one.status["stable"]["revision"] != one.status["latestRevision"]


def test_with_the_only_accelerator_shares_cannot_be_kept_so_without_an_approval_it_goes_without_steps() -> None:
    one = changed(1, "Replace")
    one.run(40)
    assert "rollout" not in one.status
    assert one.status["stable"]["revision"] == one.status["latestRevision"]


@pytest.mark.covers
def test_a_deployment_that_shrinks_to_the_only_accelerator_in_the_middle_aborts() -> None:
    one = changed(2, "Replace")
    one.until("Stepping")
    one.run(3)
    one.healthy = False
    one.sim.edit(replicas=1)
    one.run(6)
    assert (one.rollout["state"], one.rollout["reason"]) == ("Aborted", "WeightCappedByCapacity")
    one.sim.settle()
    assert (one.sim.engines(), one.sim.ready_pods(one.old)) == ([one.old], 1)


def test_approved_in_the_middle_of_shrinking_to_the_only_accelerator_the_canary_has_no_request_until_it_is_alone() -> None:
    one = changed(2, "Replace", [{"weightPercent": 5, "minDuration": "1h"}, {"approval": {}}])
    one.until("Stepping")
    one.run(3)
    one.healthy = False
    one.sim.edit(replicas=1)
    one.run(8)
    assert (one.rollout["state"], one.share(), one.pods(old=False)) == ("Stepping", 0, [])
    one.ask("approve")
    one.until("Promoted")
    one.sim.settle()


# Without replicas, kills


def test_at_zero_replicas_a_change_is_stable_at_once_also_in_the_middle() -> None:
    one = changed(0)
    one.sim.settle()
    assert (one.rollout["state"], one.status["phase"]) == ("Promoted", "ScaledToZero")
    other = changed(2)
    other.until("Stepping")
    other.healthy = False
    other.sim.edit(replicas=0)
    other.sim.settle()
    assert (other.rollout["state"], other.status["phase"]) == ("Promoted", "ScaledToZero")


def test_a_lost_status_begins_the_steps_again_from_what_serves() -> None:
    one = changed(2)
    stable = one.status["stable"]["revision"]
    one.until("Stepping")
    one.run(3)
    del one.sim.deployment["status"]
    one.run(12)
    assert (one.state, one.rollout["replaces"]) == (("Stepping", 1, 5), stable)


def test_a_status_that_is_lost_in_the_middle_of_the_ratchet_has_stable_get_its_pods_back_first() -> None:
    one = changed(4, steps=QUICK)
    one.until("Ratcheting")
    while one.share() < 5000:
        one.run(1)
    one.healthy = False
    del one.sim.deployment["status"]
    one.run(3)
    assert (one.rollout["state"], one.rollout["reason"], one.share() >= 2500) == ("Preparing", "Draining", True)
    while one.rollout["state"] != "Promoted":
        one.run(1)
        assert one.sim.ready_pods() >= 4


def test_a_canary_whose_deployment_somebody_deletes_is_made_again() -> None:
    one = changed(2)
    one.until("Stepping")
    one.run(3)
    one.healthy = False
    (new,) = [each for each in one.sim.engines() if each != one.old]
    one.sim.remove(DEPLOYMENT, f"chat-{new}")
    one.run(3)
    assert one.share() == 0
    one.until("Stepping")


def test_a_lost_snapshot_in_the_middle_begins_the_share_again() -> None:
    one = changed(2)
    one.until("Stepping")
    one.run(3)
    one.healthy = False
    one.sim.remove(CONFIG_MAP, "chat-snapshot")
    one.sim.look()
    one.run(10)
    assert (one.rollout["state"], one.share()) == ("Stepping", 500)


def walked(killed: int, *, aborted: bool) -> tuple[dict[str, Any], int]:
    """Walk a whole rollout, or an aborted one; the operator dies after so many writes, and is started again a moment later."""
    sim = Sim(deployment=make_deployment(spec=make_spec(replicas=2, rollout=by_steps(QUICK[:1]))))
    sim.settle()
    sim.edit(model=OTHER)
    writes, old = 0, sim.engines()
    for _ in range(100):
        state = sim.deployment["status"].get("rollout", {}).get("state")
        if aborted and state == "Stepping":
            sim.verb("abort", "gh-1")
        writes += sim.look_dying(killed - writes - 1)
        sim.tick()
        assert len(sim.held()) <= 3
        assert sim.ready_pods() >= 2
        assert not aborted or sim.ready_pods(*old) == 2
        if state in {"Promoted", "Aborted"} and len(sim.engines()) == 1:
            return sim.deployment["status"], writes
    raise AssertionError(sim.deployment["status"])


@pytest.mark.parametrize("aborted", [False, True])
def test_an_operator_killed_at_any_write_ends_the_same(*, aborted: bool) -> None:
    ends, writes = walked(0, aborted=aborted)
    assert writes >= 10
    for killed in range(1, writes + 1):
        after, _ = walked(killed, aborted=aborted)
        assert {**after["rollout"], "since": ""} == {**ends["rollout"], "since": ""}
        assert after["stable"] == ends["stable"]
