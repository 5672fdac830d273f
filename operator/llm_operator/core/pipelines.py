"""From the pipeline of a spec to that of a bundle: the same fields, times in milliseconds, and nothing that is default anyway."""

from typing import Any

import msgspec

from llm_operator.api import pipeline as api
from llm_operator.api.durations import parse_ms
from llm_sidecar import bundle

PIPELINE = "spec.pipeline"

_STAGES: dict[str, type[bundle.Stage]] = {
    "schema": bundle.SchemaStage,
    "normalise": bundle.NormaliseStage,
    "pii": bundle.PiiStage,
    "blocklist": bundle.BlocklistStage,
    "trim": bundle.TrimStage,
}


def bundle_pipeline(spec: api.Pipeline) -> bundle.Pipeline | None:
    """Return the pipeline of a bundle, or nothing where there are no stages."""
    if not spec.request and not spec.response:
        return None
    return bundle.Pipeline(request=tuple(map(_stage, spec.request)), response=tuple(map(_stage, spec.response)))


def _stage(spec: api.Stage) -> bundle.Stage:
    values: dict[str, Any] = {name: getattr(spec, name) for name in type(spec).model_fields}
    values["schema"] = values.pop("json_schema")
    values["timeout_ms"] = parse_ms(spec.timeout) if spec.timeout is not None else None
    if spec.patterns is not None:
        values["patterns"] = tuple(bundle.Pattern(name=each.name, re2=each.re2) for each in spec.patterns)
    kind = _STAGES[spec.stage]
    # A stage without a default written out is the same revision as one with it.
    given = {
        field.name: values[field.name] for field in msgspec.structs.fields(kind) if values.get(field.name) not in (None, field.default)
    }
    return kind(**given)
