"""The record of one rollout: what was counted so far, up to which reply of each process, and the evidence in it.

Counters of sidecars only grow, so what matters of each process is its newest reply. What was counted of it before is subtracted; so it is
all the same how often, in what order and by which operator the replies were asked for.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from operator import sub

from llm_operator.core.gates.evidence import Evidence, Minute, sightings
from llm_operator.core.gates.sums import Row, Rows, added
from llm_operator.core.telemetry.replies import NOTHING, SEEN_BITS, Heard, Sums

MINUTE = timedelta(seconds=60)
_ZERO = Row()


@dataclass(frozen=True)
class Counted:
    """What was counted of one process, and the pod it was last heard from."""

    pod: str
    revisions: Mapping[str, Sums] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """``counted`` is by epoch. ``seen`` are the units that either arm had, ``share`` is the canary's at the end of a minute."""

    rollout: str
    canary: str
    stable: str
    began: datetime
    evidence: Evidence
    share: float | None = 0.0
    seen: bytes = b""
    counted: Mapping[str, Counted] = field(default_factory=dict)

    @property
    def until(self) -> datetime:
        """Return the end of the last minute."""
        return self.evidence.last or self.began

    def due_s(self, now: datetime) -> float:
        """Return in how many seconds the minute is over."""
        return (self.until + MINUTE - now).total_seconds()


def begin(rollout: str, canary: str, stable: str, warm_up: int, heard: Mapping[str, Heard], now: datetime) -> Record:
    """Return a record that counts from now on: what the processes have counted already was before."""
    record = Record(rollout, canary, stable, now, Evidence(warm_up=warm_up))
    return replace(record, counted=_advance(record, heard)[0])


def fold(record: Record, heard: Mapping[str, Heard], pods: Collection[str], share: float | None, now: datetime) -> Record:
    """Return the record with the minute that ends now. ``share`` is the canary's of all units, None where pods do not agree on one.

    Units are only looked for from when the canary has a share. So those that are seen by the end of its first minute were assigned by that
    share, although it had none when the minute began.
    """
    counted, grown = _advance(record, heard)
    canary, stable = added(grown[record.canary]), added(grown[record.stable])
    mine = [reply for told in heard.values() for reply in told.replies if reply.assignment == record.rollout]
    units = [_union(reply.revisions.get(arm, NOTHING).seen for reply in mine) for arm in (record.canary, record.stable)]
    kept = share if record.share in {0.0, share} else None
    sighted, fair = sightings(record.seen, units[0], units[1], kept, SEEN_BITS)
    return replace(
        record,
        evidence=record.evidence.add(Minute(now, canary, stable, fair, sighted, share if share == record.share else None)),
        share=share,
        seen=_union((record.seen, *units)),
        counted={epoch: each for epoch, each in counted.items() if each.pod in pods or each.pod in heard},
    )


def _advance(record: Record, heard: Mapping[str, Heard]) -> tuple[dict[str, Counted], dict[str, list[Rows]]]:
    """Return what is counted after the newest replies, and by how much each arm has grown."""
    counted = dict(record.counted)
    grown: dict[str, list[Rows]] = {record.canary: [], record.stable: []}
    known = {each.pod for each in counted.values()}
    for pod, told in sorted(heard.items()):
        for reply in told.replies:
            before = counted.get(reply.epoch)
            # A process that nobody has heard of counts as a whole where it began after the record; else what it has was before.
            anew = before is None and (pod in known or told.created > record.began)
            revisions = dict(before.revisions) if before else {}
            for revision, increments in grown.items():
                sums = reply.revisions.get(revision)
                if sums is None:
                    continue
                base = revisions.get(revision, NOTHING) if before or anew else sums
                if not sums.behind(base):
                    increments.append(_difference(sums, base))
                    revisions[revision] = replace(sums, seen=b"")
            counted[reply.epoch] = Counted(pod, revisions)
    return counted, grown


def _difference(sums: Sums, base: Sums) -> Rows:
    earlier = base.rows if sums.life == base.life else {}
    rows = {bucket: Row(*map(sub, row, earlier.get(bucket, _ZERO))) for bucket, row in _all(sums.rows, earlier)}
    return {bucket: row for bucket, row in rows.items() if any(row)}


def _all(rows: Rows, earlier: Rows) -> Iterator[tuple[int, Row]]:
    """Yield the rows of a reply; one that it has lost is there as nothing, so that it is noticed."""
    yield from rows.items()
    yield from ((bucket, _ZERO) for bucket in earlier.keys() - rows.keys())


def _union(bitmaps: Iterator[bytes] | tuple[bytes, ...]) -> bytes:
    union = 0
    for each in bitmaps:
        union |= int.from_bytes(each, "little")
    return union.to_bytes(SEEN_BITS // 8, "little")
