"""What the schema cannot know: the operator says why it cannot work, and gets over it when the one field is corrected."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from llm_operator.api.config import OperatorConfig
from llm_operator.core import kinds
from tests.data.negative import OPERATOR, Case
from tests.integration.operating import RunningOperator
from tests.integration.server import Server, condition
from tests.lab.wait import until

Object = dict[str, Any]


@pytest.fixture(scope="module")
def places(server: Server, spaces: Callable[[], str], operators: Callable[[OperatorConfig], RunningOperator]) -> Callable[[Case], str]:
    """Return where a case is tried: one namespace and operator for each configuration, with the prompts of all its cases."""
    made: dict[str, str] = {}

    def place(case: Case) -> str:
        key = json.dumps(case.config, sort_keys=True)
        if key not in made:
            name = spaces()
            wanted = {name: spec for each in OPERATOR if each.config == case.config for name, spec in each.prompts.items()}
            for prompt, spec in wanted.items():
                manifest = {"apiVersion": "llmops.dev/v1alpha1", "kind": "LLMPrompt", "metadata": {"name": prompt}, "spec": spec}
                server.create(manifest, name)
            config = {**case.config, "operatorNamespace": "integration-system", "namespaces": [name], "leaderElection": {"enabled": False}}
            operators(OperatorConfig.model_validate(config))
            made[key] = name
        return made[key]

    return place


def named(manifest: Object, name: str) -> Object:
    """Return a manifest under a name no other case has."""
    return {**manifest, "metadata": {**manifest["metadata"], "name": name}}


@pytest.mark.parametrize("number", range(len(OPERATOR)), ids=lambda number: OPERATOR[number].name)
def test_bad_input_is_explained_and_recovers_once_corrected(server: Server, places: Callable[[Case], str], number: int) -> None:
    case = OPERATOR[number]
    namespace, name = places(case), f"case-{number}"
    kind = kinds.BY_KIND[case.kind]
    wrong, holds = ("Stalled", "True") if case.kind == "LLMDeployment" else ("Valid", "False")
    server.create(named(case.manifest, name), namespace)

    def says(status: str, reason: str = "") -> bool:
        live = server.must(kind, namespace, name)
        found = condition(live.get("status", {}), wrong)
        current = found.get("observedGeneration") == live["metadata"]["generation"]
        return current and found["status"] == status and (not reason or found["reason"] == reason)

    explain(lambda: says(holds, case.reason), server, kind, namespace, name)
    message = condition(server.status(namespace, name, kind), wrong)["message"]
    for words in case.expect:
        assert words in message
    if case.kind == "LLMDeployment":
        assert server.children(namespace, name, kinds.DEPLOYMENT) == ()
    server.replace(named(case.corrected, name), namespace)
    explain(lambda: says("False" if holds == "True" else "True"), server, kind, namespace, name)
    if case.kind == "LLMDeployment":
        until(lambda: server.children(namespace, name, kinds.DEPLOYMENT), timeout_s=30, what="the engine after the correction")


def explain(check: Callable[[], bool], server: Server, kind: kinds.Kind, namespace: str, name: str) -> None:
    """Wait for a condition; when it does not come, say what the status said."""
    try:
        until(check, timeout_s=20, what=f"the operator's word on {name}")
    except AssertionError as error:
        raise AssertionError(f"{error}\n{server.status(namespace, name, kind)}") from error


def test_what_cannot_work_is_not_looked_at_again_and_again(server: Server, places: Callable[[Case], str]) -> None:
    case = OPERATOR[0]
    namespace, name = places(case), "quiet"
    server.create(named(case.manifest, name), namespace)
    until(lambda: condition(server.status(namespace, name), "Stalled").get("status") == "True", timeout_s=20, what="Stalled")
    uri = f"/apis/llmops.dev/v1alpha1/namespaces/{namespace}/llmdeployments/{name}"

    def looks() -> int:
        return sum(each["requestURI"] == uri and each["verb"] == "get" for each in server.lab.audit_events())

    until(lambda: looks() >= 1, timeout_s=20, what="a first look")
    until(lambda: steady(looks), timeout_s=20, what="no more looks")


def steady(count: Callable[[], int]) -> bool:
    """Return whether a count stays the same for three seconds."""
    before = count()
    try:
        until(lambda: count() != before, timeout_s=3, what="a change", interval_s=0.5)
    except AssertionError:
        return True
    return False
