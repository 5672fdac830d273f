"""How an LLMDeployment goes, idle or with streams open, on a real node. The engine is the stub; everything else is real."""

import time

import pytest

from tests.e2e import figures, kit
from tests.e2e.manifests import deployment
from tests.lab.wait import until

NS = "llm-e2e"
pytestmark = pytest.mark.usefixtures("platform")


def test_deleting_an_idle_deployment_takes_its_children_along() -> None:
    kit.apply(deployment("idle"), namespace=NS)
    kit.wait_settled("idle", NS)
    kit.kubectl("-n", NS, "delete", "llm", "idle", "--wait=false")
    kinds = "deployments,services,configmaps,controllerrevisions,networkpolicies,poddisruptionbudgets,jobs,pods"
    kit.seconds_until(
        lambda: not kit.items(kinds, NS, "llmops.dev/deployment=idle"),
        timeout_s=figures.within(30),
        what="children of an idle deployment gone",
    )


def test_deleting_a_deployment_with_an_open_stream_lets_the_stream_end() -> None:
    kit.apply(deployment("busy"), namespace=NS)
    kit.wait_settled("busy", NS)
    pod = kit.pods_of("busy", NS)[0]["metadata"]["name"]
    stream = kit.Stream(kit.address("busy", NS), tokens=400, model="busy").start()
    kit.kubectl("-n", NS, "delete", "llm", "busy", "--wait=false")
    time_left = time.monotonic()
    assert stream.running
    assert stream.finish().error == ""
    print(f"stream went on for {time.monotonic() - time_left:.1f} s after the delete")  # noqa: T201
    until(lambda: kit.get("pod", pod, NS) is None, timeout_s=60, what="the pod gone after its stream")


def test_a_stream_that_goes_on_longer_than_max_stream_is_cut_and_the_pod_goes() -> None:
    kit.apply(deployment("endless", drain={"maxStream": "5s"}), namespace=NS)
    kit.wait_settled("endless", NS)
    stream = kit.Stream(kit.address("endless", NS), tokens=2000, model="endless").start()
    pod = kit.pods_of("endless", NS)[0]["metadata"]["name"]
    kit.kubectl("-n", NS, "delete", "llm", "endless", "--wait=false")
    # minimum 3 s + maxStream 5 s + 15 s for the engine to leave; a stream of 2,000 tokens would take 50 s.
    took = kit.seconds_until(lambda: kit.get("pod", pod, NS) is None, timeout_s=40, what="pod with an endless stream gone")
    assert took >= 5
    assert stream.finish().error


def test_the_drain_call_blocks_until_the_stream_has_ended() -> None:
    """Deleting the pod must wait for the preStop call: a kubelet that got an error would go on to SIGTERM at once."""
    kit.apply(deployment("drains"), namespace=NS)
    kit.wait_settled("drains", NS)
    stream = kit.Stream(kit.address("drains", NS), tokens=200, model="drains").start()
    pod = kit.pods_of("drains", NS)[0]["metadata"]["name"]
    kit.kubectl("-n", NS, "delete", "pod", pod, "--wait=false")
    while not stream.ended(within_s=0.3):
        now = kit.get("pod", pod, NS)
        if not stream.running:
            break  # it ended while kubectl looked, and what that saw may be of afterwards
        assert now is not None, "the pod was gone before its stream had ended"
        engine = next(status for status in now["status"]["containerStatuses"] if status["name"] == "engine")
        assert "running" in engine["state"], "the engine was stopped under a stream"
    assert stream.error == ""
    kit.kubectl("-n", NS, "delete", "llm", "drains", "--wait=false")
