"""Three small operators with a mistake each that real ones have had. The lab has to find out every one of them.

``python -m tests.lab.faults.bad generate-name|create-only|delete-then-create``, with KUBECONFIG and FAULTS_NAMESPACE set.
"""

import http.client
import json
import os
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from llm_operator.core import kinds, names
from llm_operator.core.kinds import Kind

Object = dict[str, Any]

_LOOK_S = 0.1
_MERGE = "application/merge-patch+json"
_NOT_FOUND, _CONFLICT, _FIRST_FAILURE = 404, 409, 300


class RefusedError(Exception):
    """The API server refused."""


@dataclass
class Api:
    """The API server, one request a connection."""

    address: str
    token: str
    namespace: str

    def ask(self, method: str, path: str, body: Object | None = None, content_type: str = "application/json") -> Object:
        """Return the answer; nothing there is an empty object."""
        connection = http.client.HTTPConnection(self.address, timeout=10)
        try:
            headers = {"Authorization": f"Bearer {self.token}", "Content-Type": content_type}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            answer = response.read()
        finally:
            connection.close()
        if response.status in {_NOT_FOUND, _CONFLICT}:
            return {}
        if response.status >= _FIRST_FAILURE:
            raise RefusedError(f"{method} {path}: {response.status}")
        return dict(json.loads(answer))

    def create(self, kind: Kind, manifest: Object) -> None:
        """Create an object; one that is there stays as it is."""
        self.ask("POST", kind.path(self.namespace), manifest)

    def delete(self, kind: Kind, name: str) -> None:
        """Delete an object."""
        self.ask("DELETE", kind.path(self.namespace, name))

    def tell(self, about: Object) -> None:
        """Write the status that says all is done."""
        said = {"Ready": "True", "Reconciling": "False", "Stalled": "False"}
        when = {"reason": "Done", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}
        conditions = [{"type": kind, "status": status, **when} for kind, status in said.items()]
        status = {"observedGeneration": about["metadata"]["generation"], "conditions": conditions}
        path = kinds.LLM_DEPLOYMENT.path(self.namespace, about["metadata"]["name"], "status")
        self.ask("PATCH", path, {"status": status}, _MERGE)


def child(about: Object, kind: Kind, **content: Any) -> Object:
    """Return a child of a custom resource, named after it."""
    metadata = about["metadata"]
    owner = {"apiVersion": about["apiVersion"], "kind": about["kind"], "name": metadata["name"], "uid": metadata["uid"], "controller": True}
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {"name": metadata["name"], "labels": names.managed_labels(metadata["name"]), "ownerReferences": [owner]},
        **content,
    }


def service(about: Object) -> Object:
    """Return a Service."""
    return child(about, kinds.SERVICE, spec={"ports": [{"name": "http", "port": 8080, "protocol": "TCP"}]})


def config_map(about: Object) -> Object:
    """Return a ConfigMap."""
    return child(about, kinds.CONFIG_MAP, data={"replicas": str(about["spec"]["replicas"])})


def is_done(about: Object) -> bool:
    """Return whether the status is about the newest spec."""
    return bool(about.get("status", {}).get("observedGeneration") == about["metadata"]["generation"])


def generate_name(api: Api, about: Object) -> None:
    """Let the server name the children: whoever dies before the status is written makes them again."""
    if is_done(about):
        return
    for kind, manifest in ((kinds.CONFIG_MAP, config_map(about)), (kinds.SERVICE, service(about))):
        name = manifest["metadata"].pop("name")
        api.create(kind, {**manifest, "metadata": {**manifest["metadata"], "generateName": f"{name}-"}})
    api.tell(about)


@dataclass
class CreateOnly:
    """Act on what appears while one looks: what appeared before the start is taken for done."""

    known: set[str] | None = field(default=None)

    def began(self, listed: list[Object]) -> None:
        """Take note of what is there when the operator starts."""
        if self.known is None:
            self.known = {each["metadata"]["uid"] for each in listed}

    def __call__(self, api: Api, about: Object) -> None:
        """Make the children of a new custom resource."""
        if self.known is None or about["metadata"]["uid"] in self.known:
            return
        self.known.add(about["metadata"]["uid"])
        api.create(kinds.CONFIG_MAP, config_map(about))
        api.create(kinds.SERVICE, service(about))
        api.tell(about)


def delete_then_create(api: Api, about: Object) -> None:
    """Replace the Service by deleting it first: for a while nobody is reached."""
    if is_done(about):
        return
    api.create(kinds.CONFIG_MAP, config_map(about))
    api.delete(kinds.SERVICE, about["metadata"]["name"])
    api.create(kinds.SERVICE, service(about))
    api.tell(about)


def main(mistake: str) -> None:
    """Look at all custom resources again and again until killed."""
    config = json.loads(Path(os.environ["KUBECONFIG"]).read_text())
    server = urlsplit(config["clusters"][0]["cluster"]["server"])
    api = Api(server.netloc, config["users"][0]["user"]["token"], os.environ["FAULTS_NAMESPACE"])
    create_only = CreateOnly()
    mistakes = {
        "generate-name": generate_name,
        "create-only": create_only,
        "delete-then-create": delete_then_create,
    }
    look: Any = mistakes[mistake]
    pause = threading.Event()
    while True:
        try:
            listed = api.ask("GET", kinds.LLM_DEPLOYMENT.path(api.namespace))["items"]
            create_only.began(listed)
            for about in listed:
                look(api, {"apiVersion": kinds.LLM_DEPLOYMENT.api_version, "kind": kinds.LLM_DEPLOYMENT.kind, **about})
        except (OSError, RefusedError, http.client.HTTPException):
            pass  # it looks again anyway
        pause.wait(_LOOK_S)


if __name__ == "__main__":
    main(sys.argv[1])
