"""One unfinished file: its bytes on disk and the running hashes over them."""

import hashlib
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from llm_fetcher.etag import EtagCheck
from llm_fetcher.listing import Entry

_READ_BYTES = 4 * 1024 * 1024


class Part:
    """Appends to a file and hashes along; opening one that a killed run left reads it once to catch up."""

    def __init__(self, path: Path, entry: Entry) -> None:
        self.size = 0
        self._entry = entry
        self._sha256 = hashlib.sha256()
        self.etag = EtagCheck(entry.checksum, entry.size)
        """What the store's ETag says of the bytes so far."""
        self._file = path.open("a+b", buffering=0)
        if os.fstat(self._file.fileno()).st_size > entry.size:
            self.restart()
        else:
            self._catch_up()

    def append(self, chunk: memoryview) -> None:
        """Write one chunk whole and take it into the hashes."""
        left = chunk
        while left:
            left = left[self._file.write(left) :]
        self._take(chunk)

    def restart(self) -> None:
        """Throw the bytes away and begin again."""
        self._file.truncate(0)
        self.size = 0
        self._sha256 = hashlib.sha256()
        self.etag = EtagCheck(self._entry.checksum, self._entry.size)

    def sync(self) -> None:
        """Return once the bytes are on disk, so that a finished file is whole even after the node lost power."""
        os.fsync(self._file.fileno())

    @property
    def is_whole(self) -> bool:
        """Say whether every byte is there."""
        return self.size == self._entry.size

    @property
    def sha256(self) -> str:
        """Return the SHA-256 of the bytes so far."""
        return self._sha256.hexdigest()

    def _catch_up(self) -> None:
        self._file.seek(0)
        while chunk := self._file.read(_READ_BYTES):
            self._take(memoryview(chunk))

    def _take(self, chunk: memoryview) -> None:
        self._sha256.update(chunk)
        self.etag.update(chunk)
        self.size += len(chunk)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()
