"""From a bundle to something that can serve: everything that can be wrong with it is found here, before it ships."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import msgspec

from llm_sidecar.bundle import Bundle, BundleError, Limits, Prompt, Sampling
from llm_sidecar.inputs import Inputs
from llm_sidecar.pipeline import Pipeline, compile_pipeline
from llm_sidecar.templates import RenderError, Templates, dry_run

SYSTEM = "prompt.system"
TEMPLATE = "prompt.template"

_RANGES: Mapping[str, tuple[float, float, str]] = {
    "sampling.temperature": (0, 2, "between 0 and 2"),
    "sampling.topP": (1e-9, 1, "above 0 and at most 1"),
    "sampling.topK": (-1, 1_000_000, "-1 or 0 for all, or a number of tokens"),
    "sampling.minP": (0, 1, "between 0 and 1"),
    "sampling.maxTokens": (1, 10_000_000, "at least 1"),
    "sampling.presencePenalty": (-2, 2, "between -2 and 2"),
    "sampling.frequencyPenalty": (-2, 2, "between -2 and 2"),
    "sampling.repetitionPenalty": (1e-9, 10, "above 0 and at most 10"),
    "sampling.seed": (-(2**63), 2**63 - 1, "a 64-bit integer"),
    "limits.maxBodyBytes": (1, 2**40, "at least 1"),
    "limits.maxConcurrency": (1, 1_000_000, "at least 1"),
    "limits.queue": (0, 1_000_000, "at least 0"),
    "limits.queueTimeoutMs": (0, 2**40, "at least 0"),
    "limits.totalTimeoutMs": (1, 2**40, "at least 1"),
    "limits.holdRequests": (0, 1_000_000, "at least 0"),
    "limits.holdBytes": (0, 2**40, "at least 0"),
    "limits.holdTimeoutMs": (0, 2**40, "at least 0"),
    "limits.maxDepth": (1, 512, "between 1 and 512"),
    "limits.maxItems": (1, 2**40, "at least 1"),
    "limits.maxChoices": (1, 1_000_000, "at least 1"),
    "limits.maxTokens": (1, 10_000_000, "at least 1"),
    "limits.maxStops": (0, 1_000_000, "at least 0"),
}


@dataclass(frozen=True, slots=True)
class Prepared:
    """A compiled prompt: which templates exist, with the roles of the messages in order, and the variables they take.

    ``plain`` are the messages of a request that supplies no variables; empty where one has to.
    """

    templates: Templates
    inputs: Inputs
    has_template: bool
    messages: tuple[tuple[str, str], ...]  # (role, path of the template), the system prompt first
    plain: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Compiled:
    """A bundle ready to serve. Never changed: a request keeps the one it began with."""

    bundle: Bundle
    prompt: Prepared | None
    sampling: Mapping[str, Any]
    limits: Limits
    pipeline: Pipeline | None = None

    @property
    def changes_requests(self) -> bool:
        """Return whether a request may leave with another body than it came with."""
        return self.prompt is not None or bool(self.sampling)


def compile_bundle(bundle: Bundle) -> Compiled:
    """Compile a bundle and try it out, or raise BundleError naming the field that cannot work."""
    _check_ranges("sampling", bundle.sampling)
    _check_ranges("limits", bundle.limits)
    prompt = _prepare(bundle.prompt) if bundle.prompt is not None else None
    pipeline = compile_pipeline(bundle.pipeline) if bundle.pipeline is not None else None
    return Compiled(
        bundle=bundle, prompt=prompt, sampling=_defaults(bundle.sampling, bundle.limits), limits=bundle.limits, pipeline=pipeline
    )


def check(bundle: Bundle) -> None:
    """Raise BundleError when a sidecar could not serve this bundle."""
    compile_bundle(bundle)


def _prepare(prompt: Prompt) -> Prepared:
    if prompt.template is not None and (prompt.system is not None or prompt.messages):
        raise BundleError(TEMPLATE, "a prompt has either a template or system and messages, not both")
    inputs = Inputs(prompt.inputs, "prompt.inputs")
    templates = Templates()
    if prompt.template is not None and "prompt" not in templates.add(TEMPLATE, prompt.template, inputs.names | {"prompt"}):
        raise BundleError(TEMPLATE, "the template never uses {{ prompt }}, so the client's text would be lost")
    messages = [("system", SYSTEM, prompt.system)] if prompt.system is not None else []
    messages += [(message.role, f"prompt.messages[{index}].content", message.content) for index, message in enumerate(prompt.messages)]
    for _, field, source in messages:
        templates.add(field, source, inputs.names)
    prepared = Prepared(
        templates=templates,
        inputs=inputs,
        has_template=prompt.template is not None,
        messages=tuple((role, field) for role, field, _ in messages),
    )
    sources = {field: source for _, field, source in messages}
    _try_out(prepared, {TEMPLATE: prompt.template} if prompt.template is not None else sources)
    return replace(prepared, plain=_plain(prepared)) if inputs.complete else prepared


def _plain(prepared: Prepared) -> tuple[dict[str, Any], ...]:
    values = prepared.inputs.defaults
    return tuple({"role": role, "content": prepared.templates.render(field, values)} for role, field in prepared.messages)


def _try_out(prepared: Prepared, sources: Mapping[str, str]) -> None:
    """Render with the defaults: where they are all a request needs, what fails then fails for every plain request."""
    values = {**prepared.inputs.defaults, "prompt": "text"}
    for field, source in sources.items():
        if not prepared.inputs.complete:
            wrong = dry_run(source, values)
            if wrong is not None:
                raise BundleError(field, wrong)
            continue
        try:
            prepared.templates.render(field, values)
        except RenderError as error:
            raise BundleError(field, f"rendering with the default variables failed: {error.message}") from error


def _check_ranges(part: str, values: Sampling | Limits) -> None:
    for name, wire in zip(values.__struct_fields__, values.__struct_encode_fields__, strict=True):
        value = getattr(values, name)
        if value is None or not isinstance(value, int | Decimal):
            continue
        low, high, words = _RANGES[f"{part}.{wire}"]
        if not (isinstance(value, int) or value.is_finite()) or not low <= value <= high:
            raise BundleError(f"{part}.{wire}", f"{value} is out of range: {words}")


def _defaults(sampling: Sampling, limits: Limits) -> dict[str, Any]:
    defaults: dict[str, Any] = {}
    for name, value in msgspec.structs.asdict(sampling).items():
        if isinstance(value, Decimal):
            defaults[name] = float(value)
        elif isinstance(value, tuple):
            if value:
                defaults[name] = list(value)
        elif value is not None:
            defaults[name] = value
    if limits.max_tokens is not None and defaults.get("max_tokens", limits.max_tokens) >= limits.max_tokens:
        defaults["max_tokens"] = limits.max_tokens  # else a request that names no number would have as many as it likes
    return defaults
