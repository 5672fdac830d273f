"""A change of the engine by steps, on a real API server: a quota that keeps its pod away, its share, its evidence, its end."""

from typing import Any

from llm_operator.core import kinds
from llm_operator.core.kinds import Kind
from tests.fakes.objects import llm_deployment, operator_config
from tests.integration.chart.kit import kubectl
from tests.integration.operating import RunningOperator
from tests.integration.server import Server, condition
from tests.integration.stage import Stage
from tests.integration.test_cli import llm
from tests.integration.test_rollout import ask, wait_state, weights
from tests.lab.wait import until

Object = dict[str, Any]

QUOTA = Kind("", "v1", "resourcequotas", "ResourceQuota")
WAIT_S = 60
OTHER = {"spec": {"engine": {"maxModelLen": 4096}}}


def create(server: Server, namespace: str, name: str, **rollout: Any) -> Object:
    """Create a deployment that lets changes of its engine in by steps, and wait until it serves."""
    spec: Object = {"accelerator": {"profile": "nvidia"}, "replicas": 2, "rollout": rollout}
    server.create(llm_deployment(name, namespace, **spec), namespace)
    until(lambda: server.status(namespace, name).get("phase") == "Ready", timeout_s=WAIT_S, what=f"{name} ready")
    return server.status(namespace, name)


def test_a_change_waits_for_its_accelerator_is_tried_on_one_pod_and_takes_over(server: Server, namespace: str) -> None:
    steps = [{"weightPercent": 5, "minDuration": "2s"}, {"weightPercent": 80, "minDuration": "1s"}, {"approval": {}}]
    before = create(server, namespace, "weights", engine={"steps": steps})
    kubectl("--namespace", namespace, "create", "quota", "gpus", "--hard=requests.nvidia.com/gpu=2")
    until(lambda: server.must(QUOTA, namespace, "gpus").get("status", {}).get("used"), timeout_s=WAIT_S, what="the quota counted")
    server.merge(kinds.LLM_DEPLOYMENT, namespace, "weights", OTHER)
    status = wait_state(server, namespace, "weights", "WaitingCapacity")
    assert "exceeded quota" in status["rollout"]["message"]
    assert (condition(status, "CapacityAvailable")["status"], condition(status, "Stalled")["status"]) == ("False", "False")
    assert (status["stable"]["ready"], status["stable"]["weight"]) == (2, 100)
    waited = llm("wait", "weights", f"--namespace={namespace}", f"--revision={status['latestRevision']}", "--timeout=3s")
    assert waited.code == 6, waited.err
    server.merge(QUOTA, namespace, "gpus", {"spec": {"hard": {"requests.nvidia.com/gpu": "3"}}})
    wait_state(server, namespace, "weights", "Stepping", 3)
    until(lambda: condition(server.status(namespace, "weights"), "ApprovalRequired")["status"] == "True", timeout_s=WAIT_S, what="the step")
    status = server.status(namespace, "weights")
    assert (status["canary"]["weight"], status["canary"]["ready"], status["stable"]["ready"]) == (50, 1, 2)
    assert condition(status, "CapacityAvailable")["reason"] == "WeightCappedByCapacity"
    assert weights(server, namespace, "weights") == {before["latestRevision"]: 5_000, status["latestRevision"]: 5_000}
    assert ask(server, namespace, "weights", "approve", "gh-1")["outcome"] == "Done"
    most = []

    def promoted() -> bool:
        most.append(len(server.engine_pods(namespace, "weights")))
        return bool(server.status(namespace, "weights")["phase"] == "Ready")

    until(promoted, timeout_s=WAIT_S, what="nothing left to do")
    after = server.status(namespace, "weights")
    assert max(most) <= 3, "more accelerators than one more than replicas"
    assert (after["stable"]["revision"], after["rollout"]["state"]) == (after["latestRevision"], "Promoted")
    assert after["stable"]["engine"] != before["stable"]["engine"]
    states = list(dict.fromkeys(each["state"] for each in after["history"]))
    states = [each for each in states if each != "Warming"]  # on a busy machine the pod may be ready before it is looked at again
    assert states == ["Preparing", "WaitingCapacity", "Stepping", "Ratcheting", "Finalising", "Promoted"]


