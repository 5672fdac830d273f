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
    if not any(step != "." for step in owned):
        return live
    if isinstance(live, list):
        keys = [step for step in owned if step.startswith("k:")]
        return [project(item, owned[key]) for item in live for key in keys if matches(key, item)]
    return {name: project(value, owned[f"f:{name}"]) for name, value in live.items() if f"f:{name}" in owned}


def matches(key: str, item: Any) -> bool:
    """Return whether a ``k:`` step names this item of a list."""
    wanted = _names(key)
    return isinstance(item, dict) and all(item.get(name) == value for name, value in wanted.items())


@lru_cache(maxsize=1024)
def _names(key: str) -> dict[str, Any]:
    """Return what a ``k:`` step says; there are few, and each is looked at many times."""
    return dict(json.loads(key[2:]))
