"""A bundle that could not serve is refused with the field at fault."""

from decimal import Decimal
from typing import Any

import pytest

from llm_sidecar.bundle import Bundle, BundleError, Limits, Message, Prompt, Sampling
from llm_sidecar.compile import check, compile_bundle

NAME = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


@pytest.mark.parametrize(
    ("default", "limit", "filled"), [(None, 100, 100), (50, 100, 50), (200, 100, 100), (200, None, 200), (None, None, None)]
)
def test_a_request_that_names_no_tokens_gets_no_more_than_the_limit(default: int | None, limit: int | None, filled: int | None) -> None:
    compiled = compile_bundle(Bundle(sampling=Sampling(max_tokens=default), limits=Limits(max_tokens=limit)))
    assert compiled.sampling.get("max_tokens") == filled


def test_an_empty_bundle_changes_nothing() -> None:
    compiled = compile_bundle(Bundle())
    assert compiled.prompt is None
    assert not compiled.changes_requests


@pytest.mark.parametrize(
    "prompt",
    [
        Prompt(system="Be brief."),
        Prompt(system="You help {{ name }}.", inputs=NAME),
        Prompt(messages=(Message(role="user", content="{{ name }}?"), Message(role="assistant", content="Yes.")), inputs=NAME),
        Prompt(
            template="{% for item in list %}{{ loop.index }}. {{ item }}\n{% endfor %}{{ prompt }}",
            inputs={"properties": {"list": {"default": ["a"]}}},
        ),
        Prompt(template="{% if tone is defined %}{{ tone }}: {% endif %}{{ prompt }}", inputs={"properties": {"tone": {"type": "string"}}}),
        Prompt(template="{% set n = namespace(x=1) %}{{ n.x }}{{ dict(a=1).a }}{{ range(2)|list }}{{ prompt }}"),
        Prompt(template="{{ prompt }}", inputs={"$defs": {"t": {"type": "string"}}, "properties": {"a": {"$ref": "#/$defs/t"}}}),
    ],
)
def test_a_prompt_that_works_is_accepted(prompt: Prompt) -> None:
    check(Bundle(prompt=prompt))


