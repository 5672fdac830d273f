"""Sufficient statistics of served requests, for whoever compares revisions: sums by revision and bucket of units, nothing of any request.

A unit always falls into the same bucket, at every sidecar and whatever revision it is assigned to. So the sums of buckets are as good as
independent, also where one subject sends many requests; single requests of one subject are not.
"""

import base64
import hashlib
import math
import os
from typing import Any

import orjson

SCHEMA_VERSION = 1
BUCKETS = 256
SEEN_BITS = 1 << 14
"""Bits of the bitmap of units that were seen; two bytes of a unit's hash say which one is its own."""

MEASURES = ("logTimeToFirstToken", "logTimePerOutputToken", "promptTokens", "completionTokens")
COLUMNS = ("n", "errors", *(f"{measure}.{part}" for measure in MEASURES for part in ("n", "sum", "squares")))
"""What there is for each bucket. Each measure has a count of its own: not every request has every measure. Times are ln of seconds."""

_WIDTH = len(COLUMNS)
_FIRST_TOKEN, _PER_TOKEN, _PROMPT, _COMPLETION = (COLUMNS.index(f"{measure}.n") for measure in MEASURES)
_SHORTEST_S = 1e-6


class _Revision:
    """``cells`` has the columns of one bucket after those of another. ``life`` tells it from an earlier one that was forgotten."""

    __slots__ = ("cells", "life", "seen")

    def __init__(self, life: int) -> None:
        self.life = life
        self.cells = [0.0] * (BUCKETS * _WIDTH)
        self.seen = bytearray(SEEN_BITS // 8)


def _add(cells: list[float], at: int, value: float) -> None:
    cells[at] += 1
    cells[at + 1] += value
    cells[at + 2] += value * value


class Statistics:
    """All sums since this process began. They only grow; ``epoch`` says which process they are of."""

    def __init__(self, deployment: str) -> None:
        # Not the table's salt: with that a small share of units would be a few whole buckets. It never changes, so neither do buckets.
        self.salt = f"bucket:{deployment}"
        self.epoch = os.urandom(8).hex()
        self.assignment = ""
        self._lives = 0
        self._prefix = self.salt.encode() + b":"
        self._revisions: dict[str, _Revision] = {}

    def record(
        self,
        revision: str,
        unit: bytes,
        *,
        failed: bool,
        first_token_s: float = 0.0,
        per_token_s: float = 0.0,
        prompt_tokens: int = 0,
        completion_tokens: int = 0,
    ) -> None:
        """Add a request. A measure that is 0 was not taken."""
        sums = self._revisions.get(revision)
        if sums is None:
            self._lives += 1
            sums = self._revisions[revision] = _Revision(self._lives)
        digest = hashlib.sha256(self._prefix + unit).digest()
        cells, at = sums.cells, digest[0] * _WIDTH
        cells[at] += 1
        if failed:
            cells[at + 1] += 1
        bit = (digest[1] << 8 | digest[2]) % SEEN_BITS
        sums.seen[bit >> 3] |= 1 << (bit & 7)
        if first_token_s:
            _add(cells, at + _FIRST_TOKEN, math.log(max(first_token_s, _SHORTEST_S)))
        if per_token_s:
            _add(cells, at + _PER_TOKEN, math.log(max(per_token_s, _SHORTEST_S)))
        if prompt_tokens:
            _add(cells, at + _PROMPT, prompt_tokens)
        if completion_tokens:
            _add(cells, at + _COMPLETION, completion_tokens)

    def assign(self, assignment: str) -> None:
        """Begin to look for units anew where they are assigned in another way: those of an earlier one have been seen all along."""
        if assignment != self.assignment:
            self.assignment = assignment
            for sums in self._revisions.values():
                sums.seen = bytearray(SEEN_BITS // 8)

    def forget(self, revision: str) -> None:
        """Drop a revision that is long gone."""
        self._revisions.pop(revision, None)

    def expose(self) -> bytes:
        """Return everything as JSON, without empty buckets."""
        return orjson.dumps(
            {
                "schemaVersion": SCHEMA_VERSION,
                "epoch": self.epoch,
                "bucketSalt": self.salt,
                "assignment": self.assignment,
                "columns": COLUMNS,
                "revisions": {revision: _rows(sums) for revision, sums in self._revisions.items()},
            }
        )


def _rows(sums: _Revision) -> dict[str, Any]:
    rows = (sums.cells[at : at + _WIDTH] for at in range(0, BUCKETS * _WIDTH, _WIDTH))
    buckets = {str(bucket): row for bucket, row in enumerate(rows) if row[0]}
    return {"life": sums.life, "buckets": buckets, "seen": base64.b64encode(sums.seen).decode()}
