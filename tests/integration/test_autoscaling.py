"""Pods that tell their load, on a real API server: more of them within seconds, none moved by silence or by somebody else."""

import time

from llm_operator.core import kinds
from tests.fakes.objects import llm_deployment
from tests.integration.chart.kit import kubectl
from tests.integration.server import Server, condition
from tests.integration.stage import Stage
from tests.lab.wait import until

WAIT_S = 60


def asked(server: Server, namespace: str, name: str) -> int:
    return sum(int(each["spec"]["replicas"]) for each in server.children(namespace, name, kinds.DEPLOYMENT))


def told(server: Server, namespace: str, name: str) -> dict[str, str]:
    return condition(server.status(namespace, name), "ScalingActive")


def test_pods_follow_their_load_and_nothing_else(server: Server, namespace: str, stage: Stage) -> None:
    autoscaling = {"mode": "BuiltIn", "minReplicas": 2, "maxReplicas": 5}
    server.create(llm_deployment("load", namespace, accelerator={"profile": "nvidia"}, replicas=2, autoscaling=autoscaling), namespace)
    until(lambda: told(server, namespace, "load")["reason"] == "Fits", timeout_s=WAIT_S, what="the load known")

    stage.traffic[namespace] = 24_000
    began = time.monotonic()
    until(lambda: asked(server, namespace, "load") > 2, timeout_s=WAIT_S, what="more pods")
    print(f"more pods were asked for {time.monotonic() - began:.1f} s after the load had come")  # noqa: T201 - a figure
    until(lambda: asked(server, namespace, "load") >= 4, timeout_s=WAIT_S, what="four pods")
    until(lambda: told(server, namespace, "load")["reason"] != "LoadGrew", timeout_s=WAIT_S, what="enough pods")
    there = asked(server, namespace, "load")
    until(lambda: server.status(namespace, "load").get("readyReplicas") == there, timeout_s=WAIT_S, what="all of them ready")
    decided = server.status(namespace, "load")["autoscaling"]["lastDecisions"]
    print(*decided, sep="\n")  # noqa: T201 - what it came to, if something fails
    assert {each["reason"] for each in decided} >= {"LoadGrew"}

    stage.traffic[namespace] = -1
    until(lambda: told(server, namespace, "load")["reason"] == "MetricsStale", timeout_s=WAIT_S, what="the silence noticed")
    assert (told(server, namespace, "load")["status"], asked(server, namespace, "load")) == ("False", there)

    kubectl("--namespace", namespace, "scale", "llmdeployment/load", "--replicas=1")
    until(
        lambda: condition(server.status(namespace, "load"), "ScalingConflict")["status"] == "True",
        timeout_s=WAIT_S,
        what="the conflict told",
    )
    assert asked(server, namespace, "load") == there


def test_a_shadow_moves_nothing(server: Server, namespace: str, stage: Stage) -> None:
    autoscaling = {"mode": "Shadow", "maxReplicas": 5}
    server.create(llm_deployment("watched", namespace, accelerator={"profile": "nvidia"}, replicas=2, autoscaling=autoscaling), namespace)
    stage.traffic[namespace] = 90_000  # of which others in the namespace have a part
    until(lambda: server.status(namespace, "watched").get("autoscaling", {}).get("replicas", 0) > 2, timeout_s=WAIT_S, what="advice")
    assert asked(server, namespace, "watched") == 2
