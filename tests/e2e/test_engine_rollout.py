"""Engines and prompts let in by steps on a real node, while the operator and an engine are killed: nothing is lost that need not be.

How many pods there are follows the load meanwhile, and no canary changes that. Behind the tests that share the operator. Stub engines. Ten
minutes of 20 requests a second and a hundred streams with LLM_SOAK=1, else as long as needed.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import figures, killing, kit
from tests.e2e.changing import NS
from tests.e2e.held import Held
from tests.e2e.manifests import deployment
from tests.e2e.traffic import Traffic
from tests.lab import product
from tests.lab.wait import until

pytestmark = [pytest.mark.usefixtures("platform"), pytest.mark.operator_goes, pytest.mark.takes_minutes, pytest.mark.timeout(2400)]

NAME = "trial"
REPLICAS = 3 if figures.SOAK else 2
RPS, STREAMS, STREAM_S = (20, 100, (5, 10, 20, 60)) if figures.SOAK else (10, 15, (3, 6))
FOR_S = 600 if figures.SOAK else 0
WAIT_S = 900 if figures.SOAK else 300
FORGOTTEN_S = 10
"""How long a Service may go on to name a pod whose processes are gone."""
CONNECT_AGAIN_S = (0.5, 1.0, 2.0, 4.0)
"""As OpenAI's client pauses before it tries again, which gives up after two; a busy node may take longer to forget a pod."""
STEPS = [{"weightPercent": 10, "minDuration": "2s"}, {"weightPercent": 30, "minDuration": "2s"}]
LET_IN: Mapping[str, Any] = {"engine": {"steps": STEPS}, "config": {"steps": STEPS[1:]}, "abort": {"keepCanaryFor": "5s"}}
JUDGED: Mapping[str, Any] = {
    "engine": {"steps": [{"weightPercent": 50, "minDuration": "10m", "maxDuration": "20m"}]},
    "gates": [{"errors": {}}],
}


@pytest.fixture(scope="module")
def trial(platform: None) -> Iterator[str]:  # noqa: ARG001  # the platform must be up first
    """One settled LLMDeployment whose changes are let in by steps; its address."""
    _ask_for(2048, "Be brief.")
    kit.wait_settled(NAME, NS, REPLICAS, timeout_s=300)
    yield kit.address(NAME, NS)
    kit.kubectl("-n", NS, "delete", "llm", NAME, "--wait=true")


def _ask_for(context: int, words: str, profile: str = "stub-slow", rollout: Mapping[str, Any] = LET_IN, accelerators: int = 1) -> None:
    """Apply it with a prompt, and a context on which the engine depends; it holds the longest stream."""
    engine = {"profile": profile, "maxModelLen": context, "resources": {"cpu": "50m", "memory": "128Mi"}}
    spec: dict[str, Any] = {
        "engine": engine,
        "accelerator": {"count": accelerators},
        "prompt": {"inline": {"system": words}},
        "rollout": rollout,
        "replicas": REPLICAS,
        "autoscaling": {"mode": "BuiltIn", "minReplicas": REPLICAS, "maxReplicas": 2 * REPLICAS},
    }
    kit.apply(deployment(NAME, **spec), namespace=NS)


def _status() -> kit.Object:
    return dict(kit.llm(NAME, NS)["status"])


def _rollout() -> kit.Object:
    return dict(_status().get("rollout", {}))


def _latest() -> str:
    """Return the revision that the spec of now has become."""
    until(lambda: _status().get("observedGeneration") == kit.llm(NAME, NS)["metadata"]["generation"], timeout_s=60, what="the spec seen")
    return str(_status()["latestRevision"])


def _follow(revision: str, *states: str) -> None:
    def there() -> bool:
        now = _rollout()
        return now.get("revision") == revision and now.get("state") in states

    kit.seconds_until(there, timeout_s=WAIT_S, what=f"{revision} {' or '.join(states)}")


def _kill_the_operator() -> None:
    kit.kubectl("-n", product.SYSTEM_NAMESPACE, "delete", "pods", "--all", "--grace-period=0", "--force", "--wait=false")


