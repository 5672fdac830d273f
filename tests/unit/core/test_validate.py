from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_operator.api.llmdeployment import LLMDeploymentSpec
from llm_operator.core.errors import UserError
from llm_operator.core.observed import Observed
from llm_operator.core.plan import plan
from llm_operator.core.plan_prompt import plan_prompt
from llm_operator.core.validate import KNOWN_MAX, read_spec, validate
from tests.unit.core.builders import NOW, make_config, make_deployment, make_prompt, make_spec

WORDS = st.sampled_from(["", "vllm", "l4", "s3://models/tiny", "pvc://c/p", "10s", "4Gi", "true", "{{ prompt }}", "{{ x }", "ü" * 40])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)
PROMPT = st.fixed_dictionaries(
    {},
    optional={
        "system": JSON,
        "template": JSON,
        "messages": st.lists(st.fixed_dictionaries({}, optional={"role": JSON, "content": JSON}), max_size=2) | JSON,
        "inputs": st.fixed_dictionaries({}, optional={"type": JSON, "properties": JSON, "required": JSON}) | JSON,
        "sampling": st.dictionaries(st.sampled_from(["temperature", "topP", "seed", "stop"]), JSON, max_size=2) | JSON,
    },
)
SPEC = st.fixed_dictionaries(
    {},
    optional={
        "model": st.fixed_dictionaries({}, optional={"source": JSON, "servedName": JSON, "credentials": JSON}) | JSON,
        "engine": st.dictionaries(st.sampled_from(["profile", "args", "resources", "startup", "maxModelLen"]), JSON, max_size=3) | JSON,
        "accelerator": st.fixed_dictionaries({}, optional={"profile": JSON, "count": JSON}) | JSON,
        "prompt": st.fixed_dictionaries({}, optional={"ref": JSON, "inline": PROMPT | JSON, "updatePolicy": JSON}) | JSON,
        "limits": st.dictionaries(st.sampled_from(["maxBodyBytes", "queue", "totalTimeout"]), JSON, max_size=2) | JSON,
        "drain": JSON,
        "replicas": JSON,
    },
)


@given(SPEC)
def test_no_spec_whatever_is_in_it_ends_in_anything_but_a_status(spec: dict[str, Any]) -> None:
    deployment = make_deployment(spec={**make_spec(), **spec})
    made = plan(Observed(deployment), make_config(), NOW)
    assert made.status["observedGeneration"] == 1
    assert all(each.kind.kind == "Job" for each in made.applies)
    assert all(each["message"] and each["reason"].isalnum() for each in made.status["conditions"])


@given(PROMPT)
def test_no_prompt_whatever_is_in_it_ends_in_anything_but_a_verdict(spec: dict[str, Any]) -> None:
    (valid,) = plan_prompt({**make_prompt(), "spec": spec}, [], NOW)["conditions"]
    assert valid["status"] in {"True", "False"}


def test_what_is_asked_for_may_be_asked_for() -> None:
    validate(LLMDeploymentSpec.model_validate(make_spec()), make_config())


@pytest.mark.parametrize(
    ("source", "allowed", "words"),
    [
        ("s3://models/a", {"schemes": ["pvc"]}, "allowed are pvc://"),
        ("pvc://claim/a", {"schemes": []}, "allowed are none"),
        ("s3://models/a", {"s3Buckets": ["b", "a"]}, "allowed are a, b"),
    ],
)
def test_a_source_that_is_not_allowed_is_told_what_is_and_who_can_help(source: str, allowed: dict[str, Any], words: str) -> None:
    spec = LLMDeploymentSpec.model_validate(make_spec(model={"source": source}))
    with pytest.raises(UserError) as caught:
        validate(spec, make_config(sources=allowed))
    assert caught.value.reason == "SourceNotAllowed"
    assert source in caught.value.message
    assert words in caught.value.message
    assert "ask the administrator" in caught.value.message


def test_buckets_do_not_limit_volumes() -> None:
    spec = LLMDeploymentSpec.model_validate(make_spec(model={"source": "pvc://claim/a"}))
    validate(spec, make_config(sources={"s3Buckets": ["a"]}))


def test_a_spec_is_read_once_unless_it_is_large() -> None:
    small, large = (make_deployment(spec=make_spec(prompt={"inline": {"system": "word" * count}})) for count in (1, KNOWN_MAX // 4))
    assert read_spec(small) is read_spec(small)
    assert read_spec(large) is not read_spec(large)
    assert read_spec(large) == read_spec(large)


def test_a_deployment_without_a_spec_is_the_users_error() -> None:
    with pytest.raises(UserError, match=r"spec\.model"):
        read_spec({"metadata": {"name": "x"}})


@pytest.mark.parametrize(
    ("memory", "hold"),
    [({"memory": "1Gi"}, {"bytes": "512Mi"}), ({}, {"bytes": "1Gi"}), ({"memory": "1Gi"}, {"bytes": "1Gi", "requests": 0})],
    ids=["half of what a sidecar has", "sidecars without a limit", "nobody waits"],
)
def test_what_waits_may_take_half_of_the_memory_a_sidecar_has(memory: dict[str, str], hold: dict[str, Any]) -> None:
    config = make_config(sidecar_resources={"limits": memory})
    validate(LLMDeploymentSpec.model_validate({**make_spec(), "limits": {"hold": hold}}), config)


def test_more_than_half_of_it_is_refused_with_how_much_there_may_be() -> None:
    spec = LLMDeploymentSpec.model_validate({**make_spec(), "limits": {"hold": {"bytes": "513Mi"}}})
    with pytest.raises(UserError) as caught:
        validate(spec, make_config())
    assert caught.value.field == "spec.limits.hold.bytes"
    assert '"513Mi" is more than half of 1Gi' in caught.value.sentence
    assert "use at most 512Mi" in caught.value.sentence
