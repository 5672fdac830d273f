"""What a request asks of the API server, read from its line and headers: the words that triggers are written in."""

from collections.abc import Mapping
from dataclasses import dataclass

WRITES = frozenset({"create", "update", "apply", "patch", "delete", "deletecollection"})
_BODY_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}
_APPLY = "application/apply-patch+yaml"


@dataclass(frozen=True)
class Asked:
    """One request. A verb as in RBAC, but that a server-side apply is ``apply`` and every other patch ``patch``."""

    verb: str
    resource: str
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    agent: str = ""

    @property
    def writes(self) -> bool:
        """Return whether it may change something."""
        return self.verb in WRITES


def read(method: str, path: str, query: Mapping[str, str], content_type: str = "", agent: str = "") -> Asked:
    """Return what a request asks; one that is about no resource, such as discovery, has an empty resource."""
    parts = [part for part in path.split("/") if part]
    parts = parts[2:] if parts[:1] == ["api"] else parts[3:] if parts[:1] == ["apis"] else []
    namespace = ""
    if parts[:1] == ["namespaces"] and len(parts) > 2:
        namespace, parts = parts[1], parts[2:]
    resource, name, subresource = (*parts, "", "", "")[:3]
    return Asked(_verb(method, name, query, content_type), resource, subresource, namespace, name, agent)


def _verb(method: str, name: str, query: Mapping[str, str], content_type: str) -> str:
    if method == "GET":
        if query.get("watch") in {"true", "1"}:
            return "watch"
        return "get" if name else "list"
    if method == "DELETE":
        return "delete" if name else "deletecollection"
    if method == "PATCH" and content_type.startswith(_APPLY):
        return "apply"
    return _BODY_VERBS.get(method, method.lower())
