"""Waiting for kinds: `kubectl wait` fails at once for a definition that has only just come and has no conditions yet."""

from collections.abc import Callable
from functools import partial

from tests.lab.wait import until

_SAID = 'jsonpath={.status.conditions[?(@.type=="Established")].status}'


def served(kubectl: Callable[..., str], *crds: str) -> None:
    """Wait until the API server that a kubectl asks serves kinds, by the names of their definitions."""
    for name in crds:
        until(partial(_is_served, kubectl, name), timeout_s=30, what=f"{name} served")


def _is_served(kubectl: Callable[..., str], name: str) -> bool:
    return kubectl("get", f"crd/{name}", "--output", _SAID) == "True"
