"""Quantities in the text the API server stores them as: anything else would look like drift at every look."""

from decimal import ROUND_CEILING, Decimal
from functools import lru_cache

from llm_operator.api import quantities

_BINARY = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_DECIMAL = ("n", "u", "m", "", "k", "M", "G", "T", "P", "E")
_NANO = Decimal(10**9)
_KI = 1024


@lru_cache(maxsize=1024)
def canonical_quantity(text: str) -> str:
    """Return a quantity as ``resource.Quantity`` prints it: same value, same family of suffixes, no fraction."""
    value = quantities.parse(text)
    if text.endswith("i") and value >= _KI and value == value.to_integral_value():
        return _scaled(int(value), _KI, _BINARY)
    return _scaled(int((value * _NANO).to_integral_value(rounding=ROUND_CEILING)), 1000, _DECIMAL)


def resources(requests: dict[str, str], limits: dict[str, str]) -> dict[str, dict[str, str]]:
    """Return the resources of a container; what is empty is left out."""
    both = {"requests": requests, "limits": limits}
    return {name: {key: canonical_quantity(amount) for key, amount in amounts.items()} for name, amounts in both.items() if amounts}


def _scaled(number: int, base: int, suffixes: tuple[str, ...]) -> str:
    if number == 0:
        return "0"
    index = 0
    while number % base == 0 and index + 1 < len(suffixes):
        number, index = number // base, index + 1
    return f"{number}{suffixes[index]}"
