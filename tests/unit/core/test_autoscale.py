"""Pods that tell their load: as many as that needs, never on figures that are missing, one total for stable and canary."""

from dataclasses import replace
from typing import Any

import pytest

from llm_operator.core.kinds import CONFIG_MAP, DEPLOYMENT
from llm_operator.core.reasons import Reason
from llm_operator.core.scaling.capacity import Learned
from llm_operator.core.scaling.load import Track
from llm_operator.core.scaling.sample import MOST, Counters, Most, Sample
from llm_operator.core.scaling.watched import Watched
from llm_operator.core.world import engine_of, ready
from tests.unit.core.builders import make_deployment, make_spec
from tests.unit.core.rollout.engines import FULL, by_steps
from tests.unit.core.sim import Sim
from tests.unit.core.test_engine_change import OTHER, asked, condition, run

KNOWN = Learned(
    products=((100.0, 0.0, 0.0), (0.0, 100.0, 0.0), (0.0, 0.0, 100.0)),
    targets=(100.0, 100.0, 100.0),
    seen=100.0,
    prompts=100.0,
    prompt_sum=50_000.0,
    outputs=100.0,
    output_sum=10_000.0,
)
"""A pod that works as is assumed: it reads some 9,000 tokens of prompts a second."""
POD = 9_000 * 0.8
"""Tokens a second that one pod is given."""


def scaled(replicas: int = 2, mode: str = "BuiltIn", rollout: dict[str, Any] | None = None, **autoscaling: Any) -> Sim:
    asked_for = {"mode": mode, "maxReplicas": 6, "scaleDownDelay": "1m", **autoscaling}
    sim = Sim(deployment=make_deployment(spec=make_spec(replicas=replicas, autoscaling=asked_for, rollout=rollout or {})))
    run(sim, 8)
    return sim


