"""Where two manifests differ, as the paths a reader looks for them at."""

from collections.abc import Iterator
from typing import Any

from llm_operator.core.canonical import alike

NAMED = 3
"""Paths a sentence names; the number says how many more there are."""


def differences(one: Any, other: Any, path: str = "") -> Iterator[str]:
    """Yield the path of each difference; items of lists are told apart by name."""
    if alike(one, other):
        return
    pairs = _pairs(one, other, path)
    if pairs is None:
        yield path
        return
    for below, (left, right) in pairs.items():
        yield from differences(left, right, below)


def listed(paths: list[str]) -> str:
    """Return paths as part of a sentence."""
    more = len(paths) - NAMED
    return ", ".join(paths[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _pairs(one: Any, other: Any, path: str) -> dict[str, tuple[Any, Any]] | None:
    """Return what is below two values, by path; None when only the whole can be compared."""
    if isinstance(one, dict) and isinstance(other, dict):
        head = f"{path}." if path else ""
        return {f"{head}{key}": (one.get(key), other.get(key)) for key in sorted(one.keys() | other.keys())}
    if isinstance(one, list) and isinstance(other, list) and all(isinstance(each, dict) and "name" in each for each in (*one, *other)):
        left, right = ({each["name"]: each for each in items} for items in (one, other))
        if list(left) != list(right) and left.keys() == right.keys():
            return None  # the same items in another order
        return {f"{path}[{name}]": (left.get(name), right.get(name)) for name in sorted(left.keys() | right.keys())}
    return None
