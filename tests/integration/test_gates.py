"""A gated rollout against a real API server: what sidecars count is evidence, whoever leads when it is taken."""

from collections.abc import Callable
from typing import Any

from llm_operator.core import kinds, names
from llm_operator.core.telemetry.archive import unpack
from tests.fakes.objects import llm_deployment, operator_config
from tests.integration.operating import RunningOperator
from tests.integration.server import Server, condition
from tests.integration.stage import Stage
from tests.lab.wait import until

Object = dict[str, Any]

ROLLOUT: Object = {"config": {"steps": [{"weightPercent": 30}]}, "gates": [{"errors": {}}]}


def test_a_prompt_that_fails_is_aborted_on_evidence_that_two_operators_have_taken(
    server: Server, stage: Stage, spaces: Callable[[], str], account: str
) -> None:
    namespace = spaces()
    operator = RunningOperator(operator_config(namespaces=[namespace]), account)

    def status() -> Object:
        return server.status(namespace, "chat")

    def evidence() -> Object | None:
        return server.get(kinds.CONFIG_MAP, namespace, names.evidence("chat"))

    def rollout() -> str:
        return str(status().get("rollout", {}).get("state", ""))

    def runs() -> bool:
        """Return whether every pod gives the new prompt its share: it is written into the status first, then into the table."""
        return bool(status().get("rollout", {}).get("reason") == "Stepping")

    with operator:
        server.create(llm_deployment("chat", namespace, replicas=2, rollout=ROLLOUT), namespace)
        until(lambda: condition(status(), "Ready").get("status") == "True", timeout_s=60, what="chat serves")
        pods = {each["metadata"]["uid"] for each in server.engine_pods(namespace, "chat")}
        server.merge(kinds.LLM_DEPLOYMENT, namespace, "chat", {"spec": {"prompt": {"inline": {"system": "Fail."}}}})
        until(lambda: evidence() is not None and runs(), timeout_s=60, what="requests for the new prompt")
        bad = status()["latestRevision"]
        stage.serve(namespace, 300, failing=bad)
        began = evidence()
        assert began
        assert unpack(began)
    with RunningOperator(operator_config(namespaces=[namespace]), account):
        stage.serve(namespace, 300, failing=bad)
        until(lambda: rollout() == "Aborted", timeout_s=180, what="the abort")
        until(lambda: evidence() is None, timeout_s=30, what="the end of the evidence")
    found = status()
    (errors,) = [each for each in found["gates"] if each["name"] == "errors"]
    assert (errors["verdict"], found["rollout"]["reason"]) == ("Harm", "ErrorsMore")
    assert errors["canary"] + errors["stable"] == 600, "those before the change of operators and those after it"
    assert {each["metadata"]["uid"] for each in server.engine_pods(namespace, "chat")} == pods
