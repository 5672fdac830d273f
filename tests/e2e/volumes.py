"""A folder of the machine as a volume that pods may read: what stands for storage of many nodes on a node that is alone."""

from pathlib import Path
from typing import Any


def shared_folder(folder: Path, namespace: str, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a volume on a folder, and a claim of a namespace that nobody but it can have."""
    metadata = {"name": name, "namespace": namespace}
    both = {"accessModes": ["ReadOnlyMany"], "storageClassName": ""}
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            **both,
            "capacity": {"storage": "1Mi"},
            "hostPath": {"path": str(folder)},
            "claimRef": {"namespace": namespace, "name": name},
        },
    }
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata,
        "spec": {**both, "volumeName": name, "resources": {"requests": {"storage": "1Mi"}}},
    }
    return volume, claim
