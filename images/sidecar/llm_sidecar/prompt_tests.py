"""Tests of a prompt: what it renders to, tried by whoever checks a prompt before it ships. No engine has a part in it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from llm_sidecar.answer_tests import AnswerTest, ExpectedAnswer
from llm_sidecar.bundle import Bundle, BundleError
from llm_sidecar.compile import TEMPLATE, Prepared, compile_bundle
from llm_sidecar.inputs import VariablesError
from llm_sidecar.templates import RenderError

_SHOWN = 200


class Expectation(msgspec.Struct, frozen=True, kw_only=True):
    """What the rendered prompt has to be, or that these variables are refused."""

    equals: str | None = None
    contains: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    refused: bool = False


class PromptTest(msgspec.Struct, frozen=True, kw_only=True):
    """One test: what a request brings, and what is expected of what it renders to and of the answer."""

    name: str
    expect: Expectation = Expectation()
    answer: ExpectedAnswer | None = None
    prompt: str = ""
    variables: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Judged:
    """What a test has rendered, and each thing that is not as expected: its place in the test, and a sentence."""

    rendered: str
    failures: tuple[tuple[str, str], ...]


def run(prepared: Prepared | None, tests: Sequence[PromptTest]) -> None:
    """Raise BundleError for the first test that fails, naming it and what was expected in vain, or whose answer nobody could judge."""
    compile_answers(tests)
    for index, test in enumerate(tests):
        for place, words in judge(prepared, test).failures:
            raise BundleError(f"prompt.tests[{index}].{place}", f'test "{test.name}" failed: {words}')


def compile_answers(tests: Sequence[PromptTest]) -> list[AnswerTest | None]:
    """Return what each test expects of answers, or raise BundleError for what no answer could be held against."""
    return [
        AnswerTest(test.answer, f"prompt.tests[{index}].answer") if test.answer is not None else None for index, test in enumerate(tests)
    ]


def check(bundle: Bundle, tests: Sequence[PromptTest]) -> None:
    """Raise BundleError when a sidecar could not serve this bundle, or its prompt fails a test."""
    run(compile_bundle(bundle).prompt, tests)


def judge(prepared: Prepared | None, test: PromptTest) -> Judged:
    """Render what a test brings and hold it against what it expects."""
    try:
        text = rendered(prepared, test.variables, test.prompt) if prepared is not None else test.prompt
    except (VariablesError, RenderError) as error:
        return Judged("", () if test.expect.refused else (("variables", str(error)),))
    return Judged(text, tuple(_failures(text, test.expect)))


def rendered(prepared: Prepared, variables: dict[str, Any], text: str) -> str:
    """Return what a completion engine gets: the template, or the messages and the client's text with blank lines between."""
    values = prepared.inputs.resolve(variables)
    if prepared.has_template:
        return prepared.templates.render(TEMPLATE, {**values, "prompt": text})
    parts = [prepared.templates.render(field, values) for _, field in prepared.messages]
    return "\n\n".join([*parts, text] if text else parts)


def _failures(text: str, expect: Expectation) -> Iterator[tuple[str, str]]:
    if expect.refused:
        yield "expect.refused", "the variables are taken"
    if expect.equals is not None and text != expect.equals:
        yield "expect.equals", f"the rendered prompt is {_short(text)}"
    for index, part in enumerate(expect.contains):
        if part not in text:
            yield f"expect.contains[{index}]", f"{_short(part)} is not in the rendered prompt, {_short(text)}"
    for index, part in enumerate(expect.excludes):
        if part in text:
            yield f"expect.excludes[{index}]", f"{_short(part)} is in the rendered prompt"


def _short(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
