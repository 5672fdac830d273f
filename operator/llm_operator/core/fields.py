"""Reads managedFields: what of an object a field manager has applied."""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from llm_operator.core.observed import Obj

Fields = Mapping[str, Any]
"""One level of FieldsV1: ``f:name`` for a field, ``k:{…}`` for an item found by key, ``v:…`` for a value of a set."""


def applied(live: Obj, manager: str) -> Fields | None:
    """Return the fields a manager applied, or None when it never applied the object."""
    entries = live["metadata"].get("managedFields", [])
    mine = [each for each in entries if each.get("manager") == manager and each.get("operation") == "Apply" and not each.get("subresource")]
    return mine[0].get("fieldsV1", {}) if mine else None


def applied_by(live: Obj, manager: str) -> bool:
    """Return whether a manager applied the object."""
    return applied(live, manager) is not None


def project(live: Any, owned: Fields) -> Any:
    """Return the part of a value that is in a set of fields: what was applied, without what others added and the server defaulted."""
    if owned.keys() <= {"."}:
        return live
    if isinstance(live, list):
        return [project(item, owned[step]) for step, item in named(live, owned)]
    return {name: project(value, owned[f"f:{name}"]) for name, value in live.items() if f"f:{name}" in owned}


def named(items: list[Any], owned: Fields) -> list[tuple[str, Any]]:
    """Return the items of a list that have a ``k:`` step, each behind its step, in the order of the list."""
    steps, shapes = _steps(tuple(owned))
    found = []
    for item in items:
        if not isinstance(item, dict):
            continue
        for names in shapes:
            step = steps.get((names, tuple(map(item.get, names))))
            if step is not None:
                found.append((step, item))
    return found


_Key = tuple[tuple[str, ...], tuple[Any, ...]]


@lru_cache(maxsize=1024)
def _steps(owned: tuple[str, ...]) -> tuple[dict[_Key, str], set[tuple[str, ...]]]:
    """Return the ``k:`` steps by their names and values, and the names: nearly always one set, the keys of the list.

    There are few such lists, and each is looked at many times.
    """
    keys = {step: json.loads(step[2:]) for step in owned if step.startswith("k:")}
    steps = {(tuple(key), tuple(key.values())): step for step, key in keys.items()}
    return steps, {names for names, _ in steps}
