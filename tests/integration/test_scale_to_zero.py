"""A deployment without a pod on a real API server: it is ready, and somebody who waits in its entry brings a pod."""

import time

from llm_operator.core import kinds
from tests.fakes.objects import llm_deployment
from tests.integration.chart.kit import kubectl
from tests.integration.server import Server, condition
from tests.integration.stage import Stage
from tests.lab.wait import until

WAIT_S = 60
ASLEEP = {"mode": "BuiltIn", "minReplicas": 0, "maxReplicas": 2}


def replicas(server: Server, namespace: str) -> list[int]:
    """Return how many pods each Deployment of an engine is asked for."""
    live = server.children(namespace, "asleep", kinds.DEPLOYMENT)
    return [int(each["spec"]["replicas"]) for each in live if each["metadata"]["name"] != "asleep-entry"]


def test_somebody_who_waits_brings_a_pod(server: Server, namespace: str, stage: Stage) -> None:
    spec = {"accelerator": {"profile": "nvidia"}, "replicas": 0, "autoscaling": ASLEEP}
    server.create(llm_deployment("asleep", namespace, **spec), namespace)
    kubectl("--namespace", namespace, "wait", "llmdeployment/asleep", "--for=condition=Ready", f"--timeout={WAIT_S}s")
    status = server.status(namespace, "asleep")
    assert (status["phase"], status["replicas"], condition(status, "Ready")["reason"]) == ("ScaledToZero", 0, "ScaledToZero")
    until(
        lambda: condition(server.status(namespace, "asleep"), "ScalingActive")["reason"] == "ScaledToZero",
        timeout_s=WAIT_S,
        what="the entry heard",
    )
    assert replicas(server, namespace) == [0]

    stage.holding[namespace] = 3
    began = time.monotonic()
    until(lambda: replicas(server, namespace) == [1], timeout_s=WAIT_S, what="a pod asked for")
    print(f"a pod was asked for {time.monotonic() - began:.1f} s after somebody began to wait")  # noqa: T201 - a figure
    until(lambda: condition(server.status(namespace, "asleep"), "Ready")["reason"] == "Serving", timeout_s=WAIT_S, what="a pod that serves")
    decided = [(each["reason"], each["replicas"]) for each in server.status(namespace, "asleep")["autoscaling"]["lastDecisions"]]
    woken = decided.index(("Waking", 1))
    assert decided[woken - 1] == ("ScaledToZero", 0)
    assert {count for _, count in decided[woken:]} == {1}
