"""What went wrong at an S3 store, read from the client's error: the store's code is the fact, the client's classes are coarser than it."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from obstore.exceptions import PermissionDeniedError, PreconditionError, UnauthenticatedError

from llm_fetcher.errors import FetchError, Reason

_CODE = re.compile(r"<Code>([A-Za-z0-9]{1,64})</Code>")
_STATUS = re.compile(r"status code: (\d{3})")
_CAUSE = re.compile(
    r'(dns error)|message: "([^"]{1,120})"|(UnknownIssuer|NotValidForName|InvalidContentType)|(operation timed out|TimedOut)'
)
_CAUSE_WORDS = {
    "dns error": "the host name in AWS_ENDPOINT_URL cannot be resolved",
    "UnknownIssuer": "the endpoint's certificate is signed by nobody this image trusts",
    "NotValidForName": "the endpoint's certificate is for another name",
    "InvalidContentType": "the endpoint does not speak TLS: write http:// in AWS_ENDPOINT_URL and set AWS_ALLOW_HTTP=true",
    "operation timed out": "the store did not answer in time",
    "TimedOut": "the store did not answer in time",
}
_DENIED_HINTS = {
    "InvalidAccessKeyId": "AWS_ACCESS_KEY_ID is not known there",
    "SignatureDoesNotMatch": "AWS_SECRET_ACCESS_KEY does not belong to AWS_ACCESS_KEY_ID",
    "ExpiredToken": "AWS_SESSION_TOKEN has expired",
    "RequestTimeTooSkewed": "the node's clock is wrong",
    "AccessDenied": "the keys may not list and read it",
}
_NO_KEYS_HINT = (
    "no keys were given, is there a Secret of the name in spec.model.credentials.secretName "
    "with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY?"
)
_WRONG_REGION = frozenset({"AuthorizationHeaderMalformed", "PermanentRedirect", "IllegalLocationConstraintException"})
_GONE = frozenset({"NoSuchKey", "PreconditionFailed", "InvalidRange"})
_PASSING = frozenset({408, 429})
_PASSING_CODES = frozenset({"RequestTimeout", "SlowDown"})
_SERVER_ERROR = 500


@dataclass(frozen=True)
class _Answer:
    """What is known of a failed request: what it was for, whether it had keys, the store's code and status, and the client's own words."""

    what: str
    has_keys: bool
    error: Exception
    text: str
    code: str
    status: int

    @property
    def said(self) -> str:
        return f"{self.status or ''} {self.code}".strip()


def classify(error: Exception, *, what: str, has_keys: bool) -> FetchError:
    """Return the fetcher's error for one of the client's, in words that carry no header, signature or URL of the request."""
    text = str(error)
    answer = _Answer(what, has_keys, error, text, _first(_CODE, text), int(_first(_STATUS, text) or 0))
    return next(found for rule in _RULES if (found := rule(answer)) is not None)


def changed(what: str) -> FetchError:
    """Return the error for something that is no longer what was resolved."""
    return FetchError(
        Reason.SOURCE_CHANGED,
        f"{what} was changed or deleted since it was resolved: put the old files back, or serve the new ones with `kubectl llm refresh` or "
        "spec.model.updatePolicy: Rollout",
    )


def _gone(answer: _Answer) -> FetchError | None:
    if answer.code in _GONE or isinstance(answer.error, PreconditionError | FileNotFoundError):
        return changed(answer.what)
    return None


def _wrong_region(answer: _Answer) -> FetchError | None:
    if answer.code in _WRONG_REGION or answer.status in {301, 307} or "without LOCATION" in answer.text:
        message = f"{answer.what} is in another region: set AWS_REGION in the credentials Secret"
        return FetchError(Reason.SOURCE_MISCONFIGURED, message)
    return None


def _no_bucket(answer: _Answer) -> FetchError | None:
    if answer.code == "NoSuchBucket":
        message = f"{answer.what}: there is no such bucket at this endpoint, check its name and AWS_ENDPOINT_URL"
        return FetchError(Reason.SOURCE_NOT_FOUND, message)
    return None


def _denied(answer: _Answer) -> FetchError | None:
    known = answer.status in {401, 403} or answer.code in _DENIED_HINTS
    if known or isinstance(answer.error, PermissionDeniedError | UnauthenticatedError):
        hint = _DENIED_HINTS.get(answer.code, "check the Secret in spec.model.credentials") if answer.has_keys else _NO_KEYS_HINT
        return FetchError(Reason.SOURCE_DENIED, f"{answer.what} is refused by the store ({answer.said}): {hint}")
    return None


def _bad_key(answer: _Answer) -> FetchError | None:
    if "Error parsing Path" in answer.text or "empty path segment" in answer.text:
        message = f"{answer.what} holds a key that is no relative path ('..', '.', '//' or control characters): rename that object"
        return FetchError(Reason.UNSAFE_PATH, message)
    return None


def _odd_answer(answer: _Answer) -> FetchError | None:
    passing = answer.status in _PASSING or answer.code in _PASSING_CODES
    if answer.status and not passing and answer.status < _SERVER_ERROR:
        message = f"{answer.what} is answered with {answer.said}: is AWS_ENDPOINT_URL an S3 service?"
        return FetchError(Reason.SOURCE_MISCONFIGURED, message)
    return None


def _unreachable(answer: _Answer) -> FetchError | None:
    cause = f"the store answered {answer.said}" if answer.status else _cause(answer.text)
    return FetchError(Reason.SOURCE_UNREACHABLE, f"{answer.what} cannot be read now: {cause}", transient=True)


_RULES: tuple[Callable[[_Answer], FetchError | None], ...] = (
    _gone,
    _wrong_region,
    _no_bucket,
    _denied,
    _bad_key,
    _odd_answer,
    _unreachable,
)


def _cause(text: str) -> str:
    found = _CAUSE.search(text)
    words = next((group for group in found.groups() if group), "") if found else ""
    return _CAUSE_WORDS.get(words, words) or "the connection failed or broke off"


def _first(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    return found.group(1) if found else ""
