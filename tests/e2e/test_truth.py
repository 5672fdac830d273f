"""Status that is true at every moment: what a deployment waits for, why it fails, and that bad input breaks nothing. Stub engine."""

import pytest

from tests.e2e import kit
from tests.e2e.manifests import deployment
from tests.lab.wait import WaitTimeoutError, until

NS = "llm-e2e"
pytestmark = pytest.mark.usefixtures("platform")


def _says(name: str, *, phase: str, words: str, timeout_s: float = 90) -> kit.Object:
    """Wait until an LLMDeployment is in a phase and its message holds some words; return its status."""

    def said() -> bool:
        status = kit.llm(name, NS).get("status", {})
        return bool(status.get("phase") == phase and words in status.get("message", ""))

    try:
        until(said, timeout_s=timeout_s, what=f"{name} in phase {phase} saying {words!r}")
    except WaitTimeoutError as error:
        raise AssertionError(f"{error}; it says {kit.llm(name, NS).get('status')}") from error
    return dict(kit.llm(name, NS)["status"])


def test_too_few_accelerators_are_named_and_nothing_else_is_claimed() -> None:
    kit.apply(deployment("hungry", accelerator={"count": 64}), namespace=NS)
    status = _says("hungry", phase="WaitingForAccelerators", words="nvidia.com/gpu")
    assert kit.condition({"status": status}, "CapacityAvailable")["status"] == "False"
    assert kit.condition({"status": status}, "Ready")["status"] == "False"
    kit.kubectl("-n", NS, "delete", "llm", "hungry", "--wait=false")


def test_a_model_that_is_not_there_is_said_in_the_source_s_own_words() -> None:
    kit.apply(deployment("lost", model={"source": "s3://models/no-such-model"}), namespace=NS)
    until(lambda: kit.condition(kit.llm("lost", NS), "Resolved").get("status") == "False", timeout_s=60, what="Resolved=False")
    resolved = kit.condition(kit.llm("lost", NS), "Resolved")
    assert "s3://models/no-such-model" in resolved["message"]
    assert not kit.items("deployments", NS, "llmops.dev/deployment=lost")
    kit.kubectl("-n", NS, "delete", "llm", "lost", "--wait=false")


def test_a_crashing_engine_is_told_with_exit_code_and_last_line() -> None:
    kit.apply(deployment("broken", profile="stub-crashing"), namespace=NS)
    status = _says("broken", phase="Crashing", words="exit code 1")
    assert "told to crash" in status["message"]
    kit.kubectl("-n", NS, "delete", "llm", "broken", "--wait=false")


def test_a_missing_image_is_named() -> None:
    kit.apply(deployment("imageless", profile="stub-imageless"), namespace=NS)
    _says("imageless", phase="PullingImage", words="lab.local/no-such-image:1")
    kit.kubectl("-n", NS, "delete", "llm", "imageless", "--wait=false")


def test_bad_input_stalls_and_the_good_revision_keeps_serving() -> None:
    kit.apply(deployment("steady"), namespace=NS)
    good = kit.wait_settled("steady", NS)["status"]["stable"]
    host = kit.address("steady", NS)
    children = {child["metadata"]["uid"] for child in kit.items("deployments,services,configmaps", NS, "llmops.dev/deployment=steady")}
    kit.apply(deployment("steady", engine={"args": {"middleware": "os.system"}}), namespace=NS)
    until(lambda: kit.condition(kit.llm("steady", NS), "Stalled").get("status") == "True", timeout_s=30, what="Stalled")
    now = kit.llm("steady", NS)
    stalled = kit.condition(now, "Stalled")
    assert "spec.engine.args" in stalled["message"]
    assert "middleware" in stalled["message"]
    assert kit.condition(now, "Ready")["status"] == "True"
    assert now["status"]["stable"] == good
    assert kit.chat(host, model="steady").headers["x-llm-revision"] == good["revision"]
    left = {child["metadata"]["uid"] for child in kit.items("deployments,services,configmaps", NS, "llmops.dev/deployment=steady")}
    assert left == children
    kit.apply(deployment("steady"), namespace=NS)
    kit.wait_settled("steady", NS)
    kit.kubectl("-n", NS, "delete", "llm", "steady", "--wait=false")