def test_a_pod_is_borrowed_when_the_load_falls_and_given_back_when_it_rises(
    server: Server, stage: Stage, spaces: Any, account: str
) -> None:
    namespace, name, most = spaces(), "scarce", []
    stage.loads[namespace] = 6
    with RunningOperator(operator_config(namespaces=[namespace]), account):
        rollout = {"capacity": {"mode": "Borrow"}, "engine": {"steps": [{"weightPercent": 20, "minDuration": "1h"}]}}
        before = create(server, namespace, name, **rollout)

        def seen(state: str, ready: int) -> bool:
            most.append(len(server.engine_pods(namespace, name)))
            status = server.status(namespace, name)
            return bool(status.get("rollout", {}).get("state") == state and status["stable"]["ready"] == ready)

        server.merge(kinds.LLM_DEPLOYMENT, namespace, name, OTHER)
        status = wait_state(server, namespace, name, "WaitingCapacity")
        assert status["rollout"]["message"] == "12 requests are there, and a pod of stable is lent once 1 of 2 pods have to carry 6 at most"
        capacity = condition(status, "CapacityAvailable")
        assert (capacity["status"], capacity["reason"], status["stable"]["ready"]) == ("False", "BorrowUnsafe", 2)
        stage.loads[namespace] = 2
        until(lambda: seen("Stepping", 1), timeout_s=180, what="a pod of stable lent")
        stage.loads[namespace] = 9
        until(lambda: seen("WaitingCapacity", 2), timeout_s=WAIT_S, what="the pod given back")
        assert weights(server, namespace, name)[before["latestRevision"]] == 10_000
    assert max(most) <= 2, "more accelerators than replicas"
    reasons = [each["reason"] for each in server.status(namespace, name)["history"]]
    assert reasons.count("BorrowUnsafe") >= 2


def test_weights_that_fail_lose_their_requests_then_their_pod_and_a_retry_finds_it_warm(
    server: Server, stage: Stage, spaces: Any, account: str
) -> None:
    namespace, name = spaces(), "bad"
    config = operator_config(namespaces=[namespace])
    with RunningOperator(config, account):
        rollout = {"engine": {"steps": [{"weightPercent": 30}]}, "gates": [{"errors": {}}], "abort": {"keepCanaryFor": "1h"}}
        before = create(server, namespace, name, **rollout)
        server.merge(kinds.LLM_DEPLOYMENT, namespace, name, OTHER)
        wait_state(server, namespace, name, "Stepping")
        until(lambda: server.status(namespace, name)["rollout"]["reason"] == "Stepping", timeout_s=WAIT_S, what="its share")
        stage.serve(namespace, 400, failing=server.status(namespace, name)["latestRevision"])
    with RunningOperator(config, account):
        until(lambda: server.status(namespace, name)["rollout"]["state"] == "Aborted", timeout_s=180, what="the abort")
        status = server.status(namespace, name)
        assert (status["rollout"]["reason"], status["stable"]["revision"]) == ("ErrorsMore", before["latestRevision"])
        stable = [before["latestRevision"]]
        until(
            lambda: [one for one, weight in weights(server, namespace, name).items() if weight] == stable, timeout_s=WAIT_S, what="weight 0"
        )
        warm = {pod["metadata"]["uid"] for pod in server.engine_pods(namespace, name)}
        assert len(warm) == 3
        assert ask(server, namespace, name, "retry", "gh-1")["outcome"] == "Done"
        wait_state(server, namespace, name, "Stepping")
        assert {pod["metadata"]["uid"] for pod in server.engine_pods(namespace, name)} == warm
        server.merge(kinds.LLM_DEPLOYMENT, namespace, name, {"spec": {"rollout": {"abort": {"keepCanaryFor": "0s"}}}})
        assert ask(server, namespace, name, "abort", "gh-2")["outcome"] == "Done"
        until(lambda: len(server.engine_pods(namespace, name)) == 2, timeout_s=WAIT_S, what="its pod gone")
