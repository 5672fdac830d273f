from pathlib import Path
from typing import Any

import pytest
import yaml

from llm_operator.api.config import load_config
from llm_operator.api.llmdeployment import LLMDeploymentSpec
from llm_operator.api.llmprompt import PromptSpec
from llm_operator.cli.apiserver import refusals
from llm_operator.core.engine_args import check_all
from llm_operator.core.pipelines import bundle_pipeline
from llm_operator.core.prompts import prompt_tests
from llm_sidecar.auth.keys import FILE, read
from llm_sidecar.bundle import Bundle, Message, Prompt
from llm_sidecar.prompt_tests import check
from tests.data.yaml_files import documents

FOLDER = Path(__file__).resolve().parents[3] / "examples"
EXAMPLES = sorted(FOLDER.rglob("*.yaml"))
DOCUMENTS = [(str(path.relative_to(FOLDER)), document) for path in EXAMPLES for document in documents(path)]
OURS = [(name, each) for name, each in DOCUMENTS if each["apiVersion"].startswith("llmops.dev/")]
DEPLOYMENTS = [(name, LLMDeploymentSpec.model_validate(each["spec"])) for name, each in DOCUMENTS if each["kind"] == "LLMDeployment"]
PROMPTS = [
    *((name, PromptSpec.model_validate(each["spec"])) for name, each in DOCUMENTS if each["kind"] == "LLMPrompt"),
    *((name, spec.prompt.inline) for name, spec in DEPLOYMENTS if spec.prompt and spec.prompt.inline),
]
STAGES = {f"pipelines/{name}.yaml": {name} for name in ("blocklist", "normalise", "pii", "schema", "trim")}
VALUES = Path(__file__).resolve().parents[3] / "charts/llm-operator/values.yaml"


def test_there_are_examples() -> None:
    assert {path.name for path in EXAMPLES} >= {"quickstart.yaml", "prompt-ref.yaml", "pvc.yaml", "large-model.yaml", "replace.yaml"}


@pytest.mark.parametrize(("name", "document"), OURS, ids=[f"{name}:{each['kind']}" for name, each in OURS])
def test_the_server_takes_every_example(name: str, document: dict[str, Any]) -> None:
    assert refusals(document) == [], name


@pytest.mark.parametrize(("name", "spec"), DEPLOYMENTS, ids=[name for name, _ in DEPLOYMENTS])
def test_the_operator_takes_every_example_with_the_charts_profiles(name: str, spec: LLMDeploymentSpec) -> None:
    values = yaml.safe_load(VALUES.read_text())
    profiles = {key: values[key] for key in ("engineProfiles", "acceleratorProfiles")}
    config = load_config(yaml.safe_dump({"images": {"sidecar": "a", "fetcher": "b"}, **profiles}))
    assert spec.engine.profile in config.engine_profiles, name
    assert spec.accelerator.profile in config.accelerator_profiles
    assert check_all(spec.engine) == []


@pytest.mark.parametrize(("name", "prompt"), PROMPTS, ids=[name for name, _ in PROMPTS])
def test_a_sidecar_takes_every_prompt(name: str, prompt: PromptSpec) -> None:
    messages = tuple(Message(role=each.role, content=each.content) for each in prompt.messages)
    parts = Prompt(name=name, system=prompt.system, messages=messages, template=prompt.template, inputs=prompt.inputs)
    check(Bundle(prompt=parts), prompt_tests(prompt))


@pytest.mark.parametrize(("name", "spec"), DEPLOYMENTS, ids=[name for name, _ in DEPLOYMENTS])
def test_a_sidecar_takes_every_pipeline(name: str, spec: LLMDeploymentSpec) -> None:
    check(Bundle(pipeline=bundle_pipeline(spec.pipeline)), ())
    stages = {stage.stage for stage in (*spec.pipeline.request, *spec.pipeline.response)}
    assert stages >= STAGES.get(name, set())


def test_every_stage_has_an_example() -> None:
    assert {name for name, _ in DEPLOYMENTS} >= {*STAGES, "pipelines/default.yaml"}


def test_a_sidecar_takes_the_keys_of_whoever_asks_for_some() -> None:
    locked = [each for _, each in OURS if each["spec"].get("auth")]
    secrets = {each["metadata"]["name"]: each for _, each in DOCUMENTS if each["kind"] == "Secret"}
    assert locked
    for each in locked:
        keys = read(secrets[f"{each['metadata']['name']}-sidecar"]["stringData"][FILE].encode())
        assert keys.by_id


def test_a_prompt_that_is_referred_to_is_in_the_same_file() -> None:
    for name, spec in DEPLOYMENTS:
        if spec.prompt and spec.prompt.ref:
            there = [each["metadata"]["name"] for file, each in DOCUMENTS if file == name and each["kind"] == "LLMPrompt"]
            assert spec.prompt.ref.name in there
