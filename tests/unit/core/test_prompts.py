from decimal import Decimal

import pytest

from llm_operator.api.llmdeployment import Hold
from llm_operator.api.llmdeployment import Limits as LimitsSpec
from llm_operator.api.llmprompt import PromptSpec
from llm_operator.core.errors import UserError
from llm_operator.core.prompts import (
    bundle_limits,
    bundle_prompt,
    bundle_sampling,
    checked,
    prompt_digest,
    prompt_tests,
    read_prompt,
    written_at,
)
from llm_sidecar.answer_tests import ExpectedAnswer
from llm_sidecar.bundle import Bundle, BundleError, Limits, Message, Prompt, Sampling, encode
from llm_sidecar.prompt_tests import Expectation, PromptTest
from tests.unit.core.builders import make_prompt

SPEC = PromptSpec.model_validate(
    {
        "system": "Be {{ tone }}.",
        "messages": [{"role": "user", "content": "Hi"}],
        "inputs": {"properties": {"tone": {"default": "kind"}}},
        "sampling": {"temperature": 0.70, "topP": 1, "maxTokens": 5, "stop": ["\n"]},
    }
)


def test_a_prompt_becomes_the_part_of_a_bundle_it_is() -> None:
    assert bundle_prompt(SPEC, "support") == Prompt(
        name="support",
        digest=prompt_digest(SPEC),
        system="Be {{ tone }}.",
        messages=(Message(role="user", content="Hi"),),
        inputs={"properties": {"tone": {"default": "kind"}}},
    )


def test_sampling_values_are_exact_and_in_one_spelling() -> None:
    sampling = bundle_sampling(SPEC.sampling)
    assert sampling == Sampling(temperature=Decimal("0.7"), top_p=Decimal(1), max_tokens=5, stop=("\n",))
    assert (str(sampling.temperature), str(sampling.top_p)) == ("0.7", "1")


def test_limits_become_bytes_and_milliseconds() -> None:
    assert bundle_limits(LimitsSpec()) == Limits()
    given = LimitsSpec.model_validate({"maxBodyBytes": "1.5Mi", "queueTimeout": "250ms", "totalTimeout": "1h"})
    shape = {"maxDepth": 9, "maxItems": 8, "maxChoices": 7, "maxTokens": 6, "maxStops": 5}
    assert bundle_limits(LimitsSpec.model_validate(shape)) == Limits(max_depth=9, max_items=8, max_choices=7, max_tokens=6, max_stops=5)
    assert bundle_limits(given) == Limits(max_body_bytes=1_572_864, queue_timeout_ms=250, total_timeout_ms=3_600_000)


def test_the_digest_is_of_what_a_prompt_says() -> None:
    assert prompt_digest(SPEC) == prompt_digest(PromptSpec.model_validate(SPEC.to_yaml_dict()))
    assert prompt_digest(SPEC) != prompt_digest(SPEC.model_copy(update={"system": "Be brief."}))


@pytest.mark.parametrize(
    ("field", "where"),
    [
        ("prompt.system", "here.system"),
        ("prompt.messages[0].content", "here.messages[0].content"),
        ("sampling.topP", "here.sampling.topP"),
        ("limits.queueTimeoutMs", "spec.limits.queueTimeout"),
        ("limits.maxBodyBytes", "spec.limits.maxBodyBytes"),
        ("limits.holdTimeoutMs", "spec.limits.hold.timeout"),
        ("pipeline.response[1].patterns[0].re2", "spec.pipeline.response[1].patterns[0].re2"),
        ("pipeline.request[0].timeoutMs", "spec.pipeline.request[0].timeout"),
        ("pipeline.request[0].schema.properties.delayMs", "spec.pipeline.request[0].schema.properties.delayMs"),
        ("", "here"),
    ],
)
def test_a_field_of_the_bundle_is_told_where_the_user_wrote_it(field: str, where: str) -> None:
    assert written_at(field, "here") == where


def test_a_bundle_no_sidecar_could_serve_is_the_users_error() -> None:
    def check(bundle: Bundle, _tests: tuple[PromptTest, ...]) -> None:
        raise BundleError("prompt.system", f"cannot be, {bundle.schema_version}")

    with pytest.raises(UserError) as caught:
        checked(Bundle(), (), "spec.prompt.inline", check)
    assert (caught.value.reason, caught.value.field, caught.value.sentence) == (
        "PromptInvalid",
        "spec.prompt.inline.system",
        "spec.prompt.inline.system: cannot be, 1",
    )


def test_a_prompt_that_is_none_is_named_with_its_field() -> None:
    with pytest.raises(UserError, match=r"LLMPrompt support spec\.system"):
        read_prompt(make_prompt(system=3))
    assert read_prompt({"metadata": {"name": "empty"}}) == PromptSpec()


def test_a_hold_that_is_not_written_leaves_the_bundle_as_it_was_before_there_was_one() -> None:
    assert b"hold" not in encode(Bundle(limits=bundle_limits(LimitsSpec())))


def test_a_hold_reaches_the_bundle_in_plain_numbers() -> None:
    limits = bundle_limits(LimitsSpec(hold=Hold(requests=7, bytes="1Mi", timeout="90s")))
    assert (limits.hold_requests, limits.hold_bytes, limits.hold_timeout_ms) == (7, 1_048_576, 90_000)


def test_tests_are_run_with_the_prompt_and_are_no_part_of_its_digest() -> None:
    asked = {"name": "kind", "variables": {"tone": "kind"}, "prompt": "Hi", "expect": {"contains": ["kind"], "refused": False}}
    tested = PromptSpec.model_validate({**SPEC.to_yaml_dict(), "tests": [asked]})
    assert prompt_digest(tested) == prompt_digest(SPEC)
    assert bundle_prompt(tested) == bundle_prompt(SPEC)
    expect = Expectation(contains=("kind",))
    assert prompt_tests(tested) == (PromptTest(name="kind", variables={"tone": "kind"}, prompt="Hi", expect=expect),)


def test_what_is_expected_of_an_answer_is_handed_on_and_a_test_may_expect_nothing_else() -> None:
    answer = {"contains": ["kind"], "matches": "k.nd", "schema": {"type": "string"}}
    tested = PromptSpec.model_validate({**SPEC.to_yaml_dict(), "tests": [{"name": "kind", "answer": answer}]})
    expected = ExpectedAnswer(contains=("kind",), matches="k.nd", schema={"type": "string"})
    assert prompt_tests(tested) == (PromptTest(name="kind", answer=expected),)
