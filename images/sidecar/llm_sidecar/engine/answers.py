"""The engine's refusals in the one error shape clients know; it has three of its own."""

from typing import Any

import msgspec

from llm_sidecar.errors import Refusal, error_body

_UNAVAILABLE = 503
_ERROR_STATUSES = range(400, 600)
_SHUTTING_DOWN = b"cannot schedule new futures after shutdown"


def stopping(body: bytes) -> bool:
    """Return whether an error answer says that the engine takes no new requests because it is shutting down."""
    return _SHUTTING_DOWN in body


def stopped() -> Refusal:
    """Return the refusal for an engine that is shutting down."""
    return Refusal(_UNAVAILABLE, "engine_stopping", "the engine is shutting down", retry_after_s=1)


def normalise(status: int, body: bytes) -> tuple[int, bytes]:
    """Return status and body of an error answer as a client gets them."""
    try:
        decoded: Any = msgspec.json.decode(body)
    except msgspec.DecodeError:
        decoded = body[:500].decode(errors="replace")
    if status not in _ERROR_STATUSES:
        return 502, error_body(502, "engine_broken", f"the engine answered with status {status}")
    error = decoded.get("error") if isinstance(decoded, dict) else None
    if isinstance(error, dict) and isinstance(error.get("message"), str):
        return status, body
    text = error or (decoded.get("detail") if isinstance(decoded, dict) else None) or decoded or f"status {status}"
    message = text if isinstance(text, str) else msgspec.json.encode(text).decode()
    return status, error_body(status, "engine_error", message)


def unreachable(reason: str) -> Refusal:
    """Return the refusal for an engine that cannot be reached."""
    return Refusal(_UNAVAILABLE, "engine_unavailable", reason, retry_after_s=1)


def lost(reason: str) -> Refusal:
    """Return the refusal for an engine that went away with a request before one byte of its answer was seen."""
    return Refusal(502, "engine_lost", reason)


def broken(reason: str) -> Refusal:
    """Return the refusal for an engine whose answer cannot be used."""
    return Refusal(502, "engine_broken", reason)
