"""From a pydantic model to the structural schema of a CRD. What the API server cannot express raises TypeError with its path."""

import re
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

from llm_operator.api.base import INT_OR_STRING, PRESERVE_UNKNOWN

Schema = dict[str, Any]

_DROPPED = {"title", "discriminator", "examples", "$defs"}
_KEPT = {
    *("type", "format", "anyOf", "enum", "pattern", "minLength", "maxLength", "minimum", "maximum", "multipleOf"),
    *("minItems", "maxItems", "minProperties", "maxProperties", "required"),
}
_ELSEWHERE = {"properties", "items", "default"}
_RENAMED: dict[str, Callable[[Any], Schema]] = {
    "const": lambda value: {"enum": [value]},
    "description": lambda value: {"description": " ".join(value.split())},
    "exclusiveMaximum": lambda value: {"maximum": value, "exclusiveMaximum": True},
    "exclusiveMinimum": lambda value: {"minimum": value, "exclusiveMinimum": True},
    "uniqueItems": lambda value: {"x-kubernetes-list-type": "set"} if value else {},
}
_LOOK_AROUND = re.compile(r"\(\?<?[=!]")
_INT32_MAX = 2**31 - 1


def structural(model: type[BaseModel]) -> Schema:
    """Return the structural schema of a model, properties in the order of their declaration."""
    raw = model.model_json_schema(by_alias=True, mode="validation")
    return _convert(raw, raw.get("$defs", {}), model.__name__, ())


def _convert(node: Schema, defs: Schema, path: str, inside: tuple[str, ...]) -> Schema:
    if "$ref" in node:
        name = node["$ref"].rpartition("/")[2]
        if name in inside:
            raise TypeError(f"{path}: {name} contains itself, and a CRD has no references")
        beside = {key: value for key, value in node.items() if key != "$ref"}
        return _convert({**defs[name], **beside}, defs, path, (*inside, name))
    if "anyOf" in node and not node.get(INT_OR_STRING):
        return _convert(_without_null(node, path), defs, path, inside)
    schema: Schema = {}
    for key, value in node.items():
        if key not in _DROPPED:
            schema.update(_keyword(key, value, path))
    if "properties" in node:
        schema["properties"] = {name: _convert(child, defs, f"{path}.{name}", inside) for name, child in node["properties"].items()}
    if "items" in node:
        schema["items"] = _convert(node["items"], defs, f"{path}[]", inside)
    if isinstance(node.get("additionalProperties"), dict):
        schema["additionalProperties"] = _convert(node["additionalProperties"], defs, f"{path}{{}}", inside)
    return _checked(schema, path) | _default(node, schema, path)


def _without_null(node: Schema, path: str) -> Schema:
    """Return the one real type of an optional field; optional means absent, so null and its default go."""
    arms = [arm for arm in node["anyOf"] if arm != {"type": "null"}]
    if len(arms) != 1:
        raise TypeError(f"{path}: a union is not structural; use one object with optional members and a rule")
    beside = {key: value for key, value in node.items() if key != "anyOf" and not (key == "default" and value is None)}
    return {**arms[0], **beside}


def _keyword(key: str, value: Any, path: str) -> Schema:
    if key in _ELSEWHERE or (key == "additionalProperties" and value is not True):
        return {}
    if key == "pattern" and _LOOK_AROUND.search(value):
        raise TypeError(f"{path}: the API server's patterns have no look-around: {value}")
    if key in _KEPT or key.startswith("x-kubernetes-"):
        return {key: value}
    if key in _RENAMED:
        return _RENAMED[key](value)
    raise TypeError(f"{path}: {key} has no counterpart in a CRD")


def _checked(schema: Schema, path: str) -> Schema:
    kind = schema.get("type")
    if kind is None and not schema.get(INT_OR_STRING):
        raise TypeError(f"{path}: no type; a CRD needs one for every value")
    if kind == "array" and "items" not in schema:
        raise TypeError(f"{path}: items of any type; a CRD needs one for every value")
    if kind == "object" and not {"properties", "additionalProperties", PRESERVE_UNKNOWN} & schema.keys():
        raise TypeError(f"{path}: the server would remove everything in it; name its properties or preserve unknown ones")
    if kind == "integer":
        schema.setdefault("format", "int32" if schema.get("maximum", _INT32_MAX + 1) <= _INT32_MAX else "int64")
    return schema


def _default(node: Schema, schema: Schema, path: str) -> Schema:
    """Return the default as the server needs it: an object's is empty, its fields bring their own; an empty one is left out."""
    if "default" not in node:
        return {}
    value = _pruned(node["default"])
    if "properties" in schema:
        if value != field_defaults(schema):
            raise TypeError(f"{path}: the default {value} is not that of its fields, {field_defaults(schema)}")
        return {"default": {}} if value else {}
    return {} if value in ([], {}) else {"default": value}


def field_defaults(schema: Schema) -> Schema:
    """Return what the server fills in for an empty object."""
    found: Schema = {}
    for name, child in schema["properties"].items():
        if "default" in child:
            found[name] = field_defaults(child) if "properties" in child else child["default"]
    return found


def _pruned(value: Any) -> Any:
    """Return a default without what is absent or empty anyway."""
    if not isinstance(value, dict):
        return value
    kept = {key: _pruned(item) for key, item in value.items()}
    return {key: item for key, item in kept.items() if item is not None and item not in ([], {})}
