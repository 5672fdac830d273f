"""Tests of a prompt: what it renders to, tried by whoever checks a prompt before it ships. No engine has a part in it."""

from collections.abc import Sequence
from typing import Any

import msgspec

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
    """One test: what a request brings, and what is expected of it."""

    name: str
    expect: Expectation
    prompt: str = ""
    variables: dict[str, Any] = {}


def run(prepared: Prepared | None, tests: Sequence[PromptTest]) -> None:
    """Raise BundleError for the first test that fails, naming it and what was expected in vain."""
    for index, test in enumerate(tests):
        wrong = _run(prepared, test)
        if wrong is not None:
            field, words = wrong
            raise BundleError(f"prompt.tests[{index}].{field}", f'test "{test.name}" failed: {words}')


def check(bundle: Bundle, tests: Sequence[PromptTest]) -> None:
    """Raise BundleError when a sidecar could not serve this bundle, or its prompt fails a test."""
    run(compile_bundle(bundle).prompt, tests)


def rendered(prepared: Prepared, variables: dict[str, Any], text: str) -> str:
    """Return what a completion engine gets: the template, or the messages and the client's text with blank lines between."""
    values = prepared.inputs.resolve(variables)
    if prepared.has_template:
        return prepared.templates.render(TEMPLATE, {**values, "prompt": text})
    parts = [prepared.templates.render(field, values) for _, field in prepared.messages]
    return "\n\n".join([*parts, text] if text else parts)


def _run(prepared: Prepared | None, test: PromptTest) -> tuple[str, str] | None:
    expect = test.expect
    try:
        text = rendered(prepared, test.variables, test.prompt) if prepared is not None else test.prompt
    except (VariablesError, RenderError) as error:
        return None if expect.refused else ("variables", str(error))
    if expect.refused:
        return "expect.refused", "the variables are taken"
    if expect.equals is not None and text != expect.equals:
        return "expect.equals", f"the rendered prompt is {_short(text)}"
    for index, part in enumerate(expect.contains):
        if part not in text:
            return f"expect.contains[{index}]", f"{_short(part)} is not in the rendered prompt, {_short(text)}"
    for index, part in enumerate(expect.excludes):
        if part in text:
            return f"expect.excludes[{index}]", f"{_short(part)} is in the rendered prompt"
    return None


def _short(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
