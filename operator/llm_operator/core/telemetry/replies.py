"""What sidecars tell of their statistics, read strictly: whoever runs in a tenant's pod writes it."""

import base64
import binascii
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Annotated, Literal

import msgspec

from llm_operator.core.gates.sums import EvidenceError, Row, Rows, contradiction, rows

SEEN_BITS = 1 << 14
"""Bits of a bitmap of units."""

_GRAIN = float(1 << 22)
"""Sums are taken to that part of one: then they can be added and subtracted in any order and give the same."""
_EPOCHS_MAX = 4
"""Processes of one pod that are remembered until they are counted: more in a minute is a crash loop."""

_Text = Annotated[str, msgspec.Meta(max_length=128)]
_Buckets = Annotated[dict[_Text, Annotated[list[float], msgspec.Meta(max_length=64)]], msgspec.Meta(max_length=256)]


class _Told(msgspec.Struct, frozen=True):
    buckets: _Buckets
    seen: Annotated[str, msgspec.Meta(max_length=SEEN_BITS // 6 + 4)]
    life: Annotated[int, msgspec.Meta(ge=0, le=2**53)] = 0


class _Answer(msgspec.Struct, frozen=True, rename="camel"):
    """The answer of GET /-/stats."""

    schema_version: Literal[1]
    epoch: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    bucket_salt: _Text
    columns: Annotated[list[_Text], msgspec.Meta(max_length=64)]
    revisions: Annotated[dict[_Text, _Told], msgspec.Meta(max_length=64)]
    assignment: _Text = ""


_DECODER = msgspec.json.Decoder(_Answer)


@dataclass(frozen=True)
class Sums:
    """What one process has counted of one revision. ``life`` is higher where it had forgotten the revision and begun again."""

    life: int = 0
    rows: Rows = field(default_factory=dict)
    seen: bytes = b""

    @property
    def requests(self) -> float:
        """Return how many requests it has counted, which only grows."""
        return sum(row.n for row in self.rows.values())

    def behind(self, other: "Sums") -> bool:
        """Return whether this was told before the other one."""
        return (self.life, self.requests) < (other.life, other.requests)


NOTHING = Sums()


@dataclass(frozen=True)
class Reply:
    """What one process told: all it has counted since it began, which is when its ``epoch`` began.

    ``assignment`` is the salt by which its units are assigned, those that its bitmaps have.
    """

    epoch: str
    assignment: str
    revisions: Mapping[str, Sums]

    def behind(self, other: "Reply") -> bool:
        """Return whether this was told before another reply of the same process."""
        return any(sums.behind(other.revisions[name]) for name, sums in self.revisions.items() if name in other.revisions)


@dataclass(frozen=True)
class Heard:
    """All that was heard of one pod lately: the newest reply of each of its processes, and when the last one came."""

    created: datetime
    at: datetime
    replies: tuple[Reply, ...] = ()

    def hear(self, reply: Reply, at: datetime) -> "Heard":
        """Return it with another reply; one that is older than what was heard before is no news."""
        known = next((each for each in self.replies if each.epoch == reply.epoch), None)
        if known is not None and reply.behind(known):
            return self
        others = [each for each in self.replies if each.epoch != reply.epoch]
        return replace(self, at=at, replies=(*others, reply)[-_EPOCHS_MAX:])


def read(body: bytes, deployment: str, revisions: Collection[str]) -> Reply:
    """Read what a sidecar answered, of some revisions; raises EvidenceError when it cannot be, or cannot be true."""
    try:
        answer = _DECODER.decode(body)
    except msgspec.DecodeError as error:
        raise EvidenceError(f"statistics cannot be read: {error}") from error
    if answer.bucket_salt != f"bucket:{deployment}":
        raise EvidenceError("statistics are those of another deployment")
    found = {name: _sums(answer.columns, told) for name, told in answer.revisions.items() if name in revisions}
    return Reply(answer.epoch, answer.assignment, found)


def _sums(columns: list[str], told: _Told) -> Sums:
    counted = {bucket: Row(*(round(value * _GRAIN) / _GRAIN for value in row)) for bucket, row in rows(columns, told.buckets).items()}
    if wrong := contradiction(counted):
        raise EvidenceError(f"statistics cannot be true: {wrong}")
    try:
        seen = base64.b64decode(told.seen, validate=True)
    except (binascii.Error, ValueError) as error:
        raise EvidenceError(f"the bitmap of units cannot be read: {error}") from error
    if len(seen) > SEEN_BITS // 8:
        raise EvidenceError("the bitmap of units is too long")
    return Sums(told.life, counted, seen)
