import pytest
from pydantic import ValidationError

from llm_operator.api.base import path, problems
from llm_operator.api.llmdeployment import LLMDeploymentSpec


def test_a_path_reads_as_people_write_it() -> None:
    assert path(("prompt", "inline", "messages", 0, "role")) == "prompt.inline.messages[0].role"
    assert path(()) == ""


def test_each_problem_names_the_field_in_camel_case_and_the_value() -> None:
    spec = {"model": {"source": "s3://models/tiny"}, "accelerator": {"count": 0}, "engine": {"maxModelLen": 8}}
    with pytest.raises(ValidationError) as raised:
        LLMDeploymentSpec.model_validate(spec)
    assert problems(raised.value) == (
        ("engine.maxModelLen", "Input should be greater than or equal to 16, not 8"),
        ("accelerator.profile", "Field required"),
        ("accelerator.count", "Input should be greater than or equal to 1, not 0"),
    )


def test_a_sentence_that_has_the_value_does_not_repeat_it() -> None:
    spec = {
        "model": {"source": "s3://models/tiny"},
        "accelerator": {"profile": "cpu"},
        "engine": {"resources": {"cpu": "many"}, "gpuMemoryUtilization": 2},
    }
    with pytest.raises(ValidationError) as raised:
        LLMDeploymentSpec.model_validate(spec)
    assert problems(raised.value) == (
        ("engine.gpuMemoryUtilization", "must be at least 0.01 and at most 1, not 2"),
        ("engine.resources.cpu", "'many' is not a quantity; write it like 4, 500m, 64Gi or 1.5Gi"),
    )


def test_a_model_cannot_be_changed_once_it_is_read() -> None:
    spec = LLMDeploymentSpec.model_validate({"model": {"source": "s3://models/tiny"}, "accelerator": {"profile": "cpu"}})
    with pytest.raises(ValidationError, match="frozen"):
        setattr(spec, "replicas", 2)  # noqa: B010  # mypy knows too that it cannot be set
