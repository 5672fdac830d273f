"""The stages of a bundle, compiled and tried out, with the policy of each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from llm_sidecar import bundle
from llm_sidecar.bundle import BundleError
from llm_sidecar.policy import Policy
from llm_sidecar.stages import BlockedError, BodyStage, Modify, Stage, blocklist, normalise, pii, schema, trim

_TEXT: Mapping[type, Callable[[Any, str], Stage]] = {
    bundle.BlocklistStage: blocklist.compile,
    bundle.NormaliseStage: normalise.compile,
    bundle.PiiStage: pii.compile,
    bundle.TrimStage: trim.compile,
}
"""How each stage is compiled; ``schema`` is two, one for each direction."""

STAGES = ("blocklist", "normalise", "pii", "schema", "trim")
"""Names of all stages there are."""

MOST_STAGES = 16

_SAMPLE = "  The quick brown fox, number 12, wrote to jane@example.com  and 192.0.2.1.\n"
_CUT = 7
_MAX_TIMEOUT_MS = 10_000


@dataclass(frozen=True, slots=True)
class Step:
    """A stage in its place."""

    stage: Stage
    policy: Policy


@dataclass(frozen=True, slots=True)
class BodyStep:
    """A stage that judges a whole body, in its place."""

    stage: BodyStage
    policy: Policy


@dataclass(frozen=True, slots=True)
class Pipeline:
    """All stages of a bundle. ``hides`` names the first stage that keeps text from the client; ``answer`` is what answers have to fit."""

    request: tuple[Step | BodyStep, ...]
    response: tuple[Step, ...]
    hides: str
    answer: schema.AnswerSchema | None


def compile_pipeline(spec: bundle.Pipeline) -> Pipeline:
    """Compile every stage and try it out, or raise BundleError naming the field that cannot work."""
    for name, stages in (("request", spec.request), ("response", spec.response)):
        if len(stages) > MOST_STAGES:
            raise BundleError(f"pipeline.{name}", f"{len(stages)} stages; at most {MOST_STAGES} are run")
    request = tuple(_request_step(stage, f"pipeline.request[{index}]") for index, stage in enumerate(spec.request))
    response = tuple(_response_step(stage, f"pipeline.response[{index}]") for index, stage in enumerate(spec.response))
    answers = [step.stage for step in response if isinstance(step.stage, schema.AnswerSchema)]
    if len(answers) > 1:
        last = max(index for index, stage in enumerate(spec.response) if isinstance(stage, bundle.SchemaStage))
        raise BundleError(f"pipeline.response[{last}].stage", "an answer can be written to one schema only; remove the other schema stage")
    hides = next((step.policy.stage for step in response if step.stage.hides), "")
    return Pipeline(request, response, hides, answers[0] if answers else None)


def _request_step(spec: bundle.Stage, field: str) -> Step | BodyStep:
    if isinstance(spec, bundle.SchemaStage):
        return BodyStep(schema.compile_request(spec, field), _policy(spec, field))
    return _text_step(_TEXT[type(spec)](spec, field), spec, field)


def _response_step(spec: bundle.Stage, field: str) -> Step:
    if isinstance(spec, bundle.SchemaStage):
        if spec.of != "Request":
            raise BundleError(f"{field}.of", "in a response the schema is that of the answer; remove `of`")
        return Step(schema.compile_answer(spec, field), _policy(spec, field))
    return _text_step(_TEXT[type(spec)](spec, field), spec, field)


def _text_step(stage: Stage, spec: bundle.Stage, field: str) -> Step:
    """Try a stage out: what it makes of a whole text, it must make of the same text in pieces."""
    verdict = stage.judge(_SAMPLE)
    whole = verdict.text if isinstance(verdict, Modify) else _SAMPLE
    stream = stage.stream()
    try:
        pieces = "".join([stream.feed(_SAMPLE[at : at + _CUT]) for at in range(0, len(_SAMPLE), _CUT)]) + stream.finish()
    except BlockedError as blocked:
        if verdict == blocked.block:
            return Step(stage, _policy(spec, field))
        raise BundleError(field, f"the stage blocks in a stream what it does not block in a whole text: {blocked}") from blocked
    if pieces != whole:
        raise BundleError(field, "the stage makes something else of a text in pieces than of the same text in one")
    return Step(stage, _policy(spec, field))


def _policy(spec: bundle.Stage, field: str) -> Policy:
    if not 1 <= spec.timeout_ms <= _MAX_TIMEOUT_MS:
        raise BundleError(f"{field}.timeoutMs", f"{spec.timeout_ms} is out of range: between 1 and {_MAX_TIMEOUT_MS}")
    name = str(spec.__struct_config__.tag)
    return Policy(name, spec.on_fail == "Open", spec.on_error == "Open", spec.timeout_ms / 1000)