def under(
    sim: Sim, tokens_per_s: float, seconds: int = 30, *, silent: bool = False, silent_new: bool = False, learned: Learned = KNOWN
) -> None:
    """Let time pass under load: each ready pod has the same part of it, and tells so every five seconds, unless it is silent."""
    for _ in range(seconds // 5):
        sim.tick(5)
        pods = [pod for pod in sim.held() if ready(pod) and engine_of(pod)]
        tracks = dict(sim.watched.tracks)
        for pod in () if silent else pods:
            uid = pod["metadata"]["uid"]
            before = tracks.get(uid)
            if silent_new and before is None:
                continue
            read = before.last.counters.prefill_tokens if before else 0.0
            counters = Counters(read + 5 * tokens_per_s / len(pods), *[0.0] * 8)
            told = Sample(sim.now, 1, 0, 100_000, counters, (float(sum(uid.encode())), float(hash(uid))))
            tracks[uid] = before.hear(told) if before else Track((told,))
        sim.watched = Watched(tracks, dict.fromkeys({engine_of(pod) for pod in pods}, learned), sim.watched.memory)
        sim.look()


def stable(sim: Sim) -> int | None:
    (engine,) = sim.engines()
    return asked(sim, engine)


def test_more_load_has_more_pods_at_once() -> None:
    sim = scaled()
    under(sim, 3.2 * POD, seconds=20)
    assert stable(sim) == 4
    entry = sim.deployment["status"]["autoscaling"]
    assert (entry["mode"], entry["replicas"]) == ("BuiltIn", 4)
    last = next(each for each in entry["lastDecisions"] if each["reason"] == "LoadGrew")
    assert (last["replicas"], last["reason"], last["wanted"], last["message"]) == (4, "LoadGrew", 4, "4 are needed, 2 are there or coming")
    assert last["need"]["prompts"].startswith("3.")
    assert condition(sim, "ScalingActive")["status"] == "True"
    assert condition(sim, "ScalingConflict")["status"] == "False"


def test_a_reading_that_asks_for_more_is_not_waited_for() -> None:
    sim = scaled()
    under(sim, 1.2 * POD, seconds=120)
    alarm = sim.plan().alarm
    assert alarm is not None
    assert (alarm.known, alarm.most) == (2, 6)
    assert not alarm.rings(sim.watched.tracks, sim.now)
    busy = {uid: each.hear(replace(each.last, at=sim.now, running=150)) for uid, each in sim.watched.tracks.items()}
    assert not alarm.rings(busy, sim.now), "nothing new was told"
    sim.tick(3)
    busy = {uid: each.hear(replace(each.last, at=sim.now, running=250)) for uid, each in sim.watched.tracks.items()}
    assert alarm.rings(busy, sim.now)


def test_a_shadow_says_what_it_would_do_and_does_nothing() -> None:
    sim = scaled(mode="Shadow")
    under(sim, 3.2 * POD)
    assert stable(sim) == 2
    assert sim.deployment["status"]["autoscaling"]["replicas"] == 4
    assert "ScalingConflict" not in {each["type"] for each in sim.deployment["status"]["conditions"]}


def test_pods_go_one_by_one_when_the_load_has_gone_for_a_while() -> None:
    sim = scaled(replicas=4)
    under(sim, 0.5 * POD, seconds=65)
    assert stable(sim) == 4
    under(sim, 0.5 * POD, seconds=30)
    assert stable(sim) == 3
    under(sim, 0.5 * POD, seconds=300)
    assert stable(sim) == 1


def test_pods_that_have_nothing_to_do_go_although_nothing_was_learned() -> None:
    """A sidecar asks an idle engine for a token every ten seconds, which is no load; with some, nobody knows what a pod carries."""
    for tokens_per_s, pods in ((4.0, 1), (0.5 * POD, 4)):
        sim = scaled(replicas=4)
        under(sim, tokens_per_s, seconds=330, learned=Learned())
        assert stable(sim) == pods


def test_figures_that_are_missing_move_nothing() -> None:
    sim = scaled(replicas=4)
    under(sim, 2.5 * POD, seconds=120)
    there = stable(sim)
    under(sim, 0, seconds=600, silent=True)
    assert stable(sim) == there
    assert condition(sim, "ScalingActive")["reason"] == "MetricsStale"
    assert condition(sim, "ScalingActive")["status"] == "False"


def test_a_pod_that_has_just_become_ready_is_not_silent_yet() -> None:
    sim = scaled()
    under(sim, 3.2 * POD, seconds=20)
    assert stable(sim) == 4
    under(sim, 3.2 * POD, seconds=15, silent_new=True)
    assert sim.ready_pods() == 4
    assert condition(sim, "ScalingActive")["status"] == "True"
    under(sim, 3.2 * POD, seconds=30, silent_new=True)
    assert condition(sim, "ScalingActive")["reason"] == "MetricsStale"


def test_who_sets_replicas_besides_is_told_so() -> None:
    sim = scaled()
    under(sim, 1.2 * POD)
    sim.edit(replicas=5)
    under(sim, 1.2 * POD)
    assert stable(sim) == 2
    found = condition(sim, "ScalingConflict")
    assert (found["status"], found["reason"]) == ("True", "ReplicasChanged")
    assert found["message"] == "spec.replicas was set from 2 to 5; autoscaling decides, and asks for 2"


@pytest.mark.covers
def test_where_another_scaler_is_for_the_same_object_no_pod_moves() -> None:
    sim = scaled(minReplicas=2)
    under(sim, 1.2 * POD)
    sim.scalers = ({"kind": "HorizontalPodAutoscaler", "metadata": {"name": "hpa"}}, {"kind": "ScaledObject", "metadata": {"name": "so"}})
    under(sim, 5 * POD)
    assert stable(sim) == 2
    found = condition(sim, "ScalingConflict")
    assert (found["status"], found["reason"]) == ("True", "TargetedByAutoscaler")
    assert found["message"].startswith(
        "HorizontalPodAutoscaler hpa and ScaledObject so target this object too, so no pod is added or taken"
    )
    assert (condition(sim, "ScalingActive")["status"], condition(sim, "ScalingActive")["reason"]) == ("False", "Conflict")
    alarm = sim.plan().alarm
    assert alarm is not None
    assert not alarm.rings(sim.watched.tracks, sim.now)
    sim.edit(replicas=5)
    under(sim, 0.2 * POD, seconds=300)
    assert stable(sim) == 2
    sim.scalers = ()
    under(sim, 5 * POD)
    assert (stable(sim), condition(sim, "ScalingConflict")["reason"]) == (6, "ReplicasChanged")


def test_a_scaler_that_may_not_be_looked_for_is_said_to_be_unknown() -> None:
    sim = scaled()
    sim.unreadable = {"HorizontalPodAutoscaler": Reason.FORBIDDEN, "ScaledObject": Reason.KIND_MISSING}
    under(sim, 1.2 * POD)
    found = condition(sim, "ScalingConflict")
    assert (found["status"], found["reason"]) == ("False", "OneWriter")
    assert found["message"].endswith("the operator has no right to list horizontalpodautoscalers.autoscaling")


def test_at_known_times_there_are_more_whatever_the_load() -> None:
    schedule = {"start": "12:30", "end": "13:00", "minReplicas": 4}
    sim = scaled(schedules=[schedule])
    while sim.now.strftime("%H:%M") < "12:29":
        under(sim, 0.2 * POD, seconds=60)
    assert stable(sim) == 1
    under(sim, 0.2 * POD, seconds=90)
    assert stable(sim) == 4
    last = sim.deployment["status"]["autoscaling"]["lastDecisions"]
    said = next(each for each in last if each["reason"] == "BelowMinimum")
    assert said["message"] == "4 is the least there may be by the schedule from 12:30 to 13:00 UTC"
    while sim.now.strftime("%H:%M") < "13:06":
        under(sim, 0.2 * POD, seconds=60)
    assert (stable(sim) or 4) < 4


def test_a_lost_status_and_a_new_operator_leave_the_pods_there_are() -> None:
    sim = scaled()
    under(sim, 3.2 * POD, seconds=120)
    assert stable(sim) == 4
    sim.deployment["status"], sim.watched = {}, Watched()
    under(sim, 0.5 * POD, seconds=55)
    assert stable(sim) == 4


@pytest.mark.covers
def test_a_spec_that_cannot_be_read_leaves_what_was_said() -> None:
    sim = scaled()
    under(sim, 1.2 * POD)
    before = sim.deployment["status"]["autoscaling"]
    sim.edit(autoscaling={"mode": "BuiltIn", "maxReplicas": "many"})
    run(sim, 8)
    assert sim.deployment["status"]["autoscaling"] == before
    assert stable(sim) == 2


def test_without_it_nothing_is_said_or_watched() -> None:
    sim = scaled(mode="Disabled")
    assert "autoscaling" not in sim.deployment["status"]
    assert sim.plan().watches == {}


def test_whose_figures_are_asked_for_is_said() -> None:
    sim = scaled()
    (engine,) = sim.engines()
    watched = sim.plan().watches[engine]
    assert (watched.deployment, watched.engine, watched.model) == ("chat", engine, "chat")
    assert watched.most == MOST


def test_an_engine_that_is_asked_to_do_more_in_a_step_may_tell_so() -> None:
    """Else nothing would ever be learned of it."""
    args = {"max-num-batched-tokens": "32768", "max-num-seqs": "64"}
    sim = Sim(deployment=make_deployment(spec=make_spec(engine={"args": args}, autoscaling={"mode": "BuiltIn", "maxReplicas": 6})))
    run(sim, 8)
    (watched,) = sim.plan().watches.values()
    assert watched.most == Most(MOST.sequences, 32768)


def test_a_canary_changes_no_total() -> None:
    sim = scaled(replicas=3)
    under(sim, 2.2 * POD, seconds=120)
    assert stable(sim) == 3
    sim.edit(model=OTHER)
    for _ in range(60):
        under(sim, 2.2 * POD, seconds=5)
        assert sim.deployment["status"]["autoscaling"]["replicas"] == 3
        assert len(sim.held()) <= 4
        assert sim.ready_pods() >= 3
    assert len(sim.engines()) == 1


@pytest.mark.parametrize("obstacle", [{"max_ready": 2}, {"unschedulable": FULL}], ids=["loads", "waits for an accelerator"])
@pytest.mark.parametrize("rollout", [by_steps([{"weightPercent": 5, "minDuration": "10m"}]), {}], ids=["by steps", "at once"])
def test_a_new_engine_that_does_not_come_up_keeps_no_pod_from_stable(obstacle: dict[str, Any], rollout: dict[str, Any]) -> None:
    sim = scaled(rollout=rollout)
    under(sim, 1.2 * POD, seconds=60)
    for name, value in obstacle.items():
        setattr(sim, name, value)
    sim.edit(model=OTHER)
    under(sim, 1.2 * POD, seconds=400)
    assert len(sim.engines()) == 2
    engine = sim.deployment["status"]["stable"]["engine"]
    assert asked(sim, engine) == 2
    under(sim, 3.2 * POD, seconds=20)
    assert asked(sim, engine) == 4


def test_an_old_pod_that_is_not_ready_for_a_moment_is_no_pod_that_does_not_come_up() -> None:
    sim = scaled(replicas=3)
    under(sim, 2.2 * POD, seconds=400)
    sim.crashed.add(sim.held()[0]["metadata"]["name"])
    under(sim, 4 * POD, seconds=20)
    assert sim.ready_pods() < len(sim.held())
    assert "LoadGrew" in {each["reason"] for each in sim.deployment["status"]["autoscaling"]["lastDecisions"]}


def test_pods_that_do_not_come_up_are_not_added_to() -> None:
    sim = scaled()
    under(sim, 1.2 * POD, seconds=60)
    sim.max_ready = 2
    under(sim, 2.2 * POD, seconds=330)
    under(sim, 3.2 * POD, seconds=60)
    assert stable(sim) == 3
    assert sim.deployment["status"]["autoscaling"]["lastDecisions"][-1]["reason"] == "ReplicasUnschedulable"


@pytest.mark.parametrize(("waited_s", "pods", "reason"), [(900, 4, "LoadGrew"), (1080, 3, "ReplicasUnschedulable")])
def test_pods_that_load_as_long_as_pods_usually_do_are_waited_for(waited_s: int, pods: int, reason: str) -> None:
    """They take eleven minutes; one and a half times that are 990 s."""
    sim = scaled()
    under(sim, 1.2 * POD, seconds=60)
    sim.deployment["status"]["startup"] = {"starts": [{"pod": "one", "readyAt": "2026-11-22T12:00:00Z", "seconds": [0, 0, 0, 660, 660]}]}
    sim.max_ready = 2
    under(sim, 2.2 * POD, seconds=waited_s)
    assert stable(sim) == 3
    under(sim, 3.2 * POD, seconds=60)
    assert stable(sim) == pods
    assert reason in [each["reason"] for each in sim.deployment["status"]["autoscaling"]["lastDecisions"][-2:]]


def counts_on_more(sim: Sim) -> bool:
    """Return whether a queue is left to pods that are coming."""
    alarm = sim.plan().alarm
    assert alarm is not None
    return alarm.outlook.coming


class Quota(Sim):
    """A namespace that may have so many pods of engines and no more."""

    allowed = 3

    def _deployment_controller(self) -> None:
        super()._deployment_controller()
        for pod in self.held()[self.allowed :]:
            del self.pods[pod["metadata"]["name"]]
            live = self.objects[DEPLOYMENT, f"chat-{engine_of(pod)}"]
            failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "lastTransitionTime": self._time()}
            live["status"] = live["status"] or {"conditions": [failure]}


