"""What can go wrong between the operator and the API server, by what there is to do about it."""


class ApiError(Exception):
    """A request to the API server that failed. ``message`` is the server's own sentence, fit to be shown to users."""

    def __init__(self, status: int, reason: str, message: str, what: str = "") -> None:
        super().__init__(f"{what}: {message}" if what else message)
        self.status = status
        self.reason = reason
        self.message = message
        self.what = what


class NotFoundError(ApiError):
    """The object, or its kind, is not there."""


class ConflictError(ApiError):
    """Someone else was faster or owns the field: read again and compute again."""


class RejectedError(ApiError):
    """The server understood and refused; the same request is refused again until something else changes."""


class ForbiddenError(RejectedError):
    """A right, a quota or an admission check is missing."""


class InvalidError(RejectedError):
    """The object is not acceptable: schema, rule, policy."""


class TerminatingError(ForbiddenError):
    """The namespace is going away, so nothing new may appear in it."""


class TransientError(ApiError):
    """Server or network trouble: nothing is wrong with the request. ``retry_after_s`` is set when the server asked for patience."""

    def __init__(self, status: int, reason: str, message: str, what: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(status, reason, message, what)
        self.retry_after_s = retry_after_s


class FencedError(TransientError):
    """Nothing was sent: this process does not lead any more."""


class StaleError(TransientError):
    """The server answered with a state from before one that is known: it is asked again."""


class ExpiredError(TransientError):
    """A continue token that is too old: the list starts again from its first page."""


_STALE = ("uid mismatch", "metadata.uid: Invalid value", "the UID in the precondition", "the object has been modified")
_TERMINATING = ("because it is being terminated", "NamespaceTerminating")
_FORBIDDEN = 403
_BY_STATUS: dict[int, type[ApiError]] = {
    400: InvalidError,
    403: ForbiddenError,
    404: NotFoundError,
    405: InvalidError,
    409: ConflictError,
    410: ExpiredError,
    412: ConflictError,
    413: InvalidError,
    415: InvalidError,
    422: InvalidError,
}


def from_response(status: int, reason: str, message: str, what: str, retry_after_s: float | None = None) -> ApiError:
    """Return the error an answer of the API server stands for.

    A uid that does not match arrives as 409 or as 422, and a denying admission policy as 422 too, so the message has to tell.
    """
    if any(sign in message for sign in _STALE):
        return ConflictError(status, reason, message, what)
    if status == _FORBIDDEN and any(sign in message for sign in _TERMINATING):
        return TerminatingError(status, reason, message, what)
    if error := _BY_STATUS.get(status):
        return error(status, reason, message, what)
    return TransientError(status, reason, message, what, retry_after_s)
