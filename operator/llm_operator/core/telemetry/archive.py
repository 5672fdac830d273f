"""The ConfigMap that keeps a record while its rollout lasts: who it is about in plain words, the sums packed."""

import base64
import binascii
import zlib
from collections.abc import Mapping
from typing import Any

import msgspec

from llm_operator.core.clock import stamp
from llm_operator.core.gates.evidence import Evidence
from llm_operator.core.gates.likelihood import GRID
from llm_operator.core.gates.sums import BUCKETS
from llm_operator.core.telemetry.record import Record

SIZE_MAX = 900 * 1024
"""A ConfigMap holds 1 MiB."""

_KEY = "record"
_VERSION = "1"
_UNPACKED_MAX = 64 * 1024 * 1024
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Record)

Content = dict[str, dict[str, str]]
"""``data`` and ``binaryData`` of the ConfigMap."""


def pack(record: Record) -> Content | None:
    """Return what the ConfigMap holds, or None when it would be too large: the record is that of too many pods."""
    packed = zlib.compress(_encoder.encode(record), level=6)
    if len(packed) > SIZE_MAX:
        return None
    about = {
        "schemaVersion": _VERSION,
        "rollout": record.rollout,
        "canary": record.canary,
        "stable": record.stable,
        "until": stamp(record.until),
    }
    return {"data": about, "binaryData": {_KEY: base64.b64encode(packed).decode()}}


def unpack(content: Mapping[str, Any]) -> Record | None:
    """Read a ConfigMap; None when there is nothing in it that can be read: then evidence begins anew, which promotes nothing too early."""
    if (content.get("data") or {}).get("schemaVersion") != _VERSION:
        return None
    try:
        packed = base64.b64decode((content.get("binaryData") or {})[_KEY], validate=True)
        unpacking = zlib.decompressobj()
        record = _decoder.decode(unpacking.decompress(packed, _UNPACKED_MAX))
    except (KeyError, binascii.Error, zlib.error, msgspec.MsgspecError, ValueError):
        return None
    return record if _whole(record.evidence) else None


def _whole(evidence: Evidence) -> bool:
    """Return whether every sum has all its buckets."""
    totals = (evidence.canary, evidence.stable, evidence.before.totals, evidence.beside.totals)
    contrasts = (evidence.ttft, evidence.tpot, evidence.prompt)
    likelihoods = (evidence.errors, evidence.units)
    buckets = [
        *(part for each in totals for part in (each.n, each.total)),
        *(part for each in contrasts for part in (each.base, each.excess, each.spread, each.weight)),
    ]
    return all(len(each) == BUCKETS for each in buckets) and all(len(each.logs) == len(GRID) for each in likelihoods)
