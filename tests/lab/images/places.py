"""Where things lie, and what a built thing was made from."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from tests.lab.state import cache_dir

REPO = Path(__file__).resolve().parents[3]
_HERE = Path(__file__).resolve().parent


def scratch() -> Path:
    """Return a folder for temporary trees: on the disk of the cache, as /tmp may be memory."""
    folder = cache_dir() / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def own_source(*names: str) -> list[Path]:
    """Return the modules of this folder with these names: what they make changes with their text."""
    return [_HERE / f"{name}.py" for name in names]


def files_of(path: Path) -> list[Path]:
    """Return the file, or the files of a folder without what Python leaves behind, sorted."""
    if path.is_file():
        return [path]
    return sorted(file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts)


def fingerprint(*parts: str | Path | Iterable[Path]) -> str:
    """Return a short hash of texts and files; a file counts with its place in the repository and its content."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            _feed(digest, b"text", part.encode())
        else:
            for path in [part] if isinstance(part, Path) else part:
                _feed(digest, os.path.relpath(path, REPO).encode(), path.read_bytes())
    return digest.hexdigest()[:16]


def _feed(digest: "hashlib._Hash", name: bytes, data: bytes) -> None:
    for piece in (name, data):
        digest.update(len(piece).to_bytes(8, "big") + piece)
