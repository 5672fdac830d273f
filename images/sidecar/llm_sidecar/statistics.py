"""Sufficient statistics of served requests, for whoever compares revisions: sums by revision and bucket of units, nothing of any request.

A unit always falls into the same bucket, at every sidecar and whatever revision it is assigned to. So the sums of buckets are as good as
independent, also where one subject sends many requests; single requests of one subject are not.
"""

import base64
import hashlib
import math
import os
from array import array
from collections.abc import Sequence
from typing import Any

import orjson

SCHEMA_VERSION = 1
BUCKETS = 256
SEEN_BITS = 1 << 14
"""Bits of the bitmap of units that were seen; two bytes of a unit's hash say which one is its own."""

MEASURES = ("logTimeToFirstToken", "logTimePerOutputToken", "promptTokens", "completionTokens")
COLUMNS = ("n", "errors", *(f"{measure}.{part}" for measure in MEASURES for part in ("n", "sum", "squares")))
"""What there is for each bucket. Each measure has a count of its own: not every request has every measure. Times are ln of seconds."""

_ZERO = bytes(8 * BUCKETS)
_SHORTEST_S = 1e-6


class _Sums:
    """A count, a sum and a sum of squares for each bucket."""

    __slots__ = ("n", "squares", "total")

    def __init__(self) -> None:
        self.n, self.total, self.squares = array("q", _ZERO), array("d", _ZERO), array("d", _ZERO)

    def add(self, bucket: int, value: float) -> None:
        self.n[bucket] += 1
        self.total[bucket] += value
        self.squares[bucket] += value * value


class _Revision:
    __slots__ = ("completion_tokens", "errors", "first_token", "n", "per_token", "prompt_tokens", "seen")

    def __init__(self) -> None:
        self.n, self.errors = array("q", _ZERO), array("q", _ZERO)
        self.first_token, self.per_token, self.prompt_tokens, self.completion_tokens = _Sums(), _Sums(), _Sums(), _Sums()
        self.seen = bytearray(SEEN_BITS // 8)

    @property
    def columns(self) -> tuple[Sequence[float], ...]:
        measures = (self.first_token, self.per_token, self.prompt_tokens, self.completion_tokens)
        return (self.n, self.errors, *(each for sums in measures for each in (sums.n, sums.total, sums.squares)))


class Statistics:
    """All sums since this process began. They only grow; ``epoch`` says which process they are of."""

    def __init__(self, deployment: str) -> None:
        # Not the table's salt: with that a small share of units would be a few whole buckets. It never changes, so neither do buckets.
        self.salt = f"bucket:{deployment}"
        self.epoch = os.urandom(8).hex()
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
            sums = self._revisions[revision] = _Revision()
        digest = hashlib.sha256(self._prefix + unit).digest()
        bucket = digest[0]
        sums.n[bucket] += 1
        if failed:
            sums.errors[bucket] += 1
        bit = (digest[1] << 8 | digest[2]) % SEEN_BITS
        sums.seen[bit >> 3] |= 1 << (bit & 7)
        if first_token_s:
            sums.first_token.add(bucket, math.log(max(first_token_s, _SHORTEST_S)))
        if per_token_s:
            sums.per_token.add(bucket, math.log(max(per_token_s, _SHORTEST_S)))
        if prompt_tokens:
            sums.prompt_tokens.add(bucket, prompt_tokens)
        if completion_tokens:
            sums.completion_tokens.add(bucket, completion_tokens)

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
                "columns": COLUMNS,
                "revisions": {revision: _rows(sums) for revision, sums in self._revisions.items()},
            }
        )


def _rows(sums: _Revision) -> dict[str, Any]:
    columns = sums.columns
    rows = {str(bucket): [column[bucket] for column in columns] for bucket in range(BUCKETS) if sums.n[bucket]}
    return {"buckets": rows, "seen": base64.b64encode(sums.seen).decode()}
