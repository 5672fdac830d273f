"""Whoever waits for a pod that cannot start is told so and why, and a change that mends it lets everybody in. Stub engines."""

import pytest

from tests.e2e import kit
from tests.e2e.manifests import SMALL, deployment, merged
from tests.lab.wait import until

pytestmark = [pytest.mark.usefixtures("platform"), pytest.mark.timeout(600)]

NS = "llm-e2e"
NAME = "stillborn"
QUESTION = {"model": NAME, "messages": [{"role": "user", "content": "is anybody there?"}]}


def apply(profile: str) -> None:
    """Apply a deployment without a pod, whose engine has a quarter of a minute to start."""
    change = {
        "engine": {"profile": profile, "startup": {"timeout": "15s"}},
        "replicas": 0,
        "autoscaling": {"mode": "BuiltIn", "minReplicas": 0, "maxReplicas": 1},
    }
    kit.apply(deployment(NAME, **merged(SMALL, change)), namespace=NS)


def test_who_waits_for_a_start_that_fails_is_told_why() -> None:
    apply("stub-crashing")
    kit.kubectl("-n", NS, "wait", f"llm/{NAME}", "--for=condition=Ready", "--timeout=120s")
    host = kit.address(NAME, NS)

    waited = kit.request(host, "POST", "/v1/chat/completions", QUESTION, timeout_s=240)
    assert (waited.status, waited.json()["error"]["code"]) == (503, "start_failed")
    assert "told to crash" in waited.json()["error"]["message"]
    assert int(waited.headers["retry-after"]) > 0
    assert kit.condition(kit.llm(NAME, NS), "Stalled")["reason"] == "ProgressDeadlineExceeded"
    at_once = kit.chat(host, model=NAME)
    assert (at_once.status, at_once.json()["error"]["code"]) == (503, "start_failed")

    apply("stub")
    until(lambda: kit.chat(host, model=NAME).status == 200, timeout_s=240, what="an answer of the engine that starts", interval_s=1)
    kit.kubectl("-n", NS, "delete", "llm", NAME, "--wait=false")
