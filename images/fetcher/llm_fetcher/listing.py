"""What a source holds, without its bytes: the identity of a model's files."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from llm_fetcher.errors import FetchError, Reason
from llm_fetcher.paths import check_together, checked_path, parents

MAX_FILES = 10_000
"""More than any model has: a prefix with more is the wrong prefix, and it must not cost memory without bound."""

_LISTING_VERSION = 1


@dataclass(frozen=True, order=True)
class Entry:
    """One file: its path below the source, and a checksum that begins with its kind (``etag:`` or ``mtime:``)."""

    path: str
    size: int
    checksum: str


@dataclass(frozen=True)
class Listing:
    """All files of a source, sorted by path."""

    entries: tuple[Entry, ...]

    @cached_property
    def digest(self) -> str:
        """Return ``sha256:`` and the hash of the canonical listing; the order in which a store lists does not matter."""
        rows = [[entry.path, entry.size, entry.checksum] for entry in self.entries]
        canonical = json.dumps({"files": rows, "version": _LISTING_VERSION}, ensure_ascii=True, separators=(",", ":"), sort_keys=True)
        return f"sha256:{hashlib.sha256(canonical.encode()).hexdigest()}"

    @property
    def size(self) -> int:
        """Return the bytes of all files together."""
        return sum(entry.size for entry in self.entries)


def without_folder_markers(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Drop the empty objects at the place of a directory: consoles and copying tools leave them in a bucket to show a folder."""
    empty: list[Entry] = []
    directories: set[str] = set()
    for entry in entries:
        directories.update(parents(entry.path))
        # More than can be a model are not held, so that a wrong prefix does not cost memory here either.
        if entry.size or len(empty) > MAX_FILES:
            yield entry
        else:
            empty.append(entry)
    yield from (entry for entry in empty if entry.path not in directories)


def make_listing(entries: Iterable[Entry], *, what: str) -> Listing:
    """Return a listing of the files a model is loaded from, or raise for an empty, too long or unsafe one."""
    found: list[Entry] = []
    for entry in entries:
        if len(found) == MAX_FILES:
            raise FetchError(Reason.NOT_A_MODEL, f"{what} holds more than {MAX_FILES} files: name the directory of one model")
        checked_path(entry.path, what=what)
        found.append(entry)
    if not found:
        raise FetchError(
            Reason.SOURCE_EMPTY, f"{what} holds no files: check the bucket and prefix (or claim and path), or upload the model"
        )
    check_together((entry.path for entry in found), what=what)
    return Listing(tuple(sorted(found)))
