"""Metadata that every child carries: whose it is, and how it is found again."""

from dataclasses import dataclass
from typing import Any

from llm_operator.core import kinds, names
from llm_operator.core.kinds import Kind
from llm_operator.core.observed import Obj


@dataclass(frozen=True)
class Owner:
    """The LLMDeployment that children belong to."""

    name: str
    namespace: str
    uid: str

    @classmethod
    def of(cls, deployment: Obj) -> "Owner":
        """Return the owner that an LLMDeployment is."""
        metadata = deployment["metadata"]
        return cls(metadata["name"], metadata["namespace"], metadata["uid"])

    @property
    def reference(self) -> dict[str, Any]:
        """Return the ownerReference: the garbage collector deletes children, so no finalizer is needed."""
        return {
            "apiVersion": kinds.LLM_DEPLOYMENT.api_version,
            "kind": kinds.LLM_DEPLOYMENT.kind,
            "name": self.name,
            "uid": self.uid,
            "controller": True,
            "blockOwnerDeletion": True,
        }

    @property
    def serving_labels(self) -> dict[str, str]:
        """Return the labels that select every pod that can take a request."""
        return {names.LABEL_DEPLOYMENT: self.name, names.LABEL_SERVING: "true"}

    def engine_labels(self, engine: str) -> dict[str, str]:
        """Return the labels that select the pods of one engine."""
        return {names.LABEL_DEPLOYMENT: self.name, names.LABEL_ENGINE: engine}


def child(kind: Kind, owner: Owner, name: str, labels: dict[str, str] | None = None) -> Obj:
    """Return the head of a child's manifest: kind, name, labels and owner."""
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {
            "name": name,
            "namespace": owner.namespace,
            "labels": {**names.managed_labels(owner.name), **(labels or {})},
            "ownerReferences": [owner.reference],
        },
    }
