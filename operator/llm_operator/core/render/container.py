"""What all containers share: the restricted security context, a home for programs that ask who they are, environment."""

from typing import Any

SECURITY: dict[str, Any] = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}

USER_ENV = {"LOGNAME": "llm", "USER": "llm"}
"""Python's getpass fails for a user id that no passwd file knows, unless these are set."""


def pod_security(user: int, group: int) -> dict[str, Any]:
    """Return the security context of a pod."""
    return {
        "runAsNonRoot": True,
        "runAsUser": user,
        "runAsGroup": group,
        "fsGroup": group,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def env(variables: dict[str, str]) -> list[dict[str, str]]:
    """Return environment as containers list it; the server drops empty values, so they are left out."""
    return [{"name": name, "value": value} if value else {"name": name} for name, value in sorted(variables.items())]
