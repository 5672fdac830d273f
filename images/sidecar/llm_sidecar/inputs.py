"""The variables of a prompt: their JSON Schema, their defaults, and the check of what a request supplies."""

from collections.abc import Mapping
from typing import Any

from llm_sidecar.bundle import BundleError
from llm_sidecar.schemas import compile_schema, join


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
        self._validator = compile_schema(declared, field)
        properties = declared.get("properties", {})
        if "prompt" in properties:
            raise BundleError(f"{field}.properties.prompt", "the client's text is already called `prompt`; give this variable another name")
        self.names = frozenset(properties)
        self.defaults = {name: part["default"] for name, part in properties.items() if isinstance(part, Mapping) and "default" in part}
        for broken in self._validator.iter_errors(self.defaults):
            if broken.instance_path:
                name, *rest = broken.instance_path
                raise BundleError(join(f"{field}.properties.{name}.default", rest), broken.message)
        self.complete: bool = self._validator.is_valid(self.defaults)

    def resolve(self, supplied: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the request's variables over the defaults, or raise VariablesError for the first that does not fit."""
        if not supplied and self.complete:
            return self.defaults
        variables = {**self.defaults, **supplied}
        if not self._validator.is_valid(variables):
            error = next(iter(self._validator.iter_errors(variables)))
            known = ", ".join(sorted(self.names)) or "none"
            raise VariablesError(join("prompt.variables", error.instance_path), f"{error.message} (this prompt's variables: {known})")
        return variables
