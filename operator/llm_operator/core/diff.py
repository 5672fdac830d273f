"""Whether an apply would change anything: compares what we would send with what is there, in the fields that are ours."""

import json
from typing import Any

import msgspec

from llm_operator.core.fields import Fields, applied, matches
from llm_operator.core.observed import Obj

_JSON = msgspec.json.Encoder(order="deterministic")


def differs(desired: Obj, live: Obj, manager: str) -> bool:
    """Return whether a field we render has another value or is not ours, or we own a field we no longer render.

    What others add and what the server defaults is not ours and never differs. managedFields tells which values are atomic: those compare
    whole, so desired objects must be rendered the way the server stores them.
    """
    owned = applied(live, manager)
    if owned is None:
        return True
    metadata = {key: value for key, value in desired["metadata"].items() if key in {"labels", "annotations", "ownerReferences"}}
    ours = {key: value for key, value in desired.items() if key not in {"apiVersion", "kind", "metadata"}}
    ours |= {"metadata": metadata} if metadata else {}
    return not _holds(ours, live, owned) or _owns_more(owned, ours)


def _holds(desired: Any, live: Any, owned: Fields | None) -> bool:
    """Return whether the live value has everything of the desired one, under our ownership."""
    if owned is None:
        return False
    if not any(step != "." for step in owned):
        return _same(desired, live)
    if isinstance(desired, dict):
        return isinstance(live, dict) and all(
            key in live and _holds(value, live[key], owned.get(f"f:{key}")) for key, value in desired.items()
        )
    return isinstance(desired, list) and isinstance(live, list) and _items_hold(desired, live, owned)


def _same(desired: Any, live: Any) -> bool:
    """Compare a leaf or an atomic value; what is in a map that we only want to be there is up to others."""
    if isinstance(desired, str | bool | int):
        return type(desired) is type(live) and bool(desired == live)
    if desired == {}:
        return isinstance(live, dict)
    return _JSON.encode(desired) == _JSON.encode(live)


def _items_hold(desired: list[Any], live: list[Any], owned: Fields) -> bool:
    """Compare a list whose items have keys: those of others do not count, but the order of ours does."""
    if any(step.startswith("v:") for step in owned):
        return all(each in live for each in desired)
    keys = [step for step in owned if step.startswith("k:")]
    ours = [(key, item) for item in live for key in keys if matches(key, item)]
    return len(ours) == len(desired) and all(
        matches(key, wanted) and _holds(wanted, item, owned[key]) for wanted, (key, item) in zip(desired, ours, strict=True)
    )


def _owns_more(owned: Fields, desired: Any) -> bool:
    """Return whether we own a field that is not desired any more; what is desired is known to be there, in the same shape."""
    for step, below in owned.items():
        name = step[2:]
        if step.startswith("f:"):
            if name not in desired or (below and _owns_more(below, desired[name])):
                return True
        elif step.startswith("k:"):
            item = next((each for each in desired if matches(step, each)), None)
            if item is None or _owns_more(below, item):
                return True
        elif step.startswith("v:") and json.loads(name) not in desired:
            return True
    return False
