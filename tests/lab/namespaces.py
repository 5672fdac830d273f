"""Namespaces for tests, as strict as the strictest cluster the product is meant for."""

from typing import Any

_LEVEL = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")}
_VERSION = {f"pod-security.kubernetes.io/{mode}-version": "latest" for mode in ("enforce", "warn", "audit")}


def restricted(name: str, labels: dict[str, str] | None = None) -> dict[str, Any]:
    """Return a namespace in which only pods under the Pod Security Standard `restricted` are admitted."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {**_LEVEL, **_VERSION, **(labels or {})}}}
