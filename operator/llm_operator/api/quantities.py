"""Kubernetes quantities (``4``, ``500m``, ``16Gi``): exact parsing to integers and one canonical text per value."""

import re
from dataclasses import dataclass
from decimal import ROUND_CEILING, Context, Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from llm_operator.api.base import INT_OR_STRING, VALIDATIONS, rule

PATTERN = r"^[0-9]{1,18}(\.[0-9]{1,9})?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$"
MAX_LENGTH = 32

_EXACT = Context(prec=64)
_QUANTITY = re.compile(r"(\d{1,18}(?:\.\d{1,9})?)(m|k|M|G|T|Ki|Mi|Gi|Ti)?", re.ASCII)
_BINARY = {"Ti": 2**40, "Gi": 2**30, "Mi": 2**20, "Ki": 2**10}
_FACTORS: dict[str, Decimal] = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    **{suffix: Decimal(factor) for suffix, factor in _BINARY.items()},
}


def parse(text: str) -> Decimal:
    """Return the exact value of a quantity; raises ValueError with what is wrong."""
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a quantity; write it like 4, 500m, 64Gi or 1.5Gi")
    return _EXACT.multiply(Decimal(match[1]), _FACTORS[match[2] or ""])


def parse_bytes(text: str) -> int:
    """Return a size in whole bytes, rounded up as Kubernetes does."""
    return int(parse(text).to_integral_value(ROUND_CEILING))


def parse_milli(text: str) -> int:
    """Return a quantity in thousandths, rounded up as Kubernetes does: ``500m`` of CPU is 500."""
    return int(_EXACT.multiply(parse(text), Decimal(1000)).to_integral_value(ROUND_CEILING))


def render_bytes(size: int) -> str:
    """Return the canonical text of a size: the largest binary suffix that leaves a whole number."""
    for suffix, factor in _BINARY.items():
        if size and size % factor == 0:
            return f"{size // factor}{suffix}"
    return str(size)


def render_milli(value: int) -> str:
    """Return the canonical text of thousandths, as the API server stores CPU: ``4`` and ``1500m``."""
    whole, rest = divmod(value, 1000)
    return f"{value}m" if rest else str(whole)


@dataclass(frozen=True)
class Quantity:
    """Annotation of a quantity field: its bounds, for the model and for the API server alike. YAML may say ``4`` or ``"4"``."""

    at_least: str
    at_most: str

    def __get_pydantic_core_schema__(self, source: type[str], handler: GetCoreSchemaHandler) -> CoreSchema:
        checked = core_schema.no_info_after_validator_function(self._checked, handler(source))
        return core_schema.no_info_before_validator_function(_text, checked)

    def __get_pydantic_json_schema__(self, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        value = "quantity(string(self))"
        above, below = f"{value}.compareTo(quantity('{self.at_least}')) >= 0", f"{value}.compareTo(quantity('{self.at_most}')) <= 0"
        return {
            INT_OR_STRING: True,
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "pattern": PATTERN,
            "maxLength": MAX_LENGTH,
            VALIDATIONS: [rule(f"{above} && {below}", self._message)],
        }

    @property
    def _message(self) -> str:
        return f"must be a quantity from {self.at_least} to {self.at_most}"

    def _checked(self, text: str) -> str:
        if not parse(self.at_least) <= parse(text) <= parse(self.at_most):
            raise ValueError(self._message)
        return text


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _is_quantity(text: str) -> str:
    parse(text)
    return text


AnyQuantity = Annotated[str, BeforeValidator(_text), AfterValidator(_is_quantity)]
"""A quantity without bounds: what an administrator writes into the configuration."""
