"""The manifest that stays with a fetched model: which files it has and what is in them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_fetcher.listing import Listing

MANIFEST_NAME = ".llm-manifest.json"
_VERSION = 1
_FILE_MODE = 0o644


@dataclass(frozen=True)
class Manifest:
    """What was fetched: the digest that was asked for, and per file its path, size, SHA-256 and the store's checksum."""

    digest: str
    files: tuple[dict[str, Any], ...]

    @classmethod
    def of(cls, listing: Listing, sha256: Mapping[str, str]) -> "Manifest":
        """Return the manifest of a listing whose files have these SHA-256 sums by path."""
        return cls(
            listing.digest,
            tuple(
                {"path": each.path, "size": each.size, "sha256": sha256[each.path], "checksum": each.checksum} for each in listing.entries
            ),
        )

    def write(self, target: Path) -> None:
        """Write the manifest in one step, readable for every user: a directory that has one is complete."""
        draft = target / f"{MANIFEST_NAME}.new"
        body = {"version": _VERSION, "digest": self.digest, "files": list(self.files)}
        draft.write_text(json.dumps(body, indent=1, sort_keys=True) + "\n")
        draft.chmod(_FILE_MODE)
        draft.replace(target / MANIFEST_NAME)


def is_complete(target: Path, digest: str) -> bool:
    """Say whether the directory has a manifest of this digest and every file of it in full length."""
    try:
        body = json.loads((target / MANIFEST_NAME).read_text())
        return (
            body["version"] == _VERSION
            and body["digest"] == digest
            and all((target / each["path"]).stat().st_size == each["size"] for each in body["files"])
        )
    except (OSError, ValueError, LookupError, TypeError):
        return False
