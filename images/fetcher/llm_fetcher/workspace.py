"""The model directory while it is being filled: unfinished downloads, finished files, and what must leave.

A download is kept under a name that holds path, size and version, so whatever a killed run left behind either belongs to what is fetched
now or is removed. A file gets its real name only when it is whole and verified.
"""

import hashlib
import os
import shutil
from pathlib import Path

from llm_fetcher.errors import FetchError, Reason
from llm_fetcher.listing import Entry, Listing
from llm_fetcher.manifest import MANIFEST_NAME

WORK_NAME = ".llm-fetch"
_OF_THE_FILE_SYSTEM = "lost+found"
_BOOT_NAME = "boot"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_FILE_MODE = 0o644
_DIRECTORY_MODE = 0o755


class Workspace:
    """One model directory that belongs to the fetcher."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self._work = target / WORK_NAME

    def claim(self, listing: Listing) -> None:
        """Make the directory ours and empty of all that is not in the listing; a directory with somebody's files is refused."""
        ours = self._work.is_dir() or (self.target / MANIFEST_NAME).exists()
        strangers = [] if ours else sorted(each.name for each in self.target.iterdir() if each.name != _OF_THE_FILE_SYSTEM)
        if strangers:
            raise FetchError(
                Reason.TARGET_IN_USE,
                f"{self.target} already holds {strangers[0]!r}, which the fetcher did not put there: give it an empty one",
            )
        self._work.mkdir(mode=_DIRECTORY_MODE, exist_ok=True)
        (self.target / MANIFEST_NAME).unlink(missing_ok=True)
        self._prune(listing)
        self._distrust_other_boots()

    def part(self, entry: Entry) -> Path:
        """Return where the unfinished download of exactly this version is."""
        return self._work / f"{_key(entry)}.part"

    def finished(self, entry: Entry) -> str | None:
        """Return the SHA-256 of a file that an earlier run finished and verified."""
        mark, path = self._mark(entry), self.target / entry.path
        if mark.exists() and path.is_file() and path.stat().st_size == entry.size:
            return mark.read_text() or None
        return None

    def finish(self, entry: Entry, sha256: str) -> None:
        """Give a whole, verified download its real name, readable for every user."""
        path = self.target / entry.path
        for parent in reversed(path.relative_to(self.target).parents[:-1]):
            (self.target / parent).mkdir(exist_ok=True)
            (self.target / parent).chmod(_DIRECTORY_MODE)
        part = self.part(entry)
        part.chmod(_FILE_MODE)
        part.replace(path)
        # Last, because a note without its file in place would make the next run trust an older file of the same size.
        self._mark(entry).write_text(sha256)

    def missing_bytes(self, listing: Listing) -> int:
        """Return how many bytes are still to be written."""
        return sum(entry.size - self.part_size(entry) for entry in listing.entries if self.finished(entry) is None)

    def part_size(self, entry: Entry) -> int:
        """Return how many bytes of an unfinished download are there."""
        part = self.part(entry)
        return min(part.stat().st_size, entry.size) if part.exists() else 0

    def close(self) -> None:
        """Remove all notes and leftovers once the manifest says the same."""
        shutil.rmtree(self._work)

    def _mark(self, entry: Entry) -> Path:
        return self._work / f"{_key(entry)}.sha256"

    def _distrust_other_boots(self) -> None:
        # A file that was being written when its node went down may have its length and not its bytes: only whole files are synced.
        boot = _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else ""
        note = self._work / _BOOT_NAME
        if not note.exists() or note.read_text() != boot:
            for part in self._work.glob("*.part"):
                part.unlink()
            note.write_text(boot)

    def _prune(self, listing: Listing) -> None:
        wanted = {entry.path for entry in listing.entries}
        keys = {_key(entry) for entry in listing.entries}
        for directory, names, files in os.walk(self.target, topdown=False):
            here = Path(directory)
            if _OF_THE_FILE_SYSTEM in here.parts:
                continue
            for name in files:
                path = here / name
                keep = path.stem in {*keys, _BOOT_NAME} if here == self._work else path.relative_to(self.target).as_posix() in wanted
                if not keep:
                    path.unlink()
            for name in names:
                if (here / name).is_symlink():
                    (here / name).unlink()
            if here not in {self.target, self._work} and not any(here.iterdir()):
                here.rmdir()


def _key(entry: Entry) -> str:
    return hashlib.sha256(f"{entry.path}\0{entry.size}\0{entry.checksum}".encode()).hexdigest()[:40]
