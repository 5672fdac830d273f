"""What an ETag says of an object's bytes: its MD5, or, of one that was uploaded in parts, the MD5 of the parts' MD5s."""

import hashlib
import re
from typing import Protocol

_PLAIN = re.compile(r'etag:"([0-9a-f]{32})"')
_IN_PARTS = re.compile(r'etag:"([0-9a-f]{32})-([1-9][0-9]{0,4})"')
_MIB = 1024 * 1024
_USUAL_PART_BYTES = tuple(mib * _MIB for mib in (5, 8, 16, 32, 64, 100, 128))
"""What the common tools upload in; the store does not tell which size it was."""


class _Running(Protocol):
    def update(self, data: memoryview, /) -> None: ...

    def hexdigest(self) -> str: ...


class PartsMd5:
    """The running MD5 of the MD5s of parts of one size."""

    def __init__(self, part_bytes: int) -> None:
        self._part_bytes = part_bytes
        self._left = part_bytes
        self._parts = hashlib.md5(usedforsecurity=False)
        self._part = hashlib.md5(usedforsecurity=False)

    def update(self, chunk: memoryview, /) -> None:
        """Take the next bytes."""
        while chunk:
            taken, chunk = chunk[: self._left], chunk[self._left :]
            self._part.update(taken)
            self._left -= len(taken)
            if not self._left:
                self._parts.update(self._part.digest())
                self._part = hashlib.md5(usedforsecurity=False)
                self._left = self._part_bytes

    def hexdigest(self) -> str:
        """Return the hash if the object ends here."""
        parts = self._parts.copy()
        if self._left < self._part_bytes:
            parts.update(self._part.digest())
        return parts.hexdigest()


class EtagCheck:
    """Hashes a file along as its ETag may have been made, and compares."""

    def __init__(self, checksum: str, size: int) -> None:
        plain, in_parts = _PLAIN.fullmatch(checksum), _IN_PARTS.fullmatch(checksum)
        found = plain or in_parts
        self.is_of_parts = in_parts is not None
        self._wanted = found.group(1) if found else ""
        sizes = part_sizes(size, int(in_parts.group(2))) if in_parts else []
        self._running: list[_Running] = [hashlib.md5(usedforsecurity=False)] if plain else [PartsMd5(part) for part in sizes]

    def update(self, chunk: memoryview) -> None:
        """Take the next bytes."""
        for running in self._running:
            running.update(chunk)

    @property
    def matches(self) -> bool | None:
        """Say whether the bytes so far are the ETag's; None where it is made in no way that is known here."""
        hashes = {running.hexdigest() for running in self._running}
        return self._wanted in hashes if hashes else None


def part_sizes(size: int, count: int) -> list[int]:
    """Return the sizes that give this many parts: of the usual ones, and the least whole number of MiB."""
    even = -(-size // (count * _MIB)) * _MIB
    return sorted({min(part, size) for part in (*_USUAL_PART_BYTES, even) if part and -(-size // part) == count})