@pytest.mark.parametrize(
    ("prompt", "field", "words"),
    [
        (Prompt(template="{{ prompt"), "prompt.template", "unexpected end"),
        (Prompt(template="Hello"), "prompt.template", "never uses {{ prompt }}"),
        (Prompt(template="{{ prompt }} {{ nmae }}", inputs=NAME), "prompt.template", "'nmae' is not declared; declared: name, prompt"),
        (Prompt(system="{{ prompt }}"), "prompt.system", "'prompt' is not declared"),
        (Prompt(system="{{ debug() }}"), "prompt.system", "'debug' is not declared"),
        (
            Prompt(messages=(Message(role="user", content="ok"), Message(role="user", content="{{ x }}"))),
            "prompt.messages[1].content",
            "'x' is not",
        ),
        (Prompt(system="x", template="{{ prompt }}"), "prompt.template", "not both"),
        (Prompt(system="{% include 'other' %}"), "prompt.system", "non-existing template"),
        (Prompt(system="{{ 1|nofilter }}"), "prompt.system", "filter nofilter is unknown"),
        (Prompt(system="{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}"), "prompt.system", "fuel"),
        (Prompt(system="{{ name }}", inputs={"properties": {"name": {"type": "string"}}}), "prompt.system", "a value that is not set"),
        (Prompt(system="{{ name|nofilter }}", inputs=NAME), "prompt.system", "filter nofilter is unknown"),
        (Prompt(system="{{ name }}{% include 'x' %}", inputs=NAME), "prompt.system", "non-existing template"),
        (Prompt(system="x", inputs={"type": "array"}), "prompt.inputs.type", "'array' is not 'object'"),
        (Prompt(system="x", inputs={"properties": {"a": {"type": "strng"}}}), "prompt.inputs.properties.a.type", "strng"),
        (Prompt(system="x", inputs={"properties": {"a": 5}}), "prompt.inputs.properties.a", "5 is not of type"),
        (Prompt(system="x", inputs={"properties": {"a": {"pattern": "(?=x)y"}}}), "prompt.inputs.properties.a.pattern", "regex"),
        (Prompt(system="x", inputs={"properties": {"a": {"$ref": "#/$defs/none"}}}), "prompt.inputs", "does not exist"),
        (Prompt(system="x", inputs={"properties": {"prompt": {}}}), "prompt.inputs.properties.prompt", "another name"),
        (
            Prompt(system="x", inputs={"properties": {"a": {"type": "integer", "default": "1"}}}),
            "prompt.inputs.properties.a.default",
            "not of type",
        ),
    ],
)
def test_a_prompt_that_cannot_work_is_refused(prompt: Prompt, field: str, words: str) -> None:
    with pytest.raises(BundleError) as caught:
        check(Bundle(prompt=prompt))
    assert caught.value.field == field
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("schema", "field"),
    [
        ({"properties": {"a": {"$ref": "http://example.com/schema.json"}}}, "prompt.inputs.properties.a.$ref"),
        ({"properties": {"a": {"$ref": "file:///etc/passwd"}}}, "prompt.inputs.properties.a.$ref"),
        ({"allOf": [{"$dynamicRef": "other.json"}]}, "prompt.inputs.allOf[0].$dynamicRef"),
        ({"$defs": {"x": {"not": {"$ref": "x.json"}}}}, "prompt.inputs.$defs.x.not.$ref"),
    ],
)
def test_references_out_of_the_schema_are_refused(schema: dict[str, Any], field: str) -> None:
    with pytest.raises(BundleError) as caught:
        check(Bundle(prompt=Prompt(system="x", inputs=schema)))
    assert caught.value.field == field
    assert "points outside" in caught.value.message


def test_a_property_may_be_called_like_a_reference() -> None:
    check(Bundle(prompt=Prompt(system="x", inputs={"properties": {"$ref": {"type": "string"}, "b": {"default": {"$ref": "http://x"}}}})))


@pytest.mark.parametrize(
    ("bundle", "field"),
    [
        (Bundle(sampling=Sampling(temperature=Decimal("2.1"))), "sampling.temperature"),
        (Bundle(sampling=Sampling(temperature=Decimal("NaN"))), "sampling.temperature"),
        (Bundle(sampling=Sampling(top_p=Decimal(0))), "sampling.topP"),
        (Bundle(sampling=Sampling(max_tokens=0)), "sampling.maxTokens"),
        (Bundle(sampling=Sampling(repetition_penalty=Decimal(-1))), "sampling.repetitionPenalty"),
        (Bundle(limits=Limits(max_concurrency=0)), "limits.maxConcurrency"),
        (Bundle(limits=Limits(queue=-1)), "limits.queue"),
        (Bundle(limits=Limits(max_body_bytes=0)), "limits.maxBodyBytes"),
        (Bundle(limits=Limits(hold_requests=-1)), "limits.holdRequests"),
        (Bundle(limits=Limits(hold_bytes=-1)), "limits.holdBytes"),
        (Bundle(limits=Limits(hold_timeout_ms=-1)), "limits.holdTimeoutMs"),
    ],
)
def test_values_out_of_range_are_refused(bundle: Bundle, field: str) -> None:
    with pytest.raises(BundleError) as caught:
        check(bundle)
    assert caught.value.field == field


def test_sampling_defaults_become_json_numbers() -> None:
    sampling = Sampling(temperature=Decimal("0.70"), top_k=5, seed=0, stop=("a", "b"), presence_penalty=Decimal(0))
    assert compile_bundle(Bundle(sampling=sampling)).sampling == {
        "temperature": 0.7,
        "top_k": 5,
        "seed": 0,
        "stop": ["a", "b"],
        "presence_penalty": 0.0,
    }
