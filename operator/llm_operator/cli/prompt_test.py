"""`prompt test`: the tests of prompts, run by the code that renders them for requests. Data in, results out."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llm_operator.cli import manifests
from llm_operator.cli.endpoint import OK, Asking, message_of
from llm_operator.cli.exits import CliError, Exit
from llm_operator.core.bundles import Words, inline, make_bundle, of_prompt
from llm_operator.core.errors import UserError
from llm_operator.core.prompts import checked, read_prompt, written_in
from llm_operator.core.validate import read_spec
from llm_sidecar.answer_tests import AnswerTest
from llm_sidecar.bundle import Bundle
from llm_sidecar.compile import Compiled, compile_bundle
from llm_sidecar.errors import Refusal
from llm_sidecar.offline import CHAT, chat_body
from llm_sidecar.prompt_tests import PromptTest, compile_answers, judge


@dataclass(frozen=True)
class Prompt:
    """A prompt of a manifest, compiled. ``field`` is where in the manifest it is written."""

    manifest: manifests.Manifest
    field: str
    words: Words
    compiled: Compiled


@dataclass(frozen=True)
class Failure:
    """What is not as expected, and where the expectation stands."""

    field: str
    message: str


@dataclass(frozen=True)
class Result:
    """What became of one test. ``answer`` is nothing where none was asked for; ``is_unasked`` says that the test expects one."""

    test: PromptTest
    rendered: str
    failures: tuple[Failure, ...]
    answer: str | None = None
    is_unasked: bool = False


@dataclass(frozen=True)
class Report:
    """What became of the tests of one prompt."""

    prompt: Prompt
    results: tuple[Result, ...]


def read_prompts(files: Sequence[str]) -> list[Prompt]:
    """Return the prompts of these files, or raise CliError with what is wrong with them."""
    found = [made for each in manifests.read(files) if (made := _prompt(each)) is not None]
    if not found:
        raise CliError(f"there is neither an LLMPrompt nor an LLMDeployment with an inline prompt in {', '.join(files)}")
    return found


def run(prompt: Prompt, asking: Asking | None) -> Report:
    """Run the tests of a prompt; what they expect of answers only where somebody can be asked."""
    answers = compile_answers(prompt.words.tests)
    tests = zip(prompt.words.tests, answers, strict=True)
    return Report(prompt, tuple(_run(prompt, index, test, answer, asking) for index, (test, answer) in enumerate(tests)))


def _prompt(manifest: manifests.Manifest) -> Prompt | None:
    try:
        if manifest.kind == manifests.PROMPT:
            words = of_prompt(read_prompt(manifest.body), written_in(manifest.name), manifest.name)
            bundle = Bundle(prompt=words.prompt, sampling=words.sampling)
        else:
            spec = read_spec(manifest.body)
            words = inline(spec)
            if words.prompt is None:
                return None
            bundle = make_bundle(spec, words)
        checked(bundle, words.tests, words.origin, _check)
    except UserError as error:
        raise CliError(f"{manifest.place}: {error.sentence}", Exit.REJECTED) from error
    return Prompt(manifest, "spec" if manifest.kind == manifests.PROMPT else words.origin, words, compile_bundle(bundle))


def _check(bundle: Bundle, tests: Sequence[PromptTest]) -> None:
    compile_bundle(bundle)
    compile_answers(tests)


def _run(prompt: Prompt, index: int, test: PromptTest, expected: AnswerTest | None, asking: Asking | None) -> Result:
    field = f"{prompt.field}.tests[{index}]"
    judged = judge(prompt.compiled.prompt, test)
    failures = [Failure(f"{field}.{place}", words) for place, words in judged.failures]
    answer: str | None = None
    if expected is not None and asking is not None and not failures:
        answer, wrong = _ask(prompt, test, asking)
        found = [("", wrong)] if answer is None else expected.failures(answer)
        failures = [Failure(f"{field}.answer.{place}".removesuffix("."), words) for place, words in found]
    return Result(test, judged.rendered, tuple(failures), answer, is_unasked=expected is not None and asking is None)


def _ask(prompt: Prompt, test: PromptTest, asking: Asking) -> tuple[str | None, str]:
    """Return the answer to what a test brings, or nothing and why there is none."""
    compiled = prompt.compiled
    wants_text = compiled.prompt is not None and compiled.prompt.has_template
    messages = [{"role": "user", "content": test.prompt}] if test.prompt or wants_text else []
    body: dict[str, Any] = {"model": asking.model, "messages": messages, "prompt": {"variables": test.variables}}
    try:
        sent = json.dumps(body).encode() if asking.served else chat_body(compiled, body)
    except Refusal as refusal:
        return None, refusal.message
    reply = asking.endpoint.post(CHAT, sent)
    told = reply.whole()
    asking.endpoint.refuse(reply.status, told)
    if reply.status != OK:
        return None, f"the endpoint answers {reply.status}: {message_of(told)}"
    try:
        content = json.loads(told)["choices"][0]["message"]["content"]
    except (ValueError, KeyError, TypeError, IndexError):
        content = None
    return (content, "") if isinstance(content, str) else (None, "the endpoint's answer has no text")
