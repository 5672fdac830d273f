"""The manifests only the operator can refuse: each stops with its reason and a sentence, and its correction goes on."""

from datetime import UTC, datetime
from typing import Any

import pytest
import yaml

from llm_operator.api.config import OperatorConfig, load_config
from llm_operator.cli.apiserver import defaulted
from llm_operator.core.observed import Observed
from llm_operator.core.plan import plan
from llm_operator.core.plan_prompt import plan_prompt
from tests.data.negative import OPERATOR, Case

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DEPLOYMENTS = [case for case in OPERATOR if case.kind == "LLMDeployment"]
PROMPTS = [case for case in OPERATOR if case.kind == "LLMPrompt"]


def stored(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return an object as the operator reads it from the server."""
    metadata = {"namespace": "default", "uid": "6a5f0d3e-3f3e-4a53-9a3a-0f6a1f5b7c11", "generation": 1, **manifest["metadata"]}
    return {**defaulted(manifest), "metadata": metadata}


def config(case: Case) -> OperatorConfig:
    return load_config(yaml.safe_dump(case.config))


def look(case: Case, manifest: dict[str, Any]) -> Observed:
    """Return one look at the deployment, with the prompt it refers to if there is one."""
    name = manifest["spec"].get("prompt", {}).get("ref", {}).get("name", "")
    spec = case.prompts.get(name)
    found = {"apiVersion": "llmops.dev/v1alpha1", "kind": "LLMPrompt", "metadata": {"name": name}, "spec": spec}
    return Observed(deployment=stored(manifest), prompt=stored(found) if spec else None)


def conditions(status: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["type"]: each for each in status["conditions"]}


@pytest.mark.parametrize("case", DEPLOYMENTS, ids=lambda case: case.name)
def test_the_operator_stops_with_the_reason_and_says_what_to_do(case: Case) -> None:
    made = plan(look(case, case.manifest), config(case), NOW)
    stalled = conditions(made.status)["Stalled"]
    assert (stalled["status"], stalled["reason"]) == ("True", case.reason)
    assert not [text for text in case.expect if text not in stalled["message"]], stalled["message"]
    assert made.deletes == ()
    assert made.next_look_s is None, "nothing changes until the spec does, or what it waits for"


@pytest.mark.parametrize("case", DEPLOYMENTS, ids=lambda case: case.name)
def test_the_operator_goes_on_once_the_one_field_is_right(case: Case) -> None:
    made = plan(look(case, case.corrected), config(case), NOW)
    assert conditions(made.status)["Stalled"]["status"] == "False"
    assert made.applies


@pytest.mark.parametrize("case", PROMPTS, ids=lambda case: case.name)
def test_a_prompt_that_cannot_be_served_says_so_itself(case: Case) -> None:
    valid = conditions(plan_prompt(stored(case.manifest), [], NOW))["Valid"]
    assert (valid["status"], valid["reason"]) == ("False", case.reason)
    assert not [text for text in case.expect if text not in valid["message"]], valid["message"]


@pytest.mark.parametrize("case", PROMPTS, ids=lambda case: case.name)
def test_a_prompt_is_valid_once_the_one_field_is_right(case: Case) -> None:
    assert conditions(plan_prompt(stored(case.corrected), [], NOW))["Valid"]["status"] == "True"
