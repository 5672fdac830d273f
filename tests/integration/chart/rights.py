"""What an account did to the API server, from its audit log, in the words of RBAC."""

import re
from collections.abc import Iterable
from typing import Any

Right = tuple[str, str, str]
_CREATED, _FORBIDDEN = 201, 403
_REFUSED = re.compile(r'cannot (\w+) resource "([^"]+)" in API group "([^"]*)"')


def of_account(events: Iterable[dict[str, Any]], account: str) -> list[dict[str, Any]]:
    """Return the finished requests for objects that were sent with the account's own token; impersonation is somebody else."""
    mine = (event for event in events if event["user"]["username"] == account and "impersonatedUser" not in event)
    return [event for event in mine if "resource" in event.get("objectRef", {}) and "code" in event.get("responseStatus", {})]


def used(events: Iterable[dict[str, Any]], account: str) -> set[Right]:
    """Return the rights an account made use of, as (group, resource, verb)."""
    found = set()
    for event in of_account(events, account):
        right = _resource(event)
        found.add((*right, event["verb"]))
        if event["verb"] == "patch" and event["responseStatus"]["code"] == _CREATED:
            found.add((*right, "create"))  # an apply to nothing asks for both
    return found


def forbidden(events: Iterable[dict[str, Any]], account: str) -> list[str]:
    """Return what the account was refused, in the server's words."""
    return [
        event["responseStatus"].get("message", "") for event in of_account(events, account) if event["responseStatus"]["code"] == _FORBIDDEN
    ]


def refused(events: Iterable[dict[str, Any]], account: str) -> set[Right]:
    """Return the rights an account asked for and did not have: in the server's words where it says so, which it does not for watches."""
    return {_missing(event) for event in of_account(events, account) if event["responseStatus"]["code"] == _FORBIDDEN}


def _missing(event: dict[str, Any]) -> Right:
    told = _REFUSED.search(event["responseStatus"].get("message", ""))
    return (told[3], told[2], told[1]) if told else (*_resource(event), event["verb"])


def _resource(event: dict[str, Any]) -> tuple[str, str]:
    target = event["objectRef"]
    return target.get("apiGroup", ""), "/".join(filter(None, (target["resource"], target.get("subresource"))))
