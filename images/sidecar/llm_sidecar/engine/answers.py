"""The engine's refusals in the one error shape clients know; it has three of its own."""

from typing import Any

import msgspec

from llm_sidecar.errors import Refusal, error_body

_BAD_REQUEST, _NOT_FOUND, _SERVER_ERROR, _UNAVAILABLE = 400, 404, 500, 503
_TOO_LONG = "input_tokens"  # what vLLM names instead of a field
_TOO_MANY = "cannot be greater than max_model_len"  # what it says where the answer alone would not fit
_ERROR_STATUSES = range(400, 600)
_SHUTTING_DOWN = b"cannot schedule new futures after shutdown"


def stopping(body: bytes) -> bool:
    """Return whether an error answer says that the engine takes no new requests because it is shutting down."""
    return _SHUTTING_DOWN in body


def stopped() -> Refusal:
    """Return the refusal for an engine that is shutting down."""
    return Refusal(_UNAVAILABLE, "engine_stopping", "the engine is shutting down", retry_after_s=1)


def normalise(status: int, body: bytes, field: str | None = None, *, prompted: bool = False) -> tuple[int, bytes]:
    """Return status and body of an error answer as a client gets them.

    ``field`` is where the client's text was, ``prompted`` whether the revision has put more around it: then it takes part of the context.
    """
    try:
        decoded: Any = msgspec.json.decode(body)
    except msgspec.DecodeError:
        decoded = body[:500].decode(errors="replace")
    if status not in _ERROR_STATUSES:
        return 502, error_body(502, "engine_broken", f"the engine answered with status {status}")
    error = decoded.get("error") if isinstance(decoded, dict) else None
    if isinstance(error, dict) and isinstance(error.get("message"), str):
        return status, _refused(status, error["message"], error.get("param"), field, prompted=prompted)
    text = error or (decoded.get("detail") if isinstance(decoded, dict) else None) or decoded or f"status {status}"
    message = text if isinstance(text, str) else msgspec.json.encode(text).decode()
    return status, error_body(status, "engine_error", message)


def _refused(status: int, message: str, param: Any, field: str | None, *, prompted: bool) -> bytes:
    if status == _BAD_REQUEST and (param == _TOO_LONG or "maximum context length" in message):
        more = " The prompt of this revision, which is put around the client's text, takes its part of that." if prompted else ""
        return error_body(status, "context_length_exceeded", message + more, field)
    where = param.removeprefix("body.") if isinstance(param, str) else None
    if status == _BAD_REQUEST and _TOO_MANY in message:
        return error_body(status, "context_length_exceeded", message, where)
    if status == _NOT_FOUND and where == "model":
        return error_body(status, "model_not_found", message, where)
    return error_body(status, "engine_refused" if status < _SERVER_ERROR else "engine_error", message, where)


def unreachable(reason: str) -> Refusal:
    """Return the refusal for an engine that cannot be reached."""
    return Refusal(_UNAVAILABLE, "engine_unavailable", reason, retry_after_s=1)


def lost(reason: str) -> Refusal:
    """Return the refusal for an engine that went away with a request before one byte of its answer was seen."""
    return Refusal(502, "engine_lost", reason)


def broken(reason: str) -> Refusal:
    """Return the refusal for an engine whose answer cannot be used."""
    return Refusal(502, "engine_broken", reason)
