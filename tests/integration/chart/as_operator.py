"""Requests sent as the account the operator runs under. Nothing is stored: the server only says whether it would."""

import json
from typing import Any

from tests.integration.chart.kit import Result, run

Object = dict[str, Any]

RELEASE = "llm-operator"
SYSTEM, SERVED, UNSERVED = "chart-system", "chart-served", "chart-unserved"
ACCOUNT = f"system:serviceaccount:{SYSTEM}:{RELEASE}"


def send(*args: str, namespace: str, stdin: str | None = None) -> Result:
    """Run kubectl as the operator's account."""
    return run(["kubectl", "--as", ACCOUNT, "--namespace", namespace, "--dry-run=server", *args], stdin)


def apply(obj: Object, namespace: str = SERVED) -> Result:
    """Apply an object the way the operator does."""
    return send("apply", "--server-side", "--field-manager=llm-operator", "--filename=-", namespace=namespace, stdin=json.dumps(obj))


def create(obj: Object, namespace: str = SERVED) -> Result:
    """Create an object."""
    return send("create", "--filename=-", namespace=namespace, stdin=json.dumps(obj))


def patch(resource: str, name: str, change: Object | list[Object], namespace: str = SERVED) -> Result:
    """Change a live object, by a merge patch or a list of JSON patches."""
    kind = "merge" if isinstance(change, dict) else "json"
    return send("patch", resource, name, f"--type={kind}", "--patch", json.dumps(change), namespace=namespace)


def delete(resource: str, name: str, namespace: str = SERVED) -> Result:
    """Delete a live object."""
    return send("delete", resource, name, namespace=namespace)


def allowed(result: Result) -> bool:
    """Say whether a request went through, and fail with the server's words where it did not."""
    assert result.code == 0, result.err
    return True


def denial(result: Result) -> str:
    """Return which policy refused and why, as "policy: reason", and fail on any other answer."""
    assert result.code != 0, f"this went through: {result.out}"
    assert "denied request: " in result.err, f"not refused by a policy: {result.err}"
    who, _, reason = result.err.strip().partition("denied request: ")
    policy = who.partition("ValidatingAdmissionPolicy '")[2].partition(".")[0]
    return f"{policy}: {reason}"
