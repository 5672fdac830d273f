"""A deployment that has no pod while nobody asks: from one to none, from none to one, and what is told of it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from llm_operator.core.kinds import DEPLOYMENT
from llm_operator.core.scaling.load import Track
from llm_operator.core.scaling.sample import Counters, Sample
from llm_operator.core.scaling.watched import Watched
from llm_operator.core.world import engine_of, ready
from tests.unit.core.builders import make_deployment, make_spec
from tests.unit.core.sim import Sim
from tests.unit.core.test_autoscale import KNOWN
from tests.unit.core.test_engine_change import OTHER, asked, condition, run

ENTRY = (DEPLOYMENT, "chat-entry")
NOTHING = Counters(*[0.0] * 9)


def sleeper(replicas: int = 1, mode: str = "BuiltIn", **autoscaling: Any) -> Sim:
    asked_for = {"mode": mode, "minReplicas": 0, "maxReplicas": 6, "scaleToZeroAfter": "1m", "scaleDownDelay": "1m", **autoscaling}
    sim = Sim(deployment=make_deployment(spec=make_spec(replicas=replicas, autoscaling=asked_for)))
    run(sim, 8)
    return sim


def passes(sim: Sim, seconds: int, *, requests: int = 0, open_: int = 0, silent: bool = False) -> None:
    """Let time pass in which so many requests are answered every five seconds."""
    for _ in range(seconds // 5):
        sim.tick(5)
        if not silent:
            _hear(sim, requests, open_)
        sim.look()


def _hear(sim: Sim, requests: int, open_: int) -> None:
    tracks = {}
    for pod in sim.held():
        uid = pod["metadata"]["uid"]
        if not ready(pod) or not engine_of(pod):
            continue
        before = sim.watched.tracks.get(uid)
        done = (before.last.answered if before else 0.0) + requests
        told = Sample(sim.now, open_, 0, 100_000, NOTHING, (float(sum(uid.encode())), float(hash(uid))), open_, done)
        tracks[uid] = before.hear(told) if before else Track((told,))
    sim.watched = replace(sim.watched, tracks=tracks)


def asleep(sim: Sim) -> Sim:
    """Wait until nobody has asked for long enough."""
    for _ in range(40):
        passes(sim, 5)
        if not sim.held():
            run(sim, 1)
            return sim
    raise AssertionError("it did not fall asleep")


def stable(sim: Sim) -> int | None:
    (engine,) = sim.engines()
    return asked(sim, engine)


def last(sim: Sim) -> dict[str, Any]:
    found: dict[str, Any] = sim.deployment["status"]["autoscaling"]["lastDecisions"][-1]
    return found


# Down


def test_the_last_pod_goes_when_nobody_has_asked_for_the_time_that_was_set() -> None:
    sim = sleeper()
    passes(sim, 60)
    assert stable(sim) == 1
    asleep(sim)
    assert (last(sim)["replicas"], last(sim)["reason"]) == (0, "ScaledToZero")
    assert sim.entries()


def test_there_is_an_entry_from_the_beginning_and_the_engine_has_a_service_of_its_own() -> None:
    sim = sleeper()
    assert ENTRY in sim.objects
    (engine,) = sim.engines()
    assert sim.tables[sim.entries()[0]["metadata"]["name"]].engines[engine].service == f"chat-{engine}"


@pytest.mark.parametrize(
    "busy",
    [{"requests": 1}, {"open_": 1}, {"silent": True}],
    ids=["requests come", "a stream goes on", "the pod is silent"],
)
def test_it_stays_while_somebody_asks_or_nobody_knows(busy: dict[str, Any]) -> None:
    sim = sleeper()
    passes(sim, 120, **busy)
    assert stable(sim) == 1


@pytest.mark.covers
def test_it_stays_while_a_sidecar_has_a_request_that_no_reading_has_told_of() -> None:
    sim = sleeper()
    sim.running = 1
    passes(sim, 100)
    assert stable(sim) == 1


def test_it_stays_without_an_entry_that_could_hold_requests() -> None:
    sim = sleeper()
    sim.entry_gets_ready = False
    (name,) = (pod["metadata"]["name"] for pod in sim.entries())
    del sim.pods[name]
    passes(sim, 100)
    assert stable(sim) == 1
    sim.entry_gets_ready = True
    passes(sim, 30)
    assert stable(sim) == 0


def test_it_stays_while_the_entry_does_not_run_the_table_or_has_requests() -> None:
    sim = sleeper()
    sim.holding = 1
    passes(sim, 100)
    assert stable(sim) == 1
    sim.holding = 0
    sim.silent.add(sim.entries()[0]["metadata"]["name"])
    passes(sim, 100)
    assert stable(sim) == 1


def test_a_pod_that_loads_is_not_idle() -> None:
    sim = sleeper()
    sim.crashed |= {pod["metadata"]["name"] for pod in sim.held()}
    passes(sim, 100)
    assert stable(sim) == 1


def test_it_stays_while_another_engine_comes() -> None:
    sim = sleeper()
    sim.max_ready = 1
    sim.edit(model=OTHER)
    passes(sim, 100)
    assert sum(asked(sim, engine) or 0 for engine in sim.engines()) == 2


def test_a_new_operator_waits_for_the_whole_time_again() -> None:
    sim = sleeper()
    passes(sim, 55)
    sim.watched = Watched()
    passes(sim, 55)
    assert stable(sim) == 1


# Up


def test_somebody_who_waits_wakes_it_at_once_and_it_stays_awake_while_the_pod_loads() -> None:
    sim = asleep(sleeper())
    sim.holding, sim.max_ready = 3, 0
    sim.look()
    assert stable(sim) == 1
    assert (last(sim)["replicas"], last(sim)["reason"], last(sim)["message"]) == (1, "Waking", "3 requests wait for a pod")
    said = len(sim.deployment["status"]["autoscaling"]["lastDecisions"])
    passes(sim, 120)
    assert stable(sim) == 1
    assert len(sim.deployment["status"]["autoscaling"]["lastDecisions"]) == said
    sim.max_ready, sim.holding = 1000, 0
    passes(sim, 30, requests=3)
    assert sim.ready_pods() == 1
    asleep(sim)


def test_it_wakes_although_another_scaler_is_for_it_too() -> None:
    sim = asleep(sleeper())
    sim.scalers = ({"kind": "HorizontalPodAutoscaler", "metadata": {"name": "hpa"}},)
    sim.holding = 1
    sim.look()
    assert (stable(sim), last(sim)["reason"]) == (1, "Waking")
    assert condition(sim, "ScalingConflict")["reason"] == "TargetedByAutoscaler"


def test_as_many_wake_as_those_who_wait_need() -> None:
    sim = sleeper()
    (engine,) = sim.engines()
    sim.watched = replace(sim.watched, learned={engine: KNOWN})
    asleep(sim)
    sim.holding = 100_000
    sim.look()
    assert stable(sim) == 6
    assert last(sim)["wanted"] == 6


@pytest.mark.covers
def test_few_who_wait_wake_one_pod_and_many_that_come_meanwhile_more() -> None:
    sim = sleeper()
    (engine,) = sim.engines()
    sim.watched = replace(sim.watched, learned={engine: KNOWN})
    asleep(sim)
    sim.holding, sim.max_ready = 3, 0
    sim.look()
    assert stable(sim) == 1
    sim.holding = 3_500
    passes(sim, 5)
    there = stable(sim)
    assert there is not None
    assert 1 < there < 6
    passes(sim, 60)
    assert stable(sim) == there


def test_whoever_waits_in_the_entry_counts_once_the_first_pod_serves_too() -> None:
    """It lets no more go at once than one engine takes; how many pods the others need was not known before."""
    sim = asleep(sleeper(maxReplicas=4))
    sim.watched = Watched()
    sim.holding = 1000
    run(sim, 4)
    assert (stable(sim), sim.ready_pods()) == (1, 1)
    sim.watched = replace(sim.watched, learned=dict.fromkeys(sim.engines(), KNOWN))
    sim.holding = 744
    passes(sim, 15, open_=256)
    assert (last(sim)["reason"], stable(sim)) == ("LoadGrew", 3)
    passes(sim, 5, open_=256)
    assert stable(sim) == 3, "pods are coming"


def test_an_entry_that_cannot_be_asked_leaves_it_asleep_and_that_is_said() -> None:
    sim = asleep(sleeper())
    sim.holding = 3
    sim.silent.add(sim.entries()[0]["metadata"]["name"])
    assert (sim.look().next_look_s or 60) <= 5
    assert stable(sim) == 0
    assert (condition(sim, "ScalingActive")["status"], condition(sim, "ScalingActive")["reason"]) == ("False", "MetricsStale")
    sim.silent.clear()
    sim.look()
    assert stable(sim) == 1


def test_a_lost_status_wakes_nobody() -> None:
    sim = asleep(sleeper(replicas=2))
    sim.deployment["status"], sim.watched = {}, Watched()
    run(sim, 4)
    assert stable(sim) == 0
    assert sim.deployment["status"]["autoscaling"]["replicas"] == 0


def test_who_is_to_be_there_always_again_is_there() -> None:
    sim = asleep(sleeper())
    sim.edit(autoscaling={"mode": "BuiltIn", "minReplicas": 1})
    run(sim, 6)
    assert (stable(sim), sim.ready_pods()) == (1, 1)
    assert ENTRY not in sim.objects


def test_a_look_is_taken_seldom_while_it_sleeps_and_somebody_listens() -> None:
    sim = sleeper()
    assert not sim.plan().sleeps
    asleep(sim)
    made = sim.plan()
    assert (made.sleeps, made.next_look_s, len(made.watches)) == (True, 30.0, 1)
    assert (made.applies, made.deletes, made.nudges) == ((), (), ())
    sim.watched = Watched()
    assert sim.plan().next_look_s == 5.0  # a new operator does not listen yet


@pytest.mark.covers
def test_a_hold_that_is_shorter_than_a_start_is_told_of() -> None:
    sim = sleeper(replicas=0)
    sim.edit(limits={"hold": {"timeout": "30s"}})
    starts = [{"pod": "p", "readyAt": "2026-11-22T11:00:00Z", "seconds": [1, 20, 1, 40, 62]}]
    sim.deployment["status"]["startup"] = {"phases": [], "starts": starts}
    sim.holding = 1
    sim.look()
    words = "1 request waits for a pod; pods take 62 s to start, and whoever has waited for limits.hold.timeout, 30s, is refused"
    assert last(sim)["message"] == words


# What is told


def test_asleep_it_is_ready_and_at_rest_and_says_why_there_is_no_pod() -> None:
    sim = asleep(sleeper())
    run(sim, 3)
    status = sim.deployment["status"]
    assert (status["phase"], status["replicas"]) == ("ScaledToZero", 0)
    assert status["message"] == "there is no pod; chat-entry holds requests, and the first one brings a pod"
    assert (condition(sim, "Ready")["status"], condition(sim, "Ready")["reason"]) == ("True", "ScaledToZero")
    assert condition(sim, "Ready")["message"] == "chat-entry holds requests until there is a pod for them"
    assert condition(sim, "Reconciling")["status"] == "False"
    assert (condition(sim, "ScalingActive")["status"], condition(sim, "ScalingActive")["reason"]) == ("True", "ScaledToZero")


def test_without_its_entry_it_is_not_ready() -> None:
    sim = asleep(sleeper())
    sim.entry_gets_ready = False
    (name,) = (pod["metadata"]["name"] for pod in sim.entries())
    del sim.pods[name]
    run(sim, 3)
    assert condition(sim, "Ready")["status"] == "False"
    assert "chat-entry is not ready to hold requests" in sim.deployment["status"]["message"]
    assert condition(sim, "Reconciling")["status"] == "True"


def test_waking_it_is_ready_still_and_tells_what_the_pod_is_at() -> None:
    sim = asleep(sleeper())
    sim.holding, sim.max_ready = 3, 0
    run(sim, 4)
    assert sim.deployment["status"]["phase"] == "Waking"
    assert sim.deployment["status"]["message"].startswith("requests wait in chat-entry; 0 of 1 pods ready")
    assert (condition(sim, "Ready")["status"], condition(sim, "Ready")["reason"]) == ("True", "Waking")
    assert condition(sim, "Reconciling")["status"] == "True"


def test_a_start_that_fails_is_told_as_such() -> None:
    sim = asleep(sleeper())
    sim.broken_images.add("example.org/vllm:0.32.0")
    sim.holding = 3
    run(sim, 4)
    assert sim.deployment["status"]["phase"] == "PullingImage"
    assert condition(sim, "Ready")["status"] == "False"


def outlast_the_start(sim: Sim) -> None:
    """Let the only pod have had more time than it may take."""
    (pod,) = sim.held()
    pod["metadata"]["creationTimestamp"] = (sim.now - timedelta(minutes=21)).strftime("%Y-%m-%dT%H:%M:%SZ")
    run(sim, 1)


@pytest.mark.covers
def test_a_start_that_has_failed_for_as_long_as_it_may_take_is_over_whatever_its_pod_is_at() -> None:
    """A container that ends again and again is between two ends most of the time."""
    sim = asleep(sleeper())
    sim.broken_images.add("example.org/vllm:0.32.0")
    sim.holding = 3
    run(sim, 4)
    outlast_the_start(sim)
    assert (sim.deployment["status"]["phase"], condition(sim, "Stalled")["reason"]) == ("PullingImage", "ProgressDeadlineExceeded")


def test_a_start_that_takes_longer_than_it_may_is_told_as_such() -> None:
    sim = asleep(sleeper())
    sim.holding, sim.max_ready = 3, 0
    run(sim, 4)
    outlast_the_start(sim)
    status = sim.deployment["status"]
    assert (status["phase"], status["reason"]) == ("Loading", "ProgressDeadlineExceeded")
    assert status["message"].startswith("not ready within spec.engine.startup.timeout: 0 of 1 pods ready")
    assert (condition(sim, "Ready")["status"], condition(sim, "Stalled")["status"]) == ("False", "True")
    assert stable(sim) == 1
    sim.max_ready = 1000
    run(sim, 3)
    assert condition(sim, "Ready")["status"] == "True"


# Changes


@pytest.mark.parametrize("change", [{"model": OTHER}, {"prompt": {"inline": {"system": "Be rude."}}}], ids=["engine", "prompt"])
@pytest.mark.parametrize("rollout", [{}, {"config": {"steps": [{"weightPercent": 10}]}, "engine": {"steps": [{"weightPercent": 10}]}}])
def test_a_change_is_stable_at_once_while_it_sleeps_and_wakes_nobody(change: dict[str, Any], rollout: dict[str, Any]) -> None:
    sim = asleep(sleeper())
    before = sim.deployment["status"]["stable"]["revision"]
    sim.edit(**change, rollout=rollout)
    passes(sim, 20)
    status = sim.deployment["status"]
    assert status["stable"]["revision"] == status["latestRevision"] != before
    assert not sim.held()
    sim.holding = 1
    run(sim, 5)
    assert sim.ready_pods() == 1
    assert engine_of(sim.held()[0]) == status["stable"]["engine"]


@pytest.mark.parametrize(
    "rollout",
    [{}, {"engine": {"steps": [{"weightPercent": 10, "minDuration": "5s"}]}}, {"capacity": {"mode": "Replace"}}],
    ids=["surge", "steps", "replace"],
)
def test_a_change_while_it_wakes_is_made_as_ever_and_nobody_falls_asleep_meanwhile(rollout: dict[str, Any]) -> None:
    sim = asleep(sleeper())
    sim.holding, sim.max_ready = 3, 0
    run(sim, 3)
    sim.edit(model=OTHER, rollout=rollout)
    passes(sim, 30)
    assert len(sim.held()) <= 2
    assert sim.deployment["status"]["autoscaling"]["replicas"] == 1
    sim.holding, sim.max_ready = 0, 1000
    passes(sim, 60, requests=1)
    status = sim.deployment["status"]
    assert status["stable"]["revision"] == status["latestRevision"]
    assert (status["phase"], len(sim.held()), sim.ready_pods()) == ("Ready", 1, 1)


# A shadow


@pytest.mark.covers
def test_a_shadow_says_zero_and_one_and_moves_nothing() -> None:
    sim = sleeper(mode="Shadow")
    assert ENTRY not in sim.objects
    passes(sim, 90)
    assert (last(sim)["replicas"], last(sim)["reason"]) == (0, "ScaledToZero")
    passes(sim, 10, requests=1)
    assert "Waking" in {each["reason"] for each in sim.deployment["status"]["autoscaling"]["lastDecisions"]}
    assert (last(sim)["replicas"], stable(sim)) == (1, 1)
    assert not sim.plan().sleeps


def test_what_a_shadow_has_come_to_takes_the_last_pod_only_once_an_entry_is_there() -> None:
    sim = sleeper(mode="Shadow")
    passes(sim, 90)
    assert last(sim)["replicas"] == 0
    sim.entry_gets_ready = False
    sim.edit(autoscaling={**sim.deployment["spec"]["autoscaling"], "mode": "BuiltIn"})
    passes(sim, 100)
    assert stable(sim) == 1
    sim.entry_gets_ready = True
    asleep(sim)


def test_no_replicas_in_the_spec_take_no_pod_that_serves_when_the_mode_begins() -> None:
    sim = Sim()
    run(sim, 8)
    sim.edit(replicas=0, autoscaling={"mode": "BuiltIn", "minReplicas": 0, "scaleToZeroAfter": "1m"})
    passes(sim, 30)
    assert stable(sim) == 1
    asleep(sim)


def test_pods_go_one_by_one_to_none() -> None:
    sim = sleeper(replicas=3)
    began = sim.now
    for _ in range(60):
        before = stable(sim)
        passes(sim, 5)
        after = stable(sim)
        assert before is not None
        assert after is not None
        assert before - after in {0, 1}
        if not after:
            break
    assert stable(sim) == 0
    assert sim.now - began >= timedelta(minutes=3)
