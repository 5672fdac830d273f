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

STAGES = {
    "http": ("headers_too_large", "head_timeout", "invalid_http", "invalid_target", "upgrade_not_supported"),
    "route": ("method_not_allowed", "not_found"),
    "auth": ("api_key_invalid", "api_key_missing", "key_limit_exceeded", "keys_unavailable"),
    "limits": (
        *("body_timeout", "body_too_large", "deadline_exceeded", "invalid_deadline", "limit_exceeded", "too_deep", "too_many_items"),
        "total_timeout",
    ),
    "request": ("encoding_not_supported", "field_not_allowed", "invalid_json", "invalid_type", "prompt_not_text", "type_not_supported"),
    "prompt": ("invalid_variables", "no_text", "no_user_message", "prompt_not_rendered", "unknown_variable"),
    "admission": (
        *("bodies_full", "draining", "hold_full", "hold_timeout", "queue_full", "queue_timeout", "shutting_down", "start_failed"),
    ),
    "routing": ("no_revision", "revision_not_here", "revision_not_live"),
    "engine": (
        *("context_length_exceeded", "engine_aborted", "engine_broken", "engine_error", "engine_lost", "engine_refused", "engine_stopping"),
        *("engine_timeout", "engine_unavailable", "model_not_found"),
    ),
    "sidecar": ("internal_error",),
}
"""Where on its way a request ends, and the codes that say so. What a stage of the pipeline says has that stage's name instead."""

_STAGE_OF = {code: stage for stage, codes in STAGES.items() for code in codes}


BUSY = frozenset({"bodies_full", "queue_full", "queue_timeout"})
"""Codes of refusals that say: this engine, or the sidecar beside it, has as much as it can take."""

NOT_BEGUN = BUSY | {"revision_not_here", "draining", "shutting_down", "no_revision", "engine_unavailable", "engine_stopping"}
"""Codes of refusals that say: no engine has begun this request, so any other may have it."""

LOST = frozenset({"engine_lost", "engine_aborted"})
"""Codes of refusals that say: an engine had this request, and nothing of its answer was seen. It may be asked for once more."""


class Refusal(Exception):  # noqa: N818  # it is an answer, not a failure
    """Ends a request with this status; ``param`` names the request field at fault, ``stage`` the pipeline's stage that says so."""

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

    def kept(self) -> "Refusal":
        """Return it as it can be kept, and raised from where it is kept: one that was raised holds all the frames it went through."""
        return Refusal(
            self.status,
            self.code,
            self.message,
            param=self.param,
            stage=self.stage,
            retry_after_s=self.retry_after_s,
            headers=self.headers,
        )

    def body(self) -> bytes:
        """Return the JSON body."""
        return error_body(self.status, self.code, self.message, self.param, self.stage)


def error_body(status: int, code: str, message: str, param: str | None = None, stage: str | None = None) -> bytes:
    """Return an OpenAI-shaped error as JSON."""
    kind = _TYPES.get(status, "server_error")
    where = stage or _STAGE_OF.get(code)
    return orjson.dumps({"error": {"message": message, "type": kind, "param": param, "code": code, "stage": where}})


def error_event(refusal: Refusal) -> bytes:
    """Return what ends a stream that cannot go on: the error as an event, then the end mark clients wait for."""
    return event(refusal.body())


def event(error: bytes) -> bytes:
    """Return an error in JSON as the last event of a stream; line ends in it say nothing there, and would end the event."""
    return b"data: " + error.translate(None, b"\r\n") + b"\n\ndata: [DONE]\n\n"


def given_up() -> Refusal:
    """Return the refusal for an answer that the engine has cut short; it says so only in the body, with status 200."""
    return Refusal(503, "engine_aborted", "the engine gave this request up before its answer was complete", retry_after_s=1)