def _a_pod_of_stable() -> kit.Object:
    engine = _status()["stable"]["engine"]
    return next(each for each in kit.pods_of(NAME, NS) if each["metadata"]["labels"]["llmops.dev/engine"] == engine)


def _in_flight(pod: kit.Object) -> int:
    """Return how many requests the sidecar of a pod has not answered to their end."""
    return int(kit.request(pod["status"]["podIP"], "GET", "/status", port=9090).json()["inflight"])


def _unserved() -> float:
    """Return how many attempts came to nothing before an answer began."""
    return sum(kit.figure(pod["status"]["podIP"], "llm_sidecar_unserved_total") for pod in kit.pods_of(NAME, NS))


def _restarts() -> dict[str, int]:
    return {pod["metadata"]["name"]: sum(kit.each_restart([pod])) for pod in kit.pods_of(NAME, NS)}


def _ended() -> list[tuple[str, str, kit.Object]]:
    """Return which containers have been started again, and how they had ended."""
    every = [(pod, each) for pod in kit.pods_of(NAME, NS) for each in kit.container_statuses(pod)]
    return [(pod["metadata"]["name"], each["name"], each["lastState"]) for pod, each in every if each["restartCount"]]


def _all_ready() -> bool:
    pods = kit.pods_of(NAME, NS)
    return len(pods) == REPLICAS and all(kit.is_ready(pod) for pod in pods)


def _promote(context: int, words: str, *, kill: bool = False) -> str:
    _ask_for(context, words)
    revision = _latest()
    _follow(revision, "Stepping", "Ratcheting")
    if kill:
        _kill_the_operator()
    _follow(revision, "Promoted")
    return revision


def _kill_an_engine() -> tuple[str, int, float]:
    """End the engine of a pod of stable and wait until it is back; return the pod, what it was at, and what its sidecar asked again."""
    pod, before = _a_pod_of_stable(), _unserved()
    in_flight = _in_flight(pod)
    killing.kill_engine(pod)
    until(lambda: _restarts()[pod["metadata"]["name"]] == 1, timeout_s=120, what="the engine started again")
    until(_all_ready, timeout_s=120, what="the engine back")
    return pod["metadata"]["name"], in_flight, _unserved() - before


def _find_out() -> tuple[str, dict[str, float]]:
    """Try an engine of which every fifth request fails; return how long its proof took, and how soon after it had no request any more."""
    _ask_for(1024, "Be exact.", "stub-failing", JUDGED)
    revision = _latest()
    _follow(revision, "Stepping", "Aborted")
    tried = time.monotonic()
    _follow(revision, "Aborted")
    assert "errors" in _rollout()["message"], _rollout()
    proven = time.monotonic()
    until(lambda: kit.condition(kit.llm(NAME, NS), "TableProgrammed").get("status") == "True", timeout_s=60, what="no request any more")
    gate = next(each for each in _status()["gates"] if each["name"] == "errors")
    return revision, {
        "bad_canary_proof_requests": gate["canary"],
        "bad_canary_proof_s": proven - tried,
        "bad_canary_to_zero_s": time.monotonic() - proven,
    }


def _roll_back(revision: str, to: str) -> None:
    action = f'{{"id":"back","verb":"rollback","revision":"{revision}"}}'
    kit.kubectl("-n", NS, "annotate", "llm", NAME, "--overwrite", f"llmops.dev/action={action}")
    _follow(to, "Promoted")


