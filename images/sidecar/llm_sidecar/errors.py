"""Refusals: every answer that is not the engine's has OpenAI's error shape, a status and a code a program can act on."""

from collections.abc import Sequence

import orjson

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "timeout_error",
    413: "invalid_request_error",
    415: "invalid_request_error",
    421: "revision_not_here",
    422: "invalid_request_error",
    429: "rate_limit_error",
    431: "invalid_request_error",
    499: "client_closed_request",
    504: "timeout_error",
}


BUSY = frozenset({"queue_full", "queue_timeout"})
"""Codes of refusals that say: this engine has as much as it can take."""

NOT_BEGUN = BUSY | {"revision_not_here", "draining", "shutting_down", "no_revision", "engine_unavailable", "engine_stopping"}
"""Codes of refusals that say: no engine has begun this request, so any other may have it."""

LOST = frozenset({"engine_lost", "engine_aborted"})
"""Codes of refusals that say: an engine had this request, and nothing of its answer was seen. It may be asked for once more."""


class Refusal(Exception):  # noqa: N818  # it is an answer, not a failure
    """Ends a request with this status; ``param`` names the request field at fault, ``stage`` the stage of the pipeline that says so."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        stage: str | None = None,
        retry_after_s: int | None = None,
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        self.stage = stage
        self.retry_after_s = retry_after_s
        self.headers = headers

    def body(self) -> bytes:
        """Return the JSON body."""
        return error_body(self.status, self.code, self.message, self.param, self.stage)


def error_body(status: int, code: str, message: str, param: str | None = None, stage: str | None = None) -> bytes:
    """Return an OpenAI-shaped error as JSON."""
    kind = _TYPES.get(status, "server_error")
    return orjson.dumps({"error": {"message": message, "type": kind, "param": param, "code": code, "stage": stage}})


def error_event(refusal: Refusal) -> bytes:
    """Return what ends a stream that cannot go on: the error as an event, then the end mark clients wait for."""
    return b"data: " + refusal.body() + b"\n\ndata: [DONE]\n\n"
