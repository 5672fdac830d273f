"""Whether an apply would change anything: compares what we would send with what is there, in the fields that are ours."""

import json
from typing import Any

from llm_operator.core.fields import Fields, applied, matches
from llm_operator.core.observed import Obj


def differs(desired: Obj, live: Obj, manager: str) -> bool:
    """Return whether a field we render has another value, or we own a field we no longer render.

    What others add, and what the server defaults, is not ours and never differs. Lists of which managedFields names the items by key are
    compared item by item, others whole. Desired objects must be rendered the way the server stores them.
    """
    owned = applied(live, manager)
    if owned is None:
        return True
    own = {key: value for key, value in desired.items() if key not in {"apiVersion", "kind", "metadata"}}
    metadata = {key: value for key, value in desired["metadata"].items() if key in {"labels", "annotations", "ownerReferences"}}
    desired = {**own, "metadata": metadata}
    return not _holds(desired, live, owned) or _owns_more(owned, desired)


def _holds(desired: Any, live: Any, owned: Fields) -> bool:
    """Return whether the live value has everything of the desired one."""
    if isinstance(desired, dict):
        return isinstance(live, dict) and all(
            key in live and _holds(value, live[key], owned.get(f"f:{key}", {})) for key, value in desired.items()
        )
    if isinstance(desired, list):
        return isinstance(live, list) and _list_holds(desired, live, owned)
    return bool(desired == live) and isinstance(desired, bool) == isinstance(live, bool)


def _list_holds(desired: list[Any], live: list[Any], owned: Fields) -> bool:
    keys = [key for key in owned if key.startswith("k:")]
    if not keys:
        return len(desired) == len(live) and all(_holds(mine, theirs, {}) for mine, theirs in zip(desired, live, strict=True))
    found = [(item, next((key for key in keys if matches(key, item)), None)) for item in desired]
    return all(
        key is not None and any(matches(key, other) and _holds(item, other, owned[key]) for other in live) for item, key in found
    ) and _same_order([item for item, _ in found], live, keys)


def _same_order(desired: list[Any], live: list[Any], keys: list[str]) -> bool:
    """Order counts where the kubelet reads it so: init containers start one after the other."""
    order = [key for item in live for key in keys if matches(key, item)]
    return order == [key for item in desired for key in keys if matches(key, item)]


def _owns_more(owned: Fields, desired: Any) -> bool:
    """Return whether we own a field that is not desired any more."""
    for step, below in owned.items():
        name = step[2:]
        if step == ".":
            continue
        if step.startswith("f:"):
            if not isinstance(desired, dict) or name not in desired or (below and _owns_more(below, desired[name])):
                return True
        elif step.startswith("k:"):
            item = next((each for each in desired if matches(step, each)), None) if isinstance(desired, list) else None
            if item is None or _owns_more(below, item):
                return True
        elif not isinstance(desired, list) or json.loads(name) not in desired:
            return True
    return False