@pytest.mark.covers
def test_a_pod_that_a_quota_refuses_is_one_that_does_not_come() -> None:
    spec = make_spec(replicas=3, autoscaling={"mode": "BuiltIn", "maxReplicas": 6, "scaleDownDelay": "1m"})
    sim = Quota(deployment=make_deployment(spec=spec))
    run(sim, 8)
    under(sim, 3.2 * POD, seconds=60)
    assert (stable(sim), len(sim.held()), counts_on_more(sim)) == (4, 3, True)
    under(sim, 3.2 * POD, seconds=300)
    assert not counts_on_more(sim)
    assert sim.plan().status["autoscaling"]["lastDecisions"][-1]["reason"] == "Fits"
    under(sim, 4.2 * POD, seconds=60)
    last = sim.deployment["status"]["autoscaling"]["lastDecisions"][-1]
    assert (stable(sim), last["reason"]) == (4, "ReplicasUnschedulable")
    under(sim, 2.2 * POD, seconds=200)
    assert stable(sim) == 3


def test_a_pod_of_a_new_engine_is_one_that_is_coming_for_as_long_as_that_is_to_be_expected() -> None:
    """A queue grows while it loads, and asks for no other; one that does not come up keeps nobody from asking."""
    sim = scaled()
    under(sim, 1.2 * POD, seconds=60)
    sim.max_ready = 2
    sim.edit(model=OTHER)
    under(sim, 1.2 * POD, seconds=60)
    (new,) = [each for each in sim.engines() if each != sim.deployment["status"]["stable"]["engine"]]
    assert (asked(sim, new), sim.ready_pods(new)) == (1, 0)
    for seconds, coming in ((0, True), (300, False)):
        under(sim, 1.2 * POD, seconds=seconds)
        assert counts_on_more(sim) is coming


