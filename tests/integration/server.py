"""The API server as a user or an administrator speaks to it: small, synchronous, in plain objects."""

from typing import Any
from urllib.parse import urlencode

from llm_operator.core import kinds, names
from llm_operator.core.kinds import BY_KIND, Kind
from tests.lab.api import Api, ApiError
from tests.lab.cluster import Lab
from tests.lab.namespaces import restricted

Object = dict[str, Any]

NAMESPACE = Kind("", "v1", "namespaces", "Namespace", namespaced=False)
OWNED = (
    kinds.DEPLOYMENT,
    kinds.SERVICE,
    kinds.CONFIG_MAP,
    kinds.CONTROLLER_REVISION,
    kinds.POD_DISRUPTION_BUDGET,
    kinds.NETWORK_POLICY,
)
"""The kinds an LLMDeployment always has something of."""


class Server:
    """One user's view of the API server."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self._api = Api(lab.state, timeout_s=30)

    def create(self, manifest: Object, namespace: str, **query: str) -> Object:
        """Create an object; ``dryRun="All"`` only asks whether that would go."""
        kind = BY_KIND[manifest["kind"]]
        path = kind.path(namespace) + (f"?{urlencode(query)}" if query else "")
        return dict(self._api.json(path, method="POST", body=manifest))

    def create_namespace(self, name: str) -> None:
        """Create a namespace that admits only pods under the Pod Security Standard `restricted`."""
        self._api.json(NAMESPACE.path(None), method="POST", body=restricted(name))

    def create_node(self, manifest: Object) -> None:
        """Create a node."""
        self._api.json("/api/v1/nodes", method="POST", body=manifest)

    def has_namespace(self, name: str) -> bool:
        """Return whether a namespace is there, on its way out included."""
        return self.get(NAMESPACE, "", name) is not None

    def delete_namespace(self, name: str) -> None:
        """Ask for a namespace to go."""
        self._api.json(NAMESPACE.path(None, name), method="DELETE")

    def get(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """Return an object, or None when there is none."""
        try:
            return dict(self._api.json(kind.path(namespace, name)))
        except ApiError as error:
            if ": 404 " in str(error):
                return None
            raise

    def must(self, kind: Kind, namespace: str, name: str) -> Object:
        """Return an object that has to be there."""
        found = self.get(kind, namespace, name)
        assert found is not None, f"{kind.kind} {namespace}/{name} is gone"
        return found

    def list(self, kind: Kind, namespace: str, labels: str = "") -> tuple[Object, ...]:
        """Return the objects of a kind that carry labels."""
        path = kind.path(namespace) + (f"?{urlencode({'labelSelector': labels})}" if labels else "")
        found = self._api.json(path)["items"]
        return tuple({**each, "kind": kind.kind, "apiVersion": kind.api_version} for each in found)

    def merge(self, kind: Kind, namespace: str, name: str, change: Object, subresource: str | None = None) -> Object:
        """Change an object as a user would, by a merge patch."""
        path = kind.path(namespace, name, subresource)
        return dict(self._api.json(path, method="PATCH", body=change, content_type="application/merge-patch+json"))

    def replace(self, manifest: Object, namespace: str) -> Object:
        """Replace an object's spec by another, fields left out included; anew when its status was written between look and answer."""
        kind, name = BY_KIND[manifest["kind"]], manifest["metadata"]["name"]
        while True:
            version = self.must(kind, namespace, name)["metadata"]["resourceVersion"]
            body = {**manifest, "metadata": {**manifest["metadata"], "resourceVersion": version}}
            try:
                return dict(self._api.json(kind.path(namespace, name), method="PUT", body=body))
            except ApiError as error:
                if ": 409 " not in str(error):
                    raise

    def delete(self, kind: Kind, namespace: str, name: str) -> None:
        """Delete an object."""
        self._api.json(kind.path(namespace, name), method="DELETE")

    def raw(self, path: str) -> Any:
        """Return what any path of the API answers."""
        return self._api.json(path)

    def ready(self) -> bool:
        """Return whether the server says it is ready; one that is away raises OSError."""
        return self._api.text("/readyz") == "ok"

    def children(self, namespace: str, deployment: str, kind: Kind) -> tuple[Object, ...]:
        """Return what carries the labels of one LLMDeployment."""
        labels = ",".join(f"{label}={value}" for label, value in names.managed_labels(deployment).items())
        return self.list(kind, namespace, labels)

    def engine_pods(self, namespace: str, deployment: str) -> tuple[Object, ...]:
        """Return the pods with an engine, those on their way out included; the pod of a resolver may still be going when one serves."""
        return self.list(kinds.POD, namespace, f"{names.LABEL_DEPLOYMENT}={deployment},{names.LABEL_ENGINE}")

    def status(self, namespace: str, name: str, kind: Kind = kinds.LLM_DEPLOYMENT) -> Object:
        """Return the status of a custom resource, empty before it has one."""
        return dict(self.must(kind, namespace, name).get("status", {}))


def condition(status: Object, kind: str) -> Object:
    """Return one condition of a status, or an empty one."""
    return next((dict(each) for each in status.get("conditions", []) if each["type"] == kind), {})
