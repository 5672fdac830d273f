"""Durations as Go and Kubernetes write them: ``90s``, ``10m``, ``1h30m``, ``500ms``; kept as integer milliseconds."""

import re
from dataclasses import dataclass
from functools import lru_cache

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from llm_operator.api.base import VALIDATIONS, rule

PATTERN = r"^([0-9]{1,5}h)?([0-9]{1,6}m)?([0-9]{1,8}s)?([0-9]{1,9}ms)?$"
MAX_LENGTH = 32

_PARTS = re.compile(r"(?:(\d{1,12})h)?(?:(\d{1,12})m)?(?:(\d{1,12})s)?(?:(\d{1,12})ms)?", re.ASCII)
_UNITS_MS = (3_600_000, 60_000, 1_000, 1)
_NAMES = ("h", "m", "s", "ms")


@lru_cache(maxsize=1024)
def parse_ms(text: str) -> int:
    """Return a duration in milliseconds; raises ValueError with what is wrong."""
    match = _PARTS.fullmatch(text)
    if not text or match is None:
        raise ValueError(f"{text!r} is not a duration; write it like 90s, 10m or 1h30m")
    return sum(int(number) * unit for number, unit in zip(match.groups(), _UNITS_MS, strict=True) if number)


def parse_s(text: str) -> int:
    """Return a duration in whole seconds, rounded up: a limit is never shortened by rounding."""
    return -(-parse_ms(text) // 1_000)


def render_ms(milliseconds: int) -> str:
    """Return the canonical text of a duration: largest units first, none of them zero."""
    if milliseconds < 0:
        raise ValueError(f"{milliseconds} ms is negative; durations are not")
    text = ""
    for unit, name in zip(_UNITS_MS, _NAMES, strict=True):
        number, milliseconds = divmod(milliseconds, unit)
        text += f"{number}{name}" if number else ""
    return text or "0s"


@dataclass(frozen=True)
class Duration:
    """Annotation of a duration field: its bounds, for the model and for the API server alike."""

    at_least: str
    at_most: str

    def __get_pydantic_core_schema__(self, source: type[str], handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        within = f"duration(self) >= duration('{self.at_least}') && duration(self) <= duration('{self.at_most}')"
        bounds = {"pattern": PATTERN, "minLength": 2, "maxLength": MAX_LENGTH}
        return {**handler(schema), **bounds, VALIDATIONS: [rule(within, self._message)]}

    @property
    def _message(self) -> str:
        return f"must be a duration from {self.at_least} to {self.at_most}, like 90s, 10m or 1h30m"

    def _checked(self, text: str) -> str:
        if not parse_ms(self.at_least) <= parse_ms(text) <= parse_ms(self.at_most):
            raise ValueError(self._message)
        return text
