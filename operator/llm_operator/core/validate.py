"""What can be told from spec and configuration alone: a list of checks, each of which raises UserError."""

import json
from collections.abc import Callable
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import ValidationError

from llm_operator.api.base import problems
from llm_operator.api.config import OperatorConfig
from llm_operator.api.llmdeployment import LLMDeploymentSpec
from llm_operator.api.quantities import parse_bytes, render_bytes
from llm_operator.api.sources import parse_source
from llm_operator.core import engine_args
from llm_operator.core.depth import MAX_DEPTH, is_too_deep
from llm_operator.core.errors import UserError
from llm_operator.core.observed import Obj
from llm_operator.core.reasons import Reason

Check = Callable[[LLMDeploymentSpec, OperatorConfig], None]
KNOWN_MAX = 32 * 1024
"""Characters of a spec that is remembered as it was read: a thousand larger ones could be all the memory of an operator."""


def read_spec(deployment: Obj) -> LLMDeploymentSpec:
    """Return the spec of an LLMDeployment; the CRD has checked it, but perhaps an older one than ours."""
    if is_too_deep(deployment.get("spec")):
        raise UserError(Reason.SPEC_INVALID, "spec", f"nested deeper than {MAX_DEPTH} levels; nothing that can be served is")
    try:
        text = json.dumps(deployment.get("spec") or {})
        return (_known if len(text) <= KNOWN_MAX else _read)(text)
    except ValidationError as error:
        field, message = problems(error)[0]
        raise UserError(Reason.SPEC_INVALID, f"spec.{field}", message) from error


def _read(spec: str) -> LLMDeploymentSpec:
    return LLMDeploymentSpec.model_validate(json.loads(spec))


_known = lru_cache(maxsize=1024)(_read)  # nearly every look finds the spec that the last look found


def validate(spec: LLMDeploymentSpec, config: OperatorConfig) -> None:
    """Raise UserError for the first thing asked for that this cluster does not offer."""
    for check in CHECKS:
        check(spec, config)


def _arguments_are_allowed(spec: LLMDeploymentSpec, _config: OperatorConfig) -> None:
    if sentences := engine_args.check_all(spec.engine):
        raise UserError(Reason.ENGINE_ARGUMENT_INVALID, "", sentences[0])  # the sentence begins with the field


def _source_is_allowed(spec: LLMDeploymentSpec, config: OperatorConfig) -> None:
    text, field = spec.model.source, "spec.model.source"
    try:
        source = parse_source(text)
    except ValueError as error:
        raise UserError(Reason.SOURCE_INVALID, field, f'"{text}" {error}') from error
    allowed = config.sources
    if source.scheme not in allowed.schemes:
        valid = ", ".join(f"{scheme}://" for scheme in sorted(allowed.schemes)) or "none"
        raise UserError(
            Reason.SOURCE_NOT_ALLOWED, field, f'"{text}" has a scheme this cluster does not allow; allowed are {valid}; {_ADMIN}'
        )
    if source.scheme == "s3" and allowed.s3_buckets and source.container not in allowed.s3_buckets:
        valid = ", ".join(sorted(allowed.s3_buckets))
        raise UserError(
            Reason.SOURCE_NOT_ALLOWED,
            field,
            f'"{text}" is in bucket {source.container}, which is not allowed; allowed are {valid}; {_ADMIN}',
        )


def _gates_are_offered(spec: LLMDeploymentSpec, config: OperatorConfig) -> None:
    for index, gate in enumerate(spec.rollout.gates or ()):
        field = f"spec.rollout.gates[{index}]"
        if gate.promql is not None and config.gates.prometheus is None:
            message = f'"{gate.promql.name}" needs a Prometheus, and none is set up; remove the gate, or {_SET_UP} gates.prometheus'
            raise UserError(Reason.GATE_UNKNOWN, f"{field}.promql", message)
        if gate.webhook is not None and gate.webhook.name not in config.gates.webhooks:
            valid = ", ".join(sorted(config.gates.webhooks)) or "none"
            message = f'"{gate.webhook.name}" is no webhook of this cluster; valid names are {valid}; use one, or {_SET_UP} gates.webhooks'
            raise UserError(Reason.GATE_UNKNOWN, f"{field}.webhook.name", message)


def _time_zones_are_known(spec: LLMDeploymentSpec, _config: OperatorConfig) -> None:
    for index, each in enumerate(spec.autoscaling.schedules):
        try:
            ZoneInfo(each.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            field = f"spec.autoscaling.schedules[{index}].timezone"
            raise UserError(Reason.SPEC_INVALID, field, f'"{each.timezone}" is no time zone; write it like Europe/Berlin') from error


def _sidecars_can_carry_what_waits(spec: LLMDeploymentSpec, config: OperatorConfig) -> None:
    hold, memory = spec.limits.hold, config.sidecar_resources.limits.get("memory")
    if memory is None or not hold.requests:
        return
    most = parse_bytes(memory) // _SHARE_HELD
    if parse_bytes(hold.bytes) > most:
        message = (
            f'"{hold.bytes}" is more than half of {memory}, the memory of a sidecar, in which they wait; use at most {render_bytes(most)}, '
            "or ask the administrator to raise sidecarResources.limits.memory in the operator's configuration"
        )
        raise UserError(Reason.SPEC_INVALID, "spec.limits.hold.bytes", message)


_SHARE_HELD = 2
"""What is not for bodies that wait is for the program, and for those that are on their way to an engine meanwhile."""
_SET_UP = "ask the administrator to set it up in the operator's configuration under"
_ADMIN = "copy the model there, or ask the administrator to allow it in the operator's configuration"

CHECKS: tuple[Check, ...] = (
    *(_arguments_are_allowed, _source_is_allowed, _gates_are_offered, _time_zones_are_known),
    _sidecars_can_carry_what_waits,
)
"""In the order a user reads the spec; profiles are checked where they are resolved."""
