import pytest
from obstore.exceptions import BaseError, GenericError, PermissionDeniedError, PreconditionError, UnauthenticatedError

from llm_fetcher.errors import Reason
from llm_fetcher.s3_errors import classify


def _answered(status: int, code: str) -> GenericError:
    return GenericError(
        "Generic S3 error: Error performing list request: Error performing GET http://10.0.0.1/m?list-type=2 in 1ms - Server returned "
        f"non-2xx status code: {status} Oh: <Error><Code>{code}</Code><Message>secret-looking-thing</Message></Error>\n\nDebug source: …"
    )


@pytest.mark.parametrize(
    ("error", "reason", "words"),
    [
        (_answered(404, "NoSuchBucket"), Reason.SOURCE_NOT_FOUND, "no such bucket"),
        (_answered(403, "InvalidAccessKeyId"), Reason.SOURCE_DENIED, "AWS_ACCESS_KEY_ID is not known"),
        (_answered(403, "SignatureDoesNotMatch"), Reason.SOURCE_DENIED, "AWS_SECRET_ACCESS_KEY does not belong"),
        (_answered(403, "AccessDenied"), Reason.SOURCE_DENIED, "the keys may not list and read it"),
        (_answered(400, "ExpiredToken"), Reason.SOURCE_DENIED, "AWS_SESSION_TOKEN has expired"),
        (_answered(403, "SomethingNew"), Reason.SOURCE_DENIED, "403 SomethingNew"),
        (_answered(401, ""), Reason.SOURCE_DENIED, "model.credentials"),
        (PermissionDeniedError("no"), Reason.SOURCE_DENIED, "model.credentials"),
        (UnauthenticatedError("no"), Reason.SOURCE_DENIED, "model.credentials"),
        (_answered(301, "PermanentRedirect"), Reason.SOURCE_MISCONFIGURED, "set AWS_REGION"),
        (_answered(400, "AuthorizationHeaderMalformed"), Reason.SOURCE_MISCONFIGURED, "set AWS_REGION"),
        (_answered(400, ""), Reason.SOURCE_MISCONFIGURED, "is AWS_ENDPOINT_URL an S3 service?"),
        (_answered(405, "MethodNotAllowed"), Reason.SOURCE_MISCONFIGURED, "405 MethodNotAllowed"),
        (_answered(404, "NoSuchKey"), Reason.SOURCE_CHANGED, "since it was resolved"),
        (_answered(416, "InvalidRange"), Reason.SOURCE_CHANGED, "since it was resolved"),
        (FileNotFoundError("Object at location x not found"), Reason.SOURCE_CHANGED, "since it was resolved"),
        (PreconditionError("Request precondition failure"), Reason.SOURCE_CHANGED, "since it was resolved"),
        (GenericError('Error parsing Path "../x": Encountered illegal character sequence'), Reason.UNSAFE_PATH, "rename that object"),
    ],
)
def test_an_error_that_will_not_pass_is_named_with_the_way_out(error: Exception, reason: Reason, words: str) -> None:
    found = classify(error, what="s3://models/x", has_keys=True)
    assert (found.reason, found.transient) == (reason, False)
    assert words in found.message
    assert "s3://models/x" in found.message


@pytest.mark.parametrize("error", [_answered(403, "AccessDenied"), _answered(401, ""), PermissionDeniedError("no")])
def test_who_has_no_keys_is_asked_for_the_secret_and_not_for_the_rights_of_the_keys(error: Exception) -> None:
    found = classify(error, what="s3://models/x", has_keys=False)
    assert (found.reason, found.transient) == (Reason.SOURCE_DENIED, False)
    assert found.message.endswith(
        "no keys were given, is there a Secret of the name in spec.model.credentials.secretName "
        "with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY?"
    )


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (_answered(503, "SlowDown"), "the store answered 503 SlowDown"),
        (_answered(500, "InternalError"), "the store answered 500 InternalError"),
        (_answered(429, ""), "the store answered 429"),
        (_answered(400, "RequestTimeout"), "the store answered 400 RequestTimeout"),
        (GenericError('ConnectError("tcp connect error", Os { message: "Connection refused" })'), "Connection refused"),
        (GenericError('ConnectError("dns error", Custom { error: "failed to lookup address" })'), "host name in AWS_ENDPOINT_URL"),
        (GenericError("error: InvalidCertificate(UnknownIssuer)"), "certificate is signed by nobody"),
        (GenericError("HTTP error: operation timed out"), "did not answer in time"),
        (BaseError("something else"), "failed or broke off"),
        (OSError("broken pipe"), "failed or broke off"),
    ],
)
def test_an_error_that_may_pass_is_transient_and_says_what_happened(error: Exception, words: str) -> None:
    found = classify(error, what="s3://models/x", has_keys=True)
    assert (found.reason, found.transient) == (Reason.SOURCE_UNREACHABLE, True)
    assert words in found.message


def test_nothing_of_the_request_or_of_the_answers_body_is_repeated() -> None:
    message = classify(_answered(403, "SignatureDoesNotMatch"), what="s3://models/x", has_keys=True).message
    assert "secret-looking-thing" not in message
    assert "10.0.0.1" not in message
