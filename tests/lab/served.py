"""Waiting for kinds: a definition that has only just come has null for conditions, at which `kubectl wait` and JSONPath filters fail."""

import json
from collections.abc import Callable
from functools import partial

from tests.lab.wait import until


def served(kubectl: Callable[..., str], *crds: str) -> None:
    """Wait until the API server that a kubectl asks serves kinds, by the names of their definitions."""
    for name in crds:
        until(partial(_is_served, kubectl, name), timeout_s=30, what=f"{name} served")


def _is_served(kubectl: Callable[..., str], name: str) -> bool:
    status = json.loads(kubectl("get", f"crd/{name}", "--output=json")).get("status") or {}
    return any(each["type"] == "Established" and each["status"] == "True" for each in status.get("conditions") or ())
