"""From the prompt and limits of a spec to the bundle a sidecar runs, checked by the code that will run it."""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from pydantic import ValidationError

from llm_operator.api.base import problems
from llm_operator.api.durations import parse_ms
from llm_operator.api.llmdeployment import Limits as LimitsSpec
from llm_operator.api.llmprompt import AnswerExpectation, PromptSpec
from llm_operator.api.llmprompt import Expectation as ExpectationSpec
from llm_operator.api.llmprompt import Sampling as SamplingSpec
from llm_operator.api.quantities import parse_bytes
from llm_operator.core.canonical import decimal_text, digest
from llm_operator.core.depth import MAX_DEPTH, is_too_deep
from llm_operator.core.errors import UserError
from llm_operator.core.observed import Obj
from llm_operator.core.reasons import Reason
from llm_sidecar.answer_tests import ExpectedAnswer
from llm_sidecar.bundle import Bundle, BundleError, Limits, Message, Prompt, Sampling, encode
from llm_sidecar.prompt_tests import Expectation, PromptTest

MAX_BUNDLE_BYTES = 128 * 1024
INLINE = "spec.prompt.inline"
_HELD = re.compile(r"\.hold(\w+)$")
_STAGE_TIMEOUT = re.compile(r"^(pipeline\.\w+\[\d+\]\.)timeoutMs$")

Check = Callable[[Bundle, tuple[PromptTest, ...]], None]
"""Raises BundleError for a bundle no sidecar could serve, or whose prompt fails a test."""


def prompt_digest(spec: PromptSpec) -> str:
    """Return the hash of a prompt: of what it says, not of how it was spelt."""
    return digest(spec.model_dump(by_alias=True, exclude_defaults=True, exclude={"tests"}))


def read_prompt(prompt: Obj) -> PromptSpec:
    """Return the spec of an LLMPrompt, or raise UserError when it is not one."""
    if is_too_deep(prompt.get("spec")):
        raise UserError(
            Reason.PROMPT_INVALID, f"{reference(prompt['metadata']['name'])} spec", f"nested deeper than {MAX_DEPTH} levels; shorten inputs"
        )
    try:
        return PromptSpec.model_validate(prompt.get("spec") or {})
    except ValidationError as error:
        field, message = problems(error)[0]
        raise UserError(Reason.PROMPT_INVALID, f"{reference(prompt['metadata']['name'])} spec.{field}", message) from error


def reference(name: str) -> str:
    """Return how messages refer to an LLMPrompt."""
    return f"LLMPrompt {name}"


def written_in(name: str) -> str:
    """Return where an LLMPrompt says what it says."""
    return f"{reference(name)} spec"


def bundle_prompt(spec: PromptSpec, name: str = "") -> Prompt:
    """Return the part of a bundle that a prompt makes."""
    return Prompt(
        name=name,
        digest=prompt_digest(spec),
        system=spec.system,
        messages=tuple(Message(role=each.role, content=each.content) for each in spec.messages),
        template=spec.template,
        inputs=spec.inputs,
    )


def prompt_tests(spec: PromptSpec) -> tuple[PromptTest, ...]:
    """Return the tests of a prompt as the code that renders it runs them."""
    return tuple(
        PromptTest(
            name=each.name, prompt=each.prompt, variables=each.variables or {}, expect=_expected(each.expect), answer=_answer(each.answer)
        )
        for each in spec.tests
    )


def _expected(spec: ExpectationSpec | None) -> Expectation:
    if spec is None:
        return Expectation()
    return Expectation(equals=spec.equals, contains=spec.contains or (), excludes=spec.excludes or (), refused=bool(spec.refused))


def _answer(spec: AnswerExpectation | None) -> ExpectedAnswer | None:
    if spec is None:
        return None
    return ExpectedAnswer(contains=spec.contains or (), excludes=spec.excludes or (), matches=spec.matches, schema=spec.json_schema)


def bundle_sampling(spec: SamplingSpec) -> Sampling:
    """Return the sampling defaults of a bundle."""
    values: dict[str, Any] = spec.model_dump()
    exact: dict[str, Any] = {name: Decimal(decimal_text(each)) if isinstance(each, Decimal) else each for name, each in values.items()}
    return Sampling(**exact)


def bundle_limits(spec: LimitsSpec) -> Limits:
    """Return the limits of a bundle."""
    return Limits(
        max_body_bytes=parse_bytes(spec.max_body_bytes),
        max_concurrency=spec.max_concurrency,
        queue=spec.queue,
        queue_timeout_ms=parse_ms(spec.queue_timeout),
        total_timeout_ms=parse_ms(spec.total_timeout),
        **_changed(
            hold_requests=spec.hold.requests,
            hold_bytes=parse_bytes(spec.hold.bytes),
            hold_timeout_ms=parse_ms(spec.hold.timeout),
            max_depth=spec.max_depth,
            max_items=spec.max_items,
            max_choices=spec.max_choices,
            max_tokens=spec.max_tokens,
            max_stops=spec.max_stops,
        ),
    )


def _changed(**values: int | None) -> dict[str, Any]:
    """Return the limits that are not as they are by default: an encoded bundle, and so a revision, is the same as before they existed."""
    usual = Limits()
    return {name: value for name, value in values.items() if value != getattr(usual, name)}


def checked(bundle: Bundle, tests: tuple[PromptTest, ...], origin: str, check: Check) -> Bundle:
    """Return a bundle that a sidecar can serve, or raise UserError naming the field where it was written.

    ``origin`` is where the prompt was written: the path of the inline prompt, or the LLMPrompt with ``spec``.
    """
    size = len(encode(bundle))
    if size > MAX_BUNDLE_BYTES:
        raise UserError(
            Reason.BUNDLE_TOO_LARGE,
            origin,
            f"prompt, pipeline and limits are {size} bytes together, at most {MAX_BUNDLE_BYTES} are delivered; shorten the longest",
        )
    try:
        check(bundle, tests)
    except BundleError as error:
        reason = Reason.PIPELINE_INVALID if error.field.startswith("pipeline") else Reason.PROMPT_INVALID
        raise UserError(reason, written_at(error.field, origin), error.message) from error
    return bundle


def written_at(field: str, origin: str) -> str:
    """Return where a user wrote a field of the bundle."""
    part, _, rest = field.partition(".")
    if part == "pipeline":
        return "spec." + _STAGE_TIMEOUT.sub(r"\1timeout", field)
    if part == "limits":
        return f"spec.{_HELD.sub(lambda found: f'.hold.{found[1].lower()}', field.removesuffix('Ms'))}"
    return f"{origin}.{rest}" if part == "prompt" else f"{origin}.{field}" if field else origin
