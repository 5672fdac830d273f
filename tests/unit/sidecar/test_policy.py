"""A verdict is not an action: the policy decides."""

import pytest

from llm_sidecar.policy import Bypass, Policy, Refuse, Trouble, name_of, on_trouble, on_verdict
from llm_sidecar.stages import ALLOW, Allow, Block, Modify

CLOSED = Policy("pii")
OPEN = Policy("pii", fail_open=True, error_open=True)


def test_what_is_allowed_or_modified_goes_on_under_any_policy() -> None:
    for verdict in (ALLOW, Allow(("email",)), Modify("x")):
        assert on_verdict(CLOSED, verdict) is None
        assert on_verdict(OPEN, verdict) is None


def test_what_is_blocked_ends_the_request_or_passes_by_the_policy() -> None:
    assert on_verdict(CLOSED, Block("email", field="a")) == Refuse(400, "content_filter", "email", "a")
    assert on_verdict(OPEN, Block("email")) == Bypass("blocked")


@pytest.mark.parametrize(
    ("trouble", "status", "code"), [("error", 503, "stage_failed"), ("garbage", 503, "stage_failed"), ("timeout", 504, "stage_timeout")]
)
def test_a_stage_of_no_use_ends_the_request_or_is_left_out_by_the_policy(trouble: Trouble, status: int, code: str) -> None:
    refuse = on_trouble(CLOSED, trouble)
    assert isinstance(refuse, Refuse)
    assert (refuse.status, refuse.code) == (status, code)
    assert on_trouble(OPEN, trouble) == Bypass(trouble)


def test_each_policy_is_about_one_thing() -> None:
    assert on_trouble(Policy("pii", fail_open=True), "error") != Bypass("error")
    assert on_verdict(Policy("pii", error_open=True), Block("x")) != Bypass("blocked")


def test_verdicts_have_names() -> None:
    assert [name_of(each) for each in (ALLOW, Allow(("a",)), Modify("a"), Block("a"))] == ["allow", "tag", "modify", "block"]
