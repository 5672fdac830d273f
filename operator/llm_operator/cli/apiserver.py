"""What the API server does with a custom resource, without one: defaults, and refusals in its words, from the same schema the CRDs have.

The manifests of the tests that must be refused are sent to a real one too, so this cannot drift from it unnoticed.
"""

import json
import math
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import cel

from llm_operator.api.crd import RESOURCES
from llm_operator.api.quantities import parse

Schema = dict[str, Any]

_SHOWN = 100
_TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
}


@cache
def schema_of(kind: str) -> Schema:
    """Return the schema of a kind as its CRD has it."""
    return next(resource.schema() for resource in RESOURCES if resource.kind == kind)


def refusals(manifest: dict[str, Any]) -> list[str]:
    """Return why the server would refuse a manifest under strict field validation; empty means it would store it."""
    schema = schema_of(manifest["kind"])
    unknown = [f'unknown field "{path}"' for path in _unknown(manifest, schema, "")]
    if unknown:
        return unknown
    stored = defaulted(manifest)
    wrong = list(_wrong(stored, schema, ""))
    # Rules see typed values only, so the server leaves them out where the type is wrong.
    return wrong + ([] if any("of type" in each or "Required" in each for each in wrong) else list(_broken_rules(stored, schema, "")))


def defaulted(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return a manifest as the server stores it, with the defaults filled in."""
    stored: dict[str, Any] = _with_defaults(manifest, schema_of(manifest["kind"]))
    return stored


def _with_defaults(value: Any, schema: Schema) -> Any:
    if isinstance(value, list):
        return [_with_defaults(item, schema.get("items", {})) for item in value]
    if not isinstance(value, dict):
        return value
    properties = schema.get("properties", {})
    missing = {name: child["default"] for name, child in properties.items() if "default" in child and value.get(name) is None}
    return {name: _with_defaults(item, properties.get(name, {})) for name, item in {**value, **missing}.items()}


def _unknown(value: Any, schema: Schema, path: str) -> Iterator[str]:
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unknown(item, schema.get("items", {}), f"{path}[{index}]")
    if isinstance(value, dict) and "properties" in schema:
        for name, item in value.items():
            here = f"{path}.{name}".removeprefix(".")
            if here == "metadata":
                continue
            if name in schema["properties"]:
                yield from _unknown(item, schema["properties"][name], here)
            else:
                yield here


def _wrong(value: Any, schema: Schema, path: str) -> Iterator[str]:
    if path == "metadata":
        return
    if schema.get("x-kubernetes-int-or-string"):
        schema = {**schema, "type": "integer" if isinstance(value, int) else "string"}
    if not isinstance(value, _TYPES[schema["type"]]) or (isinstance(value, bool) and schema["type"] != "boolean"):
        kind = schema["format"] if isinstance(value, float) and schema["type"] == "integer" else schema["type"]
        yield _invalid(path, value, f"must be of type {kind}")
    elif isinstance(value, dict):
        yield from _wrong_object(value, schema, path)
    elif isinstance(value, list):
        yield from _wrong_list(value, schema, path)
    elif isinstance(value, str):
        yield from _wrong_string(value, schema, path)
    elif isinstance(value, int | float):
        yield from _wrong_number(value, schema, path)


def _wrong_object(value: dict[str, Any], schema: Schema, path: str) -> Iterator[str]:
    for name in schema.get("required", ()):
        if value.get(name) is None:
            yield f"{path}.{name}: Required value".removeprefix(".")
    if len(value) > schema.get("maxProperties", len(value)):
        yield f"{path}: Too many: {len(value)}: must have at most {schema['maxProperties']} items"
    for name, item in value.items():
        child = schema.get("properties", {}).get(name) or schema.get("additionalProperties")
        if child is not None and item is not None:
            yield from _wrong(item, child, f"{path}.{name}".removeprefix("."))


def _wrong_list(value: list[Any], schema: Schema, path: str) -> Iterator[str]:
    if len(value) > schema.get("maxItems", len(value)):
        yield f"{path}: Too many: {len(value)}: must have at most {schema['maxItems']} items"
    if len(value) < schema.get("minItems", 0):
        yield f"{path}: Invalid value: {len(value)}: {path} in body should have at least {schema['minItems']} items"
    for index, item in enumerate(value):
        yield from _wrong(item, schema["items"], f"{path}[{index}]")


def _wrong_string(value: str, schema: Schema, path: str) -> Iterator[str]:
    if "enum" in schema and value not in schema["enum"]:
        yield f'{path}: Unsupported value: "{value}": supported values: ' + ", ".join(f'"{each}"' for each in schema["enum"])
    if "pattern" in schema and not re.search(schema["pattern"].replace("$", r"\Z"), value, re.ASCII):
        yield _invalid(path, value, f"should match '{schema['pattern']}'")
    if len(value) < schema.get("minLength", 0):
        yield _invalid(path, value, f"should be at least {schema['minLength']} chars long")
    if len(value) > schema.get("maxLength", len(value)):
        yield f"{path}: Too long: may not be more than {schema['maxLength']} bytes"


def _wrong_number(value: float, schema: Schema, path: str) -> Iterator[str]:
    low, high = schema.get("minimum", value), schema.get("maximum", value)
    if schema.get("exclusiveMinimum") and value <= low:
        yield _invalid(path, value, f"should be greater than {low}")
    elif value < low:
        yield _invalid(path, value, f"should be greater than or equal to {low}")
    if value > high:
        yield _invalid(path, value, f"should be less than or equal to {high}")


def _invalid(path: str, value: Any, words: str) -> str:
    shown = json.dumps(value, ensure_ascii=False, default=str)
    return f"{path}: Invalid value: {shown if len(shown) <= _SHOWN else f'{shown[:_SHOWN]}…'}: {path} in body {words}"


def _broken_rules(value: Any, schema: Schema, path: str) -> Iterator[str]:
    for each in schema.get("x-kubernetes-validations", ()):
        if not holds(each["rule"], float(value) if schema.get("type") == "number" else value):
            yield f"{path or '<nil>'}: Invalid value: {each['message']}"
    if isinstance(value, list) and "items" in schema:
        for index, item in enumerate(value):
            yield from _broken_rules(item, schema["items"], f"{path}[{index}]")
    elif isinstance(value, dict):
        for name, item in value.items():
            child = schema.get("properties", {}).get(name) or schema.get("additionalProperties")
            if child is not None:
                yield from _broken_rules(item, child, f"{path}.{name}".removeprefix("."))


def holds(expression: str, value: Any) -> bool:
    """Return whether a CEL rule holds for a value; one that cannot be evaluated does not."""
    context = cel.Context()
    context.add_function("quantity", _quantity)
    context.add_function("compareTo", _compared)
    try:
        context.add_variable("self", value)
        return _compiled(expression).execute(context) is True
    except (ValueError, RuntimeError, TypeError, LookupError):
        return False


def _quantity(text: str) -> float:
    """Return a quantity to compare; one that is none compares to nothing, as in the server its rule then fails too."""
    try:
        return float(parse(text))
    except ValueError:
        return float("nan")


def _compared(left: float, right: float) -> int | None:
    return None if math.isnan(left) else (left > right) - (left < right)


@cache
def _compiled(expression: str) -> cel.Program:
    return cel.compile(expression)
