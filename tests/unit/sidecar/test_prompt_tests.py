"""Tests of a prompt are run by the code that renders it, and the first that fails is named with what was expected in vain."""

from typing import Any

import pytest

from llm_sidecar.bundle import Bundle, BundleError, Message, Prompt
from llm_sidecar.prompt_tests import Expectation, PromptTest, check

TONE = {"properties": {"tone": {"type": "string", "enum": ["kind", "brief"], "default": "kind"}}}
SYSTEM = Prompt(system="Be {{ tone }}.", messages=(Message(role="user", content="Hi"),), inputs=TONE)
TEMPLATE = Prompt(template="{{ tone }}: {{ prompt }}", inputs=TONE)


def case(variables: dict[str, Any] | None = None, prompt: str = "", **expect: Any) -> PromptTest:
    return PromptTest(name="a name", variables=variables or {}, prompt=prompt, expect=Expectation(**expect))


@pytest.mark.parametrize(
    ("prompt", "test"),
    [
        (SYSTEM, case(equals="Be kind.\n\nHi")),
        (SYSTEM, case({"tone": "brief"}, "Why?", equals="Be brief.\n\nHi\n\nWhy?")),
        (SYSTEM, case(contains=("kind", "Hi"), excludes=("brief",))),
        (SYSTEM, case({"tone": "rude"}, refused=True)),
        (SYSTEM, case({"colour": "red"}, refused=True)),
        (TEMPLATE, case(prompt="{{ tone }}", equals="kind: {{ tone }}")),
        (None, case(prompt="Why?", equals="Why?")),
    ],
)
def test_what_is_rendered_as_expected_passes(prompt: Prompt | None, test: PromptTest) -> None:
    check(Bundle(prompt=prompt), (test,))


@pytest.mark.parametrize(
    ("test", "field", "words"),
    [
        (case(equals="Be brief."), "expect.equals", "the rendered prompt is 'Be kind.\\n\\nHi'"),
        (case(contains=("kind", "brief")), "expect.contains[1]", "'brief' is not in the rendered prompt"),
        (case(excludes=("kind",)), "expect.excludes[0]", "'kind' is in the rendered prompt"),
        (case({"tone": "rude"}, contains=("x",)), "variables", "prompt.variables.tone"),
        (case(refused=True), "expect.refused", "the variables are taken"),
    ],
)
def test_a_test_that_fails_is_named_with_its_place(test: PromptTest, field: str, words: str) -> None:
    with pytest.raises(BundleError) as caught:
        check(Bundle(prompt=SYSTEM), (case(contains=("kind",)), test))
    assert caught.value.field == f"prompt.tests[1].{field}"
    assert caught.value.message.startswith('test "a name" failed: ')
    assert words in caught.value.message


def test_a_long_prompt_is_not_repeated_whole() -> None:
    with pytest.raises(BundleError) as caught:
        check(Bundle(prompt=Prompt(system="x" * 5000)), (case(equals="y"),))
    assert len(caught.value.message) < 400
