import pytest

from llm_operator.shell import errors

UID = "7a77aaaa-0000-0000-0000-000000000000"


@pytest.mark.parametrize(
    ("status", "message", "expected"),
    [
        (404, 'configmaps "x" not found', errors.NotFoundError),
        (409, 'Apply failed with 1 conflict: conflict with "kubectl": .data.a', errors.ConflictError),
        (409, 'Operation cannot be fulfilled on configmaps "x": the object has been modified', errors.ConflictError),
        (
            409,
            f'configmaps "y": uid mismatch: the provided object specified uid {UID}',
            errors.ConflictError,
        ),
        (422, f'ConfigMap "x" is invalid: metadata.uid: Invalid value: "{UID}": field is immutable', errors.ConflictError),
        (422, "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no", errors.InvalidError),
        (422, 'Deployment.apps "d" is invalid: spec.selector: Required value', errors.InvalidError),
        (400, "the body cannot be parsed", errors.InvalidError),
        (403, 'services is forbidden: User "op" cannot create resource', errors.ForbiddenError),
        (403, 'pods "x" is forbidden: exceeded quota: q', errors.ForbiddenError),
        (
            403,
            'configmaps "x" is forbidden: namespace n cannot take it because it is being terminated',
            errors.TerminatingError,
        ),
        (410, "The provided continue parameter is too old", errors.ExpiredError),
        (401, "Unauthorized", errors.TransientError),
        (429, "too many requests", errors.TransientError),
        (500, "etcdserver: request timed out", errors.TransientError),
        (503, "apiserver is shutting down", errors.TransientError),
        (504, "Timeout", errors.TransientError),
    ],
)
def test_an_answer_is_classified_by_what_there_is_to_do_about_it(status: int, message: str, expected: type[errors.ApiError]) -> None:
    assert type(errors.from_response(status, "", message, "PATCH /x")) is expected


def test_the_servers_patience_is_kept() -> None:
    error = errors.from_response(429, "TooManyRequests", "slow down", "GET /x", 7.0)
    assert isinstance(error, errors.TransientError)
    assert error.retry_after_s == 7.0


def test_an_error_says_what_was_asked_and_what_the_server_said() -> None:
    error = errors.from_response(403, "Forbidden", "exceeded quota", "PATCH /apis/apps/v1/x")
    assert str(error) == "PATCH /apis/apps/v1/x: exceeded quota"
    assert error.message == "exceeded quota"
    assert isinstance(error, errors.RejectedError)
