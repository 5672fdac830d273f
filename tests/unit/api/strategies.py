"""Generators of manifests, from the schema of the CRD alone."""

from functools import cache
from typing import Any

from hypothesis import strategies as st

from llm_operator.api import sources
from llm_operator.api.gates import KINDS as GATE_KINDS
from llm_operator.cli.apiserver import Schema, schema_of

_DURATIONS = ("0s", "1s", "30s", "90s", "10m", "600s", "1h30m", "24h", "500ms", "25h")
_QUANTITIES = (1, 4, 0, "1", "500m", "0.5", "1Gi", "64Mi", "4096k", "1.5Gi", "2Ti", "1Ki", "100M")
_SOURCES = st.one_of(
    st.sampled_from(["s3://models/tiny", "s3://models/a/b/", "pvc://claim", "pvc://claim/a", "pvc://claim/../a"]),
    st.from_regex(sources.PATTERN, fullmatch=True),
)

_ONE_OF = {
    "spec.rollout.config.steps[]": ("approval", "weightPercent"),
    "spec.rollout.engine.steps[]": ("approval", "weightPercent"),
    "spec.rollout.gates[]": GATE_KINDS,
    "spec.routing.subject[]": ("apiKey", "bodyField", "header"),
}
_OF_ANY_STAGE = ("onFail", "onError", "timeout")
_OF_STAGE = {
    "schema": ("schema", "of"),
    "normalise": ("form", "zeroWidth"),
    "pii": ("entities", "patterns", "action"),
    "blocklist": ("terms", "patterns", "ignoreCase", "action"),
    "trim": ("maxCharacters",),
}
_NEEDED_BY_STAGE = {"schema": ("schema",), "pii": ("entities",), "blocklist": ("terms",)}


@cache  # hypothesis looks into a strategy once: one that is made for each example costs more than the examples
def specs(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    """Return specs of a kind: each fits the schema field by field, and may still break a rule between fields."""
    return values(schema_of(kind)["properties"]["spec"], "spec")


def values(schema: Schema, path: str) -> st.SearchStrategy[Any]:
    """Return values of one part of a schema."""
    if path == "spec.model.source":
        return _SOURCES
    if path in _ONE_OF:
        return st.sampled_from(_ONE_OF[path]).flatmap(lambda name: _one_of(schema, path, name))
    if path in {"spec.pipeline.request[]", "spec.pipeline.response[]"}:
        return st.sampled_from(sorted(_OF_STAGE)).flatmap(lambda stage: _stage(schema, path, stage))
    if schema.get("x-kubernetes-int-or-string"):
        return st.sampled_from(_QUANTITIES)
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    return _OF_TYPE[schema["type"]](schema, path)


def _stage(schema: Schema, path: str, stage: str) -> st.SearchStrategy[Any]:
    """Return stages of one name with the fields they may have: a rule refuses nearly all others."""
    fields = {name: child for name, child in schema["properties"].items() if name in {*_OF_ANY_STAGE, *_OF_STAGE[stage]}}
    required = [name for name in _NEEDED_BY_STAGE.get(stage, ()) if name in fields]
    return _object({"properties": fields, "required": required}, path).map(lambda drawn: {**drawn, "stage": stage})


def _one_of(schema: Schema, path: str, name: str) -> st.SearchStrategy[Any]:
    """Return objects with one of the fields that exclude each other: a rule refuses all others."""
    fields = {each: child for each, child in schema["properties"].items() if each == name or each not in _ONE_OF[path]}
    return _object({"properties": fields, "required": [name]}, path)


def _object(schema: Schema, path: str) -> st.SearchStrategy[Any]:
    if "properties" in schema:
        fields = {name: values(child, f"{path}.{name}") for name, child in schema["properties"].items()}
        required = set(schema.get("required", ()))
        return st.fixed_dictionaries(
            {name: field for name, field in fields.items() if name in required},
            optional={name: field for name, field in fields.items() if name not in required},
        )
    item = values(schema["additionalProperties"], f"{path}{{}}") if "additionalProperties" in schema else st.integers(0, 9)
    return st.dictionaries(st.from_regex(r"[a-z]{1,8}(-[a-z]{1,8})?", fullmatch=True), item, max_size=3)


def _array(schema: Schema, path: str) -> st.SearchStrategy[Any]:
    return st.lists(values(schema["items"], f"{path}[]"), min_size=schema.get("minItems", 0), max_size=min(3, schema["maxItems"]))


def _string(schema: Schema, _path: str) -> st.SearchStrategy[Any]:
    low, high = schema.get("minLength", 0), schema["maxLength"]
    if "h)?(" in schema.get("pattern", ""):
        return st.sampled_from(_DURATIONS)
    if "pattern" in schema:
        return st.from_regex(schema["pattern"].replace("$", r"\Z"), fullmatch=True).filter(lambda text: low <= len(text) <= high)
    return st.text(st.characters(codec="utf-8"), min_size=low, max_size=min(high, 20))


def _integer(schema: Schema, _path: str) -> st.SearchStrategy[Any]:
    return st.integers(schema["minimum"], schema["maximum"])


def _number(schema: Schema, path: str) -> st.SearchStrategy[Any]:
    whole = _integer({"minimum": int(schema["minimum"]) + 1, "maximum": int(schema["maximum"])}, path)
    exact = st.decimals(str(schema["minimum"]), str(schema["maximum"]), places=4).map(float)
    return st.one_of(whole, exact.filter(lambda number: number != schema["minimum"] or not schema.get("exclusiveMinimum")))


def _boolean(_schema: Schema, _path: str) -> st.SearchStrategy[Any]:
    return st.booleans()


_OF_TYPE = {"boolean": _boolean, "object": _object, "array": _array, "string": _string, "integer": _integer, "number": _number}
