"""The templates of a prompt: compiled once, rendered with values that are never looked at as templates again."""

from collections.abc import Mapping
from typing import Any

import minijinja

from llm_sidecar.bundle import BundleError

FUEL = 200_000
"""Instructions one rendering may take: a few milliseconds at most, so that a loop in a template cannot hold up a stream."""

_WRONG_WITH_ANY_VALUES = frozenset({"UnknownFilter", "UnknownTest", "UnknownFunction", "UnknownMethod", "TemplateNotFound", "OutOfFuel"})
_GLOBALS = frozenset({"range", "dict", "namespace", "cycler", "joiner"})


class RenderError(ValueError):
    """A template that could not be rendered with these values; ``field`` is its path in the bundle."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


class Templates:
    """Templates of one prompt by their path in the bundle; undefined variables are refused and fuel is limited."""

    __slots__ = ("_environment",)

    def __init__(self) -> None:
        # Without a loader nothing can be included; without auto-escaping text stays what it is.
        self._environment = minijinja.Environment(
            debug=False, fuel=FUEL, undefined_behavior="strict", auto_escape_callback=lambda _name: False
        )
        self._environment.remove_global("debug")  # it prints every variable

    def add(self, field: str, source: str, names: frozenset[str]) -> frozenset[str]:
        """Compile one template and return the variables it uses; raise BundleError when it uses one outside ``names``."""
        try:
            self._environment.add_template(field, source)
            used = frozenset(self._environment.undeclared_variables_in_template(field)) - _GLOBALS
        except minijinja.TemplateError as error:
            raise BundleError(field, _sentence(error)) from error
        unknown = used - names
        if unknown:
            known = ", ".join(sorted(names)) or "none"
            raise BundleError(
                field, f"variable {min(unknown)!r} is not declared; declared: {known}. Declare it under prompt.inputs.properties"
            )
        return used

    def render(self, field: str, variables: Mapping[str, Any]) -> str:
        """Return one rendered template or raise RenderError."""
        try:
            return self._environment.render_template(field, **variables)
        except minijinja.TemplateError as error:
            raise RenderError(field, _sentence(error)) from error


def dry_run(source: str, variables: Mapping[str, Any]) -> str | None:
    """Return what is wrong with a template whatever its values are, as far as running it without most of them can show."""
    environment = minijinja.Environment(debug=False, fuel=FUEL, undefined_behavior="chainable")
    try:
        environment.render_str(source, **variables)
    except minijinja.TemplateError as error:
        return _sentence(error) if error.kind in _WRONG_WITH_ANY_VALUES else None
    return None


def _sentence(error: minijinja.TemplateError) -> str:
    if error.kind == "UndefinedError":
        return f"line {error.line} uses a value that is not set"
    text = error.detail or error.message.partition(" (in ")[0]
    return f"line {error.line}: {text}" if error.line else text
