"""Engines and prompts let in by steps on a real node, while the operator and an engine are killed: nothing is lost that need not be.

How many pods there are follows the load meanwhile, and no canary changes that. Behind the tests that share the operator. Stub engines; with
LLM_SOAK=1 ten minutes of 20 requests a second and a hundred streams, and the same once with the real engine under what two cores can carry.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import figures, killing, kit
from tests.e2e import platform as platform_of
from tests.e2e.changing import NS
from tests.e2e.held import Held
from tests.e2e.trial import NAME, Trial, in_flight, started_again
from tests.lab.wait import until

pytestmark = [pytest.mark.usefixtures("platform"), pytest.mark.operator_goes, pytest.mark.takes_minutes, pytest.mark.timeout(3600)]

QUICK = Trial("stub-slow", replicas=2, most=4, rps=10, streams=15, stream_s=(3, 6))
LONG = Trial("stub-slow", replicas=3, most=6, rps=20, streams=100, stream_s=(5, 10, 20, 60), ends_s=900, lasts_s=600)
REAL = Trial("vllm", replicas=2, most=2, rps=3, streams=6, stream_s=(20, 40), ready_s=400, ends_s=900)
TRIALS = {"stub": LONG, "vllm": REAL} if figures.SOAK else {"stub": QUICK}
STUB = pytest.mark.parametrize("trial", [TRIALS["stub"]], ids=["stub"], indirect=True)
EACH = pytest.mark.parametrize("trial", TRIALS.values(), ids=TRIALS, indirect=True)
FORGOTTEN_S = 10
"""How long a Service may go on to name a pod whose processes are gone."""
CONNECT_AGAIN_S = (0.5, 1.0, 2.0, 4.0)
"""As OpenAI's client pauses before it tries again, which gives up after two; a busy node may take longer to forget a pod."""


@pytest.fixture(scope="module")
def trial(platform: None, request: pytest.FixtureRequest) -> Iterator[Trial]:  # noqa: ARG001  # the platform must be up first
    """One settled LLMDeployment whose changes are let in by steps."""
    asked: Trial = request.param
    if not asked.is_stub:
        platform_of.load_real_engine()
    asked.ask_for(2048, "Be brief.")
    kit.wait_settled(NAME, NS, asked.replicas, timeout_s=300 + asked.ready_s)
    yield asked
    kit.kubectl("-n", NS, "delete", "llm", NAME, "--wait=true")


def _wait(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Wait for the trial as a pipeline does."""
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    command = ["kubectl", "llm", "wait", NAME, "--namespace", NS, *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=120)


@EACH
def test_engines_are_promoted_found_out_and_rolled_back_within_their_accelerators(trial: Trial) -> None:
    first, began = trial.status()["stable"]["revision"], time.monotonic()
    traffic = trial.traffic()
    with Held(NAME, NS) as held:
        with traffic:
            second = trial.promote(1024, "Be exact.", kill_operator=True)
            third = trial.promote(1024, "Be kind.")
            killed = trial.kill_an_engine()
            assert trial.promote(1024, "Be exact.") == second, "what says the same is the same"
            bad, found_out = trial.find_out()
            assert trial.status()["stable"]["revision"] == second
            fourth = trial.promote(1536, "Be exact.", kill_operator=True)
            trial.roll_back(fourth, to=second)
            trial.go_on_since(began)
        until(lambda: held.now == trial.replicas, timeout_s=180, what="the old pods gone")
    decided, seen = trial.status()["autoscaling"]["lastDecisions"], traffic.seen
    cut = [each for each in seen.failures if each.startswith("stream with an error") and "'engine_" in each]
    bad_failed = [each for each in seen.failures if f" of {bad}" in each]
    lost = [each for each in seen.failures if each not in {*cut, *bad_failed}]
    figures.record(
        "engine_rollout" if trial.is_stub else "engine_rollout_vllm",
        seconds=time.monotonic() - began,
        pods=trial.replicas,
        rps=trial.rps,
        open_streams=trial.streams,
        requests=seen.sent,
        streams=seen.streams,
        failed=len(lost),
        declared=len(seen.declared),
        in_flight_at_the_killed_engine=killed.in_flight,
        cut_with_the_killed_engine=len(cut),
        asked_again=killed.asked_again,
        bad_canary_requests=len(bad_failed) + seen.revisions[bad],
        bad_canary_failed=len(bad_failed),
        **found_out,
        gpu_peak_over_n=held.peak - trial.replicas,
        least_ready=held.least_ready,
    )
    assert (lost, seen.torn()) == ([], [])
    # A real engine on two cores may have to say that it is full, with when to come again.
    assert seen.declared == [] or (not trial.is_stub and len(seen.declared) < seen.sent / 100)
    assert 0 < len(cut) <= killed.in_flight
    assert killed.asked_again > 0, "nothing had to be asked again: the kill proved nothing"
    assert bad_failed
    assert (held.least_ready, held.peak) == (trial.replicas - 1, trial.replicas + 1), "one was killed, and nothing else took one away"
    assert {each["replicas"] for each in decided} == {trial.replicas}, decided
    assert {first, second, third, fourth} <= set(seen.revisions)
    again = started_again()
    assert {name for name, *_ in again} <= {killed.pod}, again  # which may be there, or serve again: it went last, or not at all


@STUB
def test_a_pipeline_that_waits_for_an_accelerator_in_vain_is_told_so_by_its_exit_code(trial: Trial) -> None:
    before = trial.status()["stable"]
    with kit.Load(kit.address(NAME, NS), model=NAME) as load:
        trial.ask_for(1024, "Be hungry.", accelerators=64)
        revision = trial.latest()
        trial.follow(revision, "WaitingCapacity")
        waited = _wait(f"--revision={revision}", "--timeout=8s")
        now = trial.status()
    assert waited.returncode == 6, waited
    assert "Insufficient nvidia.com/gpu" in waited.stdout + waited.stderr
    assert (now["rollout"]["state"], now["rollout"]["revision"]) == ("WaitingCapacity", revision)
    assert now["stable"] == before
    assert load.failures == []
    trial.ask_for(1024, "Be exact.")
    kit.wait_settled(NAME, NS, trial.replicas)


@STUB
def test_a_pod_that_is_killed_takes_along_what_it_was_at_and_nothing_else(trial: Trial) -> None:
    """Its Service goes on to name it for a moment; clients that connect again, as OpenAI's does, lose nothing by that."""
    pod = trial.a_pod_of_stable()
    pids = killing.pids_of(pod)
    assert len(pids) >= 3, "a sandbox, a sidecar, an engine"
    with trial.traffic(CONNECT_AGAIN_S) as traffic:
        until(lambda: traffic.seen.streams > trial.streams, timeout_s=60, what="every stream open")
        at = in_flight(pod)
        killing.kill(pids)
        took_s = kit.seconds_until(lambda: not trial.all_ready(), timeout_s=60, what="the pod known to be gone")
        kit.seconds_until(trial.all_ready, timeout_s=120, what="the pod back")
    cut = traffic.seen.failures
    figures.record("pod_killed", in_flight=at, cut=len(cut), refused_connections=traffic.seen.refused_connections, known_after_s=took_s)
    assert 0 < len(cut) <= at + 1, "one may have come between the look and the kill"
    assert traffic.seen.refused_connections <= (trial.rps + trial.streams) * FORGOTTEN_S
    assert (traffic.seen.declared, traffic.seen.torn()) == ([], [])