def test_whoever_switches_it_on_goes_on_with_the_pods_there_are() -> None:
    """Some 2 are needed, as was said while nothing was done; to have the others end at once is not what was asked for."""
    sim = scaled(replicas=6, mode="Shadow")
    under(sim, 1.2 * POD, seconds=400)
    assert (stable(sim), sim.deployment["status"]["autoscaling"]["replicas"]) == (6, 2)
    sim.edit(autoscaling={"mode": "BuiltIn", "maxReplicas": 6, "scaleDownDelay": "1m"})
    for pods in (5, 4, 3, 2, 2):
        under(sim, 1.2 * POD, seconds=60)
        assert stable(sim) == pods


STEP = by_steps([{"weightPercent": 20, "minDuration": "10m"}])


def state(sim: Sim) -> tuple[str, str]:
    rollout = sim.deployment["status"].get("rollout") or {}
    return rollout.get("state", ""), rollout.get("reason", "")


def test_a_new_engine_that_waits_for_an_accelerator_gets_the_one_that_stable_needs_no_more() -> None:
    sim = scaled(replicas=4, rollout=STEP)
    under(sim, 3.3 * POD, seconds=120)
    engine, sim.accelerators = sim.engines()[0], 4
    sim.edit(model=OTHER)
    under(sim, 3.3 * POD, seconds=60)
    assert (state(sim)[0], asked(sim, engine)) == ("WaitingCapacity", 4)
    under(sim, 1.5 * POD, seconds=240)
    assert asked(sim, engine) < 4
    assert state(sim)[0] == "Stepping"


