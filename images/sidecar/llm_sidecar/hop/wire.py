"""What one sidecar says to another: header names, and which of them are believed. From outside they mean nothing."""

import base64
import binascii
import hmac
from collections.abc import Mapping, Sequence

from llm_sidecar.engine.client import request_head

PREFIX = b"x-llm-"
PING = b"/-/hop"
"""Path on the public port that says whether this pod takes requests."""

DEADLINE = "x-request-deadline"
"""Header with the time, in seconds since 1970, after which the client does not wait any longer; it goes along with the request."""

TOKEN = b"x-llm-pod-token"
UNSERVED = b"x-llm-unserved"
"""Header of an answer to a hop: no byte of an engine's answer was seen, for the reason it gives, so another may be asked."""

LOAD = b"x-llm-load"
"""Header of an answer to a hop: requests for each slot of the pod that gives it."""

_HAND_OFF = b"x-llm-hand-off"
_SHADOW = b"x-llm-shadow"
_KEY = b"x-llm-key"
_FORCED = b"x-llm-forced"
_HOP = b"x-llm-hop"
_PREVIEW = b"x-llm-preview"
_REVISION = b"x-llm-revision"
_UNIT = b"x-llm-unit"

# They describe one connection, or are set anew on each.
_NOT_PASSED_ON = frozenset(
    {b"connection", b"content-length", b"content-type", b"date", b"keep-alive", b"server", b"transfer-encoding", b"x-request-id"}
)


def trusted(marks: Mapping[bytes, bytes], token: bytes) -> bool:
    """Return whether these headers come from a pod of this deployment."""
    return hmac.compare_digest(marks.get(TOKEN, b""), token)


def asked_revision(marks: Mapping[bytes, bytes], token: bytes) -> str:
    """Return the revision another sidecar asks this one to serve; empty for a client's request, whatever headers it has."""
    if marks.get(_HOP) != b"1" or not trusted(marks, token):
        return ""
    return marks.get(_REVISION, b"").decode("ascii", errors="replace") or "none"


def key_of(marks: Mapping[bytes, bytes]) -> str:
    """Return the id of the API key that was shown at the first of a trusted hop; empty where none was asked for."""
    return marks.get(_KEY, b"").decode("ascii", errors="replace")


def unit_of(marks: Mapping[bytes, bytes]) -> bytes:
    """Return the unit that the first of a trusted hop has assigned; nothing from a sidecar of an earlier version."""
    try:
        return base64.b64decode(marks.get(_UNIT, b""), validate=True)
    except binascii.Error:
        return b""


def is_handed_off(marks: Mapping[bytes, bytes]) -> bool:
    """Return whether a trusted hop only wants a slot that is free: the pod it comes from is full, and has a queue of its own."""
    return marks.get(_HAND_OFF) == b"1"


def says_hop(headers: Sequence[tuple[bytes, bytes]]) -> bool:
    """Return whether a request says that it comes from another sidecar; it may be a client that says so."""
    return any(name == _HOP for name, _ in headers)


def is_copy(marks: Mapping[bytes, bytes]) -> bool:
    """Return whether a trusted hop is a copy of a request that somebody else has answered."""
    return marks.get(_SHADOW) == b"1"


def previewed(marks: Mapping[bytes, bytes]) -> str:
    """Return the revision a client wants to be served by; to be believed only with a key that permits it."""
    return marks.get(_PREVIEW, b"").decode("ascii", errors="replace")


def is_forced(marks: Mapping[bytes, bytes]) -> bool:
    """Return whether a trusted hop brings a request to another revision than it is assigned to: that one is no sample of its units."""
    return marks.get(_FORCED) == b"1"


def hop_head(
    method: str,
    path: bytes,
    length: int,
    *,
    token: bytes,
    revision: str,
    generation: int,
    request_id: bytes,
    key: str,
    unit: bytes,
    headers: tuple[tuple[str, str], ...],
    hand_off: bool = False,
    forced: bool = False,
    copy: bool = False,
) -> bytes:
    """Return the first bytes of a request handed to another sidecar."""
    marks = (
        *(((_HAND_OFF.decode(), "1"),) if hand_off else ()),
        *(((_KEY.decode(), key),) if key else ()),
        *(((_FORCED.decode(), "1"),) if forced else ()),
        *(((_SHADOW.decode(), "1"),) if copy else ()),
        ("x-llm-hop", "1"),
        ("x-llm-pod-token", token.decode()),
        ("x-llm-revision", revision),
        ("x-llm-generation", str(generation)),
        (_UNIT.decode(), base64.b64encode(unit).decode()),
        ("x-request-id", request_id.decode()),
    )
    return request_head(method, path.decode(), (*marks, *headers), length, host="sidecar")


def ping_head(token: bytes) -> bytes:
    """Return the request that asks a sidecar whether it takes requests."""
    return request_head("GET", PING.decode(), (("x-llm-pod-token", token.decode()),), 0, host="sidecar")


def passed_on(headers: Mapping[bytes, bytes]) -> tuple[tuple[bytes, bytes], ...]:
    """Return the headers of an answer that the client gets as they are."""
    return tuple((name, value) for name, value in headers.items() if name not in _NOT_PASSED_ON and name not in {_REVISION, UNSERVED, LOAD})