def _wait(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Wait for the trial as a pipeline does."""
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    command = ["kubectl", "llm", "wait", NAME, "--namespace", NS, *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=120)


def test_engines_are_promoted_found_out_and_rolled_back_within_their_accelerators(trial: str) -> None:
    first, began = _status()["stable"]["revision"], time.monotonic()
    traffic = Traffic(trial, NAME, rps=RPS, streams=STREAMS, stream_s=STREAM_S)
    with Held(NAME, NS) as held:
        with traffic:
            second = _promote(1024, "Be exact.", kill=True)
            third = _promote(1024, "Be kind.")
            killed, in_flight, asked_again = _kill_an_engine()
            assert _promote(1024, "Be exact.") == second, "what says the same is the same"
            bad, found_out = _find_out()
            assert _status()["stable"]["revision"] == second
            fourth = _promote(1536, "Be exact.", kill=True)
            _roll_back(fourth, to=second)
            threading.Event().wait(max(0.0, FOR_S - (time.monotonic() - began)))
        until(lambda: held.now == REPLICAS, timeout_s=180, what="the old pods gone")
    decided, seen = _status()["autoscaling"]["lastDecisions"], traffic.seen
    cut = [each for each in seen.failures if each.startswith("stream with an error") and "'engine_" in each]
    bad_failed = [each for each in seen.failures if f" of {bad}" in each]
    lost = [each for each in seen.failures if each not in {*cut, *bad_failed}]
    figures.record(
        "engine_rollout",
        seconds=time.monotonic() - began,
        pods=REPLICAS,
        rps=RPS,
        open_streams=STREAMS,
        requests=seen.sent,
        streams=seen.streams,
        failed=len(lost),
        declared=len(seen.declared),
        in_flight_at_the_killed_engine=in_flight,
        cut_with_the_killed_engine=len(cut),
        asked_again=asked_again,
        bad_canary_requests=len(bad_failed) + seen.revisions[bad],
        bad_canary_failed=len(bad_failed),
        **found_out,
        gpu_peak_over_n=held.peak - REPLICAS,
        least_ready=held.least_ready,
    )
    assert (lost, seen.declared, seen.torn()) == ([], [], [])
    assert 0 < len(cut) <= in_flight
    assert asked_again > 0, "nothing had to be asked again: the kill proved nothing"
    assert bad_failed
    assert (held.least_ready, held.peak) == (REPLICAS - 1, REPLICAS + 1), "one was killed, and nothing else took one away"
    assert {each["replicas"] for each in decided} == {REPLICAS}, decided
    assert {first, second, third, fourth} <= set(seen.revisions)
    assert {name for name, *_ in _ended()} <= {killed}, _ended()  # which may be there, or serve again: it went last, or not at all


def test_a_pipeline_that_waits_for_an_accelerator_in_vain_is_told_so_by_its_exit_code(trial: str) -> None:
    before = _status()["stable"]
    with kit.Load(trial, model=NAME) as load:
        _ask_for(1024, "Be hungry.", accelerators=64)
        revision = _latest()
        _follow(revision, "WaitingCapacity")
        waited = _wait(f"--revision={revision}", "--timeout=8s")
        now = _status()
    assert waited.returncode == 6, waited
    assert "Insufficient nvidia.com/gpu" in waited.stdout + waited.stderr
    assert (now["rollout"]["state"], now["rollout"]["revision"]) == ("WaitingCapacity", revision)
    assert now["stable"] == before
    assert load.failures == []
    _ask_for(1024, "Be exact.")
    kit.wait_settled(NAME, NS, REPLICAS)


def test_a_pod_that_is_killed_takes_along_what_it_was_at_and_nothing_else(trial: str) -> None:
    """Its Service goes on to name it for a moment; clients that connect again, as OpenAI's does, lose nothing by that."""
    pod = _a_pod_of_stable()
    pids = killing.pids_of(pod)
    assert len(pids) >= 3, "a sandbox, a sidecar, an engine"
    with Traffic(trial, NAME, rps=RPS, streams=STREAMS, stream_s=STREAM_S, connects_again_after_s=CONNECT_AGAIN_S) as traffic:
        until(lambda: traffic.seen.streams > STREAMS, timeout_s=60, what="every stream open")
        in_flight = _in_flight(pod)
        killing.kill(pids)
        took_s = kit.seconds_until(lambda: not _all_ready(), timeout_s=60, what="the pod known to be gone")
        kit.seconds_until(_all_ready, timeout_s=120, what="the pod back")
    cut = traffic.seen.failures
    figures.record(
        "pod_killed", in_flight=in_flight, cut=len(cut), refused_connections=traffic.seen.refused_connections, known_after_s=took_s
    )
    assert 0 < len(cut) <= in_flight + 1, "one may have come between the look and the kill"
    assert traffic.seen.refused_connections <= (RPS + STREAMS) * FORGOTTEN_S
    assert (traffic.seen.declared, traffic.seen.torn()) == ([], [])
