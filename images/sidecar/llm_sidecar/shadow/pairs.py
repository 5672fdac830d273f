"""Pairs of answers to one request, the newest of them: as many as fit some memory. They are in no file, and go with the process."""

import os
from collections import deque
from collections.abc import Container
from dataclasses import dataclass
from typing import Any

import orjson

SCHEMA_VERSION = 1
PAIRS_MAX = 256
BYTES_MAX = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Told:
    """One answer: by whom, what it was, and after how many seconds it was complete."""

    revision: str
    status: int
    content_type: bytes
    body: bytes
    seconds: float

    def shown(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "revision": self.revision,
            "status": self.status,
            "contentType": _text(self.content_type),
            "body": _text(self.body),
            "seconds": round(self.seconds, 6),
        }


@dataclass(frozen=True, slots=True)
class Pair:
    """A request and both answers to it: the one its client got, and that of the revision that is tried."""

    id: bytes
    at: float
    path: bytes
    request: bytes
    stable: Told
    canary: Told

    @property
    def size(self) -> int:
        """Return about how many bytes it holds."""
        return len(self.request) + len(self.stable.body) + len(self.canary.body)


class Pairs:
    """The newest pairs; ``kept`` counts all there ever were, so that a reader sees how many it has missed."""

    def __init__(self) -> None:
        self.epoch = os.urandom(8).hex()
        self.kept = 0
        self._pairs: deque[Pair] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._pairs)

    def keep(self, pair: Pair) -> None:
        """Add a pair; the oldest make room for it."""
        self.kept += 1
        self._pairs.append(pair)
        self._bytes += pair.size
        while self._bytes > BYTES_MAX or len(self._pairs) > PAIRS_MAX:
            self._bytes -= self._pairs.popleft().size

    def forget(self, live: Container[str]) -> None:
        """Drop what was said by revisions that are not live any more: nobody is going to decide about them."""
        self._pairs = deque(pair for pair in self._pairs if pair.canary.revision in live)
        self._bytes = sum(pair.size for pair in self._pairs)

    def expose(self) -> bytes:
        """Return all of them as JSON, the oldest first."""
        pairs = [
            {
                "id": _text(pair.id),
                "at": round(pair.at, 3),
                "path": _text(pair.path),
                "request": _text(pair.request),
                "stable": pair.stable.shown(),
                "canary": pair.canary.shown(),
            }
            for pair in self._pairs
        ]
        return orjson.dumps({"schemaVersion": SCHEMA_VERSION, "epoch": self.epoch, "kept": self.kept, "pairs": pairs})


def _text(data: bytes) -> str:
    return data.decode("utf-8", errors="replace")
