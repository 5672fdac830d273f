"""Engines let in by steps on a real node, while the operator and an engine are killed: nothing is lost that need not be. Stub engines.

Behind the tests that share the operator. Ten minutes of 20 requests a second and a hundred streams with LLM_SOAK=1, else as long as needed.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.e2e import figures, kit
from tests.e2e.changing import NS
from tests.e2e.freezing import container_pid
from tests.e2e.held import Held
from tests.e2e.manifests import deployment
from tests.e2e.traffic import Traffic
from tests.lab import product
from tests.lab.wait import until

pytestmark = [pytest.mark.usefixtures("platform"), pytest.mark.order_last, pytest.mark.timeout(1800)]

NAME = "trial"
REPLICAS = 3 if figures.SOAK else 2
RPS, STREAMS, STREAM_S = (20, 100, (5, 20, 60)) if figures.SOAK else (10, 15, (3, 6))
FOR_S = 600 if figures.SOAK else 0
WAIT_S = 900 if figures.SOAK else 400
STEPS = [{"weightPercent": 10, "minDuration": "3s"}, {"weightPercent": 30, "minDuration": "3s"}]
LET_IN: Mapping[str, Any] = {"engine": {"steps": STEPS}, "config": {"steps": [{"weightPercent": 30, "minDuration": "3s"}]}}
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


def _ask_for(context: int, words: str, profile: str = "stub-slow", rollout: Mapping[str, Any] = LET_IN) -> None:
    """Apply it with a context, on which the engine depends, and a prompt."""
    engine = {"profile": profile, "maxModelLen": context, "resources": {"cpu": "50m", "memory": "128Mi"}}
    wanted: dict[str, Any] = {"engine": engine, "prompt": {"inline": {"system": words}}, "rollout": dict(rollout), "replicas": REPLICAS}
    kit.apply(deployment(NAME, **wanted), namespace=NS)


def _status() -> kit.Object:
    return dict(kit.llm(NAME, NS)["status"])


def _rollout() -> kit.Object:
    return dict(_status().get("rollout", {}))


def _latest() -> str:
    """Return the revision that the spec of now has become."""
    until(lambda: _status().get("observedGeneration") == kit.llm(NAME, NS)["metadata"]["generation"], timeout_s=60, what="the spec seen")
    return str(_status()["latestRevision"])


def _follow(revision: str, *states: str) -> None:
    until(
        lambda: _rollout().get("revision") == revision and _rollout().get("state") in states,
        timeout_s=WAIT_S,
        what=f"{revision} {' or '.join(states)}",
    )


def _kill_the_operator() -> None:
    kit.kubectl("-n", product.SYSTEM_NAMESPACE, "delete", "pods", "--all", "--grace-period=0", "--force", "--wait=false")


def _kill_an_engine() -> str:
    """End the engine of a pod of stable without a word, and wait until it is back; return the pod's uid."""
    stable = _status()["stable"]["engine"]
    pod = next(each for each in kit.pods_of(NAME, NS) if each["metadata"]["labels"]["llmops.dev/engine"] == stable)
    os.kill(container_pid(pod, "engine"), signal.SIGKILL)
    until(lambda: _restarts().get(pod["metadata"]["uid"]) == 1, timeout_s=120, what="the engine started again")
    return str(pod["metadata"]["uid"])


def _restarts() -> dict[str, int]:
    return {pod["metadata"]["uid"]: sum(kit.each_restart([pod])) for pod in kit.pods_of(NAME, NS)}


def _promote(context: int, words: str, *, kill: bool = False) -> str:
    _ask_for(context, words)
    revision = _latest()
    _follow(revision, "Stepping", "Ratcheting")
    if kill:
        _kill_the_operator()
    _follow(revision, "Promoted")
    return revision


def _find_out() -> tuple[str, float]:
    """Try an engine of which every fifth request fails, kill the operator on the way; return how soon after proof it had no request."""
    _ask_for(1024, "Be exact.", "stub-failing", JUDGED)
    revision = _latest()
    _follow(revision, "Stepping")
    _kill_the_operator()
    _follow(revision, "Aborted")
    assert "errors" in _rollout()["message"], _rollout()
    began = time.monotonic()
    until(lambda: kit.condition(kit.llm(NAME, NS), "TableProgrammed").get("status") == "True", timeout_s=60, what="no request any more")
    return revision, time.monotonic() - began


def test_engines_are_promoted_found_out_and_rolled_back_within_their_accelerators(trial: str) -> None:
    first, began = _status()["stable"]["revision"], time.monotonic()
    traffic = Traffic(trial, NAME, rps=RPS, streams=STREAMS, stream_s=STREAM_S)
    with Held(NAME, NS) as held:
        with traffic:
            second = _promote(1024, "Be exact.", kill=True)
            third = _promote(1024, "Be kind.")
            killed = _kill_an_engine()
            fourth = _promote(1024, "Be exact.")
            bad, to_zero_s = _find_out()
            assert _status()["stable"]["revision"] == fourth == second, "what says the same is the same"
            _ask_for(1024, "Be exact.")
            until(lambda: _latest() == second, timeout_s=60, what="the spec taken back")
            fifth = _promote(512, "Be exact.")
            action = f'{{"id":"back","verb":"rollback","revision":"{fifth}"}}'
            kit.kubectl("-n", NS, "annotate", "llm", NAME, "--overwrite", f"llmops.dev/action={action}")
            _follow(second, "Promoted")
            threading.Event().wait(max(0.0, FOR_S - (time.monotonic() - began)))
        until(lambda: held.now == REPLICAS, timeout_s=180, what="the old pods gone")
    seen = traffic.seen
    cut = [each for each in seen.failures if each.startswith("stream with an error") and '"engine_' in each.replace("'", '"')]
    lost = [each for each in seen.failures if f" of {bad}" not in each and each not in cut]
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
        cut_with_the_killed_engine=len(cut),
        bad_canary_requests=len(seen.failures) - len(lost) - len(cut) + seen.revisions[bad],
        bad_canary_to_zero_s=to_zero_s,
        accelerators_peak=held.peak,
    )
    assert (lost, seen.declared, seen.torn()) == ([], [], [])
    assert len(cut) <= STREAMS, "more than the killed engine had"
    assert held.peak == REPLICAS + 1
    assert {first, second, third, fifth} <= set(seen.revisions)
    assert {uid: count for uid, count in _restarts().items() if uid != killed and count} == {}
