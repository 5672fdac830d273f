"""The variables of a prompt: their JSON Schema, their defaults, and the check of what a request supplies."""

from collections.abc import Iterable, Mapping
from typing import Any

import jsonschema_rs

from llm_sidecar.bundle import BundleError

_PATTERNS = jsonschema_rs.RegexOptions(size_limit=1 << 20, dfa_size_limit=1 << 20)
# Below these keywords keys are names and values are data, so a "$ref" there is not a reference.
_NAMES = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
_DATA = frozenset({"default", "const", "enum", "examples"})
_REFERENCES = frozenset({"$ref", "$dynamicRef", "$recursiveRef"})


class VariablesError(ValueError):
    """Variables of one request that the prompt cannot take; ``param`` is the path of the value in the request."""

    def __init__(self, param: str, message: str) -> None:
        super().__init__(f"{param}: {message}")
        self.param = param
        self.message = message


class Inputs:
    """Compiled ``inputs`` of a prompt. Patterns run in linear time and nothing is ever fetched."""

    __slots__ = ("_validator", "complete", "defaults", "names")

    def __init__(self, schema: Mapping[str, Any] | None, field: str) -> None:
        declared = {"type": "object", "additionalProperties": False, **(schema or {})}
        if declared["type"] != "object":
            raise BundleError(f"{field}.type", f"{declared['type']!r} is not 'object': inputs describe the variables by name")
        _refuse_remote(declared, field)
        try:
            self._validator = jsonschema_rs.Draft202012Validator(declared, offline=True, pattern_options=_PATTERNS)
        except (jsonschema_rs.ValidationError, ValueError) as error:
            message = getattr(error, "message", str(error))
            raise BundleError(_join(field, getattr(error, "instance_path", ())), message) from error
        properties = declared.get("properties", {})
        if "prompt" in properties:
            raise BundleError(f"{field}.properties.prompt", "the client's text is already called `prompt`; give this variable another name")
        self.names = frozenset(properties)
        self.defaults = {name: part["default"] for name, part in properties.items() if isinstance(part, Mapping) and "default" in part}
        for broken in self._validator.iter_errors(self.defaults):
            if broken.instance_path:
                name, *rest = broken.instance_path
                raise BundleError(_join(f"{field}.properties.{name}.default", rest), broken.message)
        self.complete: bool = self._validator.is_valid(self.defaults)

    def resolve(self, supplied: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the request's variables over the defaults, or raise VariablesError for the first that does not fit."""
        if not supplied and self.complete:
            return self.defaults
        variables = {**self.defaults, **supplied}
        if not self._validator.is_valid(variables):
            error = next(iter(self._validator.iter_errors(variables)))
            known = ", ".join(sorted(self.names)) or "none"
            raise VariablesError(_join("prompt.variables", error.instance_path), f"{error.message} (this prompt's variables: {known})")
        return variables


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


def _join(path: str, parts: Iterable[str | int]) -> str:
    return path + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
