"""Reads managedFields: what of an object a field manager has applied."""

from collections.abc import Mapping
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
