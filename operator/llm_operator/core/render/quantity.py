"""Quantities in the text the API server stores them as: anything else would look like drift at every look."""

from decimal import ROUND_CEILING, Decimal

from llm_operator.api import quantities

_BINARY = ("Ki", "Mi", "Gi", "Ti")
_DECIMAL = ("k", "M", "G", "T", "P")


def canonical_quantity(text: str) -> str:
    """Return a quantity as ``resource.Quantity`` prints it: same value, same family of suffixes, no fraction."""
    value = quantities.parse(text)
    if text.endswith("i") and value >= 1024:  # noqa: PLR2004  # below one Ki the server drops to plain numbers
        return _scaled(_ceil(value), 1024, _BINARY)
    milli = _ceil(value * 1000)
    return f"{milli}m" if milli % 1000 else _scaled(milli // 1000, 1000, _DECIMAL)


def resources(requests: dict[str, str], limits: dict[str, str]) -> dict[str, dict[str, str]]:
    """Return the resources of a container; what is empty is left out."""
    both = {"requests": requests, "limits": limits}
    return {name: {key: canonical_quantity(amount) for key, amount in amounts.items()} for name, amounts in both.items() if amounts}


def _ceil(value: Decimal) -> int:
    return int(value.to_integral_value(rounding=ROUND_CEILING))


def _scaled(number: int, base: int, suffixes: tuple[str, ...]) -> str:
    suffix = ""
    for larger in suffixes:
        if number == 0 or number % base:
            break
        number, suffix = number // base, larger
    return f"{number}{suffix}"
