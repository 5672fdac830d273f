"""Whether an apply would change anything: compares what we would send with what is there, in the fields that are ours."""

import json
from hashlib import sha256
from typing import Any

import msgspec

from llm_operator.core.fields import Fields, applied, named
from llm_operator.core.observed import Obj

_JSON = msgspec.json.Encoder(order="deterministic")
_PACKED = msgspec.msgpack.Encoder()
AGREED = 1 << 15
"""How many pairs are remembered that agree; some ten make an LLMDeployment."""
agreed: set[bytes] = set()
"""What was found to agree, by hash: mostly nothing has changed since the last look, and so much is told three times as fast."""


def differs(desired: Obj, live: Obj, manager: str) -> bool:
    """Return whether a field we render has another value or is not ours, or we own a field we no longer render.

    What others add and what the server defaults is not ours and never differs. managedFields tells which values are atomic: those compare
    whole, so desired objects must be rendered the way the server stores them.
    """
    pair = sha256(_PACKED.encode((desired, live, manager))).digest()
    if pair in agreed:
        return False
    found = _differs(desired, live, manager)
    if not found:
        if len(agreed) >= AGREED:
            agreed.clear()
        agreed.add(pair)
    return found


def _differs(desired: Obj, live: Obj, manager: str) -> bool:
    owned = applied(live, manager)
    if owned is None:
        return True
    metadata = {key: value for key, value in desired["metadata"].items() if key in {"labels", "annotations", "ownerReferences"}}
    ours = {key: value for key, value in desired.items() if key not in {"apiVersion", "kind", "metadata"}}
    ours |= {"metadata": metadata} if metadata else {}
    return not _agrees(ours, live, owned)


def _agrees(desired: Any, live: Any, owned: Fields) -> bool:
    """Return whether we own exactly what is desired, and the live value has it. This is most of what a look without news does."""
    fields = len(owned) - ("." in owned)
    if not fields:
        return _same(desired, live)
    if isinstance(desired, list):
        return isinstance(live, list) and _items_agree(desired, live, owned)
    if not isinstance(desired, dict) or not isinstance(live, dict) or len(desired) != fields:
        return False
    for key, value in desired.items():
        below = owned.get(f"f:{key}")
        if below is None or key not in live:
            return False
        stored = live[key]
        if not below and type(value) is str and value == stored:
            continue  # as nearly all leaves are
        if not (_agrees(value, stored, below) if below else _same(value, stored)):
            return False
    return True


def _same(desired: Any, live: Any) -> bool:
    """Compare a leaf or an atomic value; what is in a map that we only want to be there is up to others."""
    if isinstance(desired, (str, bool, int)):
        return type(desired) is type(live) and bool(desired == live)
    if desired == {}:
        return isinstance(live, dict)
    return _JSON.encode(desired) == _JSON.encode(live)


def _items_agree(desired: list[Any], live: list[Any], owned: Fields) -> bool:
    """Compare a list whose items have keys: those of others do not count, but the order of ours does."""
    values = [json.loads(step[2:]) for step in owned if step.startswith("v:")]
    if values:
        return len(values) == len(desired) and all(each in values and each in live for each in desired)
    wanted, ours = named(desired, owned), named(live, owned)
    if not len(desired) == len(wanted) == len(ours) == len(owned) - ("." in owned):
        return False
    for (step, item), (stored_step, stored) in zip(wanted, ours, strict=True):
        if step != stored_step or not _agrees(item, stored, owned[step]):
            return False
    return True