def test_a_pod_that_a_spike_has_asked_for_in_vain_is_given_up_and_the_canary_comes_back() -> None:
    sim = scaled(replicas=3, minReplicas=3, rollout=STEP)
    under(sim, 1.5 * POD, seconds=120)
    engine, sim.accelerators = sim.engines()[0], 4
    sim.edit(model=OTHER)
    under(sim, 1.5 * POD, seconds=60)
    assert state(sim)[0] == "Stepping"
    under(sim, 4.2 * POD, seconds=60)
    assert (*state(sim), asked(sim, engine)) == ("WaitingCapacity", "CanaryPreempted", 5)
    assert sim.ready_pods(engine) == 4
    under(sim, 1.5 * POD, seconds=300)
    assert asked(sim, engine) == 3
    assert state(sim)[0] == "Stepping"


def test_none_goes_while_a_canary_has_a_share() -> None:
    sim = scaled(replicas=4, rollout=STEP)
    under(sim, 2.8 * POD, seconds=120)
    engine = sim.engines()[0]
    sim.edit(model=OTHER)
    under(sim, 2.8 * POD, seconds=60)
    under(sim, 0.5 * POD, seconds=240)
    assert (state(sim)[0], asked(sim, engine)) == ("Stepping", 4)
    assert sim.deployment["status"]["autoscaling"]["lastDecisions"][-1]["reason"] == "RolloutStep"


def watched_pods(sim: Sim) -> set[str]:
    """Return the pods whose load counts."""
    alarm = sim.plan().alarm
    assert alarm is not None
    return {uid for uids, _ in alarm.outlook.engines for uid in uids}


def test_copies_of_requests_are_no_load() -> None:
    step = {"shadow": {"samplePercent": 100, "maxConcurrency": 4}, "minDuration": "2m"}
    sim = scaled(replicas=2, rollout=by_steps([step, {"weightPercent": 20, "minDuration": "30m"}]))
    under(sim, 1.5 * POD, seconds=120)
    (old,) = sim.engines()
    sim.edit(model=OTHER)
    under(sim, 1.5 * POD, seconds=60)
    assert state(sim)[0] == "Stepping"
    assert sim.ready_pods() == 3
    assert watched_pods(sim) == {pod["metadata"]["uid"] for pod in sim.held() if engine_of(pod) == old}
    under(sim, 1.5 * POD, seconds=90)
    assert watched_pods(sim) == {pod["metadata"]["uid"] for pod in sim.held()}


def test_without_a_table_every_pod_that_serves_counts() -> None:
    sim = scaled(replicas=2)
    under(sim, 1.2 * POD, seconds=60)
    sim.remove(CONFIG_MAP, "chat-snapshot")
    assert len(watched_pods(sim)) == 2


def test_quiet_needs_no_status_written() -> None:
    sim = scaled()
    under(sim, 1.2 * POD, seconds=180)
    before = sim.deployment["status"]
    under(sim, 1.2 * POD, seconds=60)
    assert sim.deployment["status"] == before
