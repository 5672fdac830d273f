"""JSON Schemas of tenants: compiled so that patterns run in linear time and nothing is ever fetched."""

from collections.abc import Iterable, Mapping
from typing import Any

import jsonschema_rs

from llm_sidecar.bundle import BundleError

_PATTERNS = jsonschema_rs.RegexOptions(size_limit=1 << 20, dfa_size_limit=1 << 20)
# Below these keywords keys are names and values are data, so a "$ref" there is not a reference.
_NAMES = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
_DATA = frozenset({"default", "const", "enum", "examples"})
_REFERENCES = frozenset({"$ref", "$dynamicRef", "$recursiveRef"})


def compile_schema(schema: Mapping[str, Any], field: str) -> jsonschema_rs.Draft202012Validator:
    """Return the validator of a schema, or raise BundleError naming what in it cannot be."""
    _refuse_remote(schema, field)
    try:
        return jsonschema_rs.Draft202012Validator(dict(schema), offline=True, pattern_options=_PATTERNS)
    except (jsonschema_rs.ValidationError, ValueError) as error:
        message = getattr(error, "message", str(error))
        raise BundleError(join(field, getattr(error, "instance_path", ())), message) from error


def join(path: str, parts: Iterable[str | int]) -> str:
    """Return a path with these steps behind it."""
    return path + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)


def _refuse_remote(schema: Any, path: str) -> None:
    if isinstance(schema, list):
        for index, item in enumerate(schema):
            _refuse_remote(item, f"{path}[{index}]")
    if not isinstance(schema, Mapping):
        return
    for key, value in schema.items():
        here = f"{path}.{key}"
        if key in _REFERENCES and not str(value).startswith("#"):
            raise BundleError(here, f"{value!r} points outside this schema; only references that start with # are followed")
        if key in _NAMES and isinstance(value, Mapping):
            for name, part in value.items():
                _refuse_remote(part, f"{here}.{name}")
        elif key not in _DATA:
            _refuse_remote(value, here)
