"""Prompts let in by steps on a real node, while the operator is killed: nothing is lost, and what fails is found out. Stub engine.

Behind the tests that share the operator. Ten minutes of 20 requests a second and a hundred streams with LLM_SOAK=1, else as long as needed.
"""

import threading
import time
from collections.abc import Iterator

import pytest

from tests.e2e import figures, kit
from tests.e2e.manifests import SMALL, deployment, merged
from tests.e2e.traffic import Traffic
from tests.lab import product
from tests.lab.wait import until

pytestmark = [pytest.mark.usefixtures("platform"), pytest.mark.operator_goes, pytest.mark.timeout(1500)]

NS = "llm-e2e"
NAME = "ramp"
REPLICAS = 5
RPS, STREAMS = (20, 100) if figures.SOAK else (10, 20)
FOR_S = 600 if figures.SOAK else 0
STEPS = [{"weightPercent": 20, "minDuration": "5s"}, {"weightPercent": 50, "minDuration": "5s"}]
RUDE = "Be rude."
JUDGED = {"config": {"steps": [{"weightPercent": 30, "minDuration": "10m", "maxDuration": "20m"}]}, "gates": [{"errors": {}}]}


@pytest.fixture(scope="module")
def ramp(platform: None) -> Iterator[str]:  # noqa: ARG001  # the platform must be up first
    """One settled LLMDeployment whose prompts are let in by steps; its address."""
    _say("Be brief.")
    kit.wait_settled(NAME, NS, REPLICAS, timeout_s=300)
    yield kit.address(NAME, NS)
    kit.kubectl("-n", NS, "delete", "llm", NAME, "--wait=true")


def _say(words: str, **rollout: object) -> None:
    touchy = merged(SMALL, {"engine": {"profile": "stub-touchy"}})
    wanted = {"prompt": {"inline": {"system": words}}, "rollout": rollout or {"config": {"steps": STEPS}}}
    kit.apply(deployment(NAME, replicas=REPLICAS, **merged(touchy, wanted)), namespace=NS)


def _status() -> kit.Object:
    return dict(kit.llm(NAME, NS)["status"])


def _latest() -> str:
    """Return the revision that the spec of now has become."""
    until(lambda: _status().get("observedGeneration") == kit.llm(NAME, NS)["metadata"]["generation"], timeout_s=180, what="the spec seen")
    return str(_status()["latestRevision"])


def _rollout() -> kit.Object:
    return dict(_status().get("rollout", {}))


def _follow(revision: str, state: str, timeout_s: float = 120) -> None:
    until(
        lambda: (_rollout().get("revision"), _rollout().get("state")) == (revision, state), timeout_s=timeout_s, what=f"{revision} {state}"
    )


def _kill_the_operator() -> None:
    kit.kubectl("-n", product.SYSTEM_NAMESPACE, "delete", "pods", "--all", "--grace-period=0", "--force", "--wait=false")


def _identity() -> dict[str, int]:
    return {pod["metadata"]["uid"]: sum(kit.each_restart([pod])) for pod in kit.pods_of(NAME, NS)}


def _judged() -> int:
    """Return how many requests of the revision on its way the gate of errors rests on."""
    return next((each["canary"] for each in _status().get("gates", []) if each["name"] == "errors"), 0)


def _promote(words: str, *, kill: bool) -> str:
    _say(words)
    revision = _latest()
    _follow(revision, "Stepping")
    if kill:
        _kill_the_operator()
    _follow(revision, "Promoted")
    return revision


def _find_out(words: str) -> tuple[str, float]:
    """Let a prompt in that makes every fifth request fail, kill the operator on the way, and return how soon it had no request any more."""
    _say(words, **JUDGED)
    revision = _latest()
    _follow(revision, "Stepping")
    until(lambda: _judged() > 0, timeout_s=180, what="the first evidence")
    seen = _judged()
    _kill_the_operator()
    until(lambda: _rollout()["state"] == "Aborted" or _judged() > seen, timeout_s=180, what="evidence that outlives the operator")
    _follow(revision, "Aborted", timeout_s=600)
    assert _rollout()["reason"] == "ErrorsHarm" or "errors" in _rollout()["message"], _rollout()
    began = time.monotonic()
    until(lambda: kit.condition(kit.llm(NAME, NS), "TableProgrammed").get("status") == "True", timeout_s=60, what="no request any more")
    return revision, time.monotonic() - began


def test_prompts_are_promoted_found_out_and_rolled_back_without_a_lost_request(ramp: str) -> None:
    before, first = _identity(), _status()["stable"]["revision"]
    began = time.monotonic()
    with Traffic(ramp, NAME, rps=RPS, streams=STREAMS) as traffic:
        second = _promote("Be exact.", kill=True)
        bad, to_zero_s = _find_out(RUDE)
        assert _status()["stable"]["revision"] == second
        _say("Be exact.")
        until(lambda: _latest() == second, timeout_s=60, what="the spec taken back")
        third = _promote("Be kind.", kill=False)
        action = f'{{"id":"back","verb":"rollback","revision":"{third}"}}'
        kit.kubectl("-n", NS, "annotate", "llm", NAME, "--overwrite", f"llmops.dev/action={action}")
        _follow(second, "Promoted")
        threading.Event().wait(max(0.0, FOR_S - (time.monotonic() - began)))
    seen = traffic.seen
    lost = [each for each in seen.failures if f" of {bad}" not in each]
    figures.record(
        "rollout",
        seconds=time.monotonic() - began,
        pods=REPLICAS,
        rps=RPS,
        open_streams=STREAMS,
        requests=seen.sent,
        streams=seen.streams,
        failed=len(lost),
        declared=len(seen.declared),
        bad_canary_requests=len(seen.failures) - len(lost) + seen.revisions[bad],
        bad_canary_failed=len(seen.failures) - len(lost),
        bad_canary_to_zero_s=to_zero_s,
        pod_restarts=sum(_identity().values()),
        gpu_delta=len(_identity()) - len(before),
    )
    assert (lost, seen.declared, seen.torn()) == ([], [], [])
    assert _identity() == before
    assert {first, second, third} <= set(seen.revisions)
