"""A mounted Secret with API keys, as the kubelet would keep it."""

import hashlib
import json
from typing import Any

from tests.unit.sidecar.support.pod import SnapshotDir


def entry(id_: str, key: str, *permissions: str, **limits: int) -> dict[str, Any]:
    """Return an entry of the file."""
    found: dict[str, Any] = {"id": id_, "sha256": hashlib.sha256(key.encode()).hexdigest()}
    if permissions:
        found["permissions"] = permissions
    return {**found, "limits": limits} if limits else found


def bearer(key: str) -> str:
    """Return the header that shows a key."""
    return f"authorization: Bearer {key}"


class SecretDir(SnapshotDir):
    """A mounted Secret: like a ConfigMap, a directory that is swapped as a whole."""

    def keys(self, *entries: dict[str, Any]) -> None:
        """Publish a file with these entries."""
        self.text(json.dumps({"keys": entries}))

    def text(self, text: str) -> None:
        """Publish a file with this in it."""
        self.publish({"api-keys.json": text.encode()})

    def nothing(self) -> None:
        """Publish a Secret without the file."""
        self.publish({})
