"""However requests spread over sidecars, together they give out no more than the limit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_sidecar.auth.keys import Limits
from llm_sidecar.auth.quota import OverLimitError, Quota

_requests = st.lists(st.tuples(st.floats(0, 5), st.integers(0, 9), st.integers(0, 90)), max_size=150)


def begins(quota: Quota, sharers: int, now: float) -> bool:
    try:
        quota.begin(sharers, now)
    except OverLimitError:
        return False
    return True


@given(st.integers(1, 5), st.integers(1, 40), _requests)
def test_in_no_minute_more_requests_than_the_limit_or_one_for_each_sidecar(
    sidecars: int, limit: int, requests: list[tuple[float, int, int]]
) -> None:
    quotas = [Quota(Limits(requests_per_minute=limit)) for _ in range(sidecars)]
    now, began = 1000.0, list[float]()
    for pause_s, where, _ in requests:
        now += pause_s
        if begins(quotas[where % sidecars], sidecars, now):
            began.append(now)
            assert sum(now - at < 60 for at in began) <= max(limit, sidecars)


@given(st.integers(1, 5), st.integers(1, 400), _requests)
def test_a_request_begins_only_while_the_tokens_of_a_minute_are_below_the_limit(
    sidecars: int, limit: int, requests: list[tuple[float, int, int]]
) -> None:
    quotas = [Quota(Limits(tokens_per_minute=limit)) for _ in range(sidecars)]
    now, spent = 1000.0, list[tuple[float, int]]()
    for pause_s, where, tokens in requests:
        now += pause_s
        quota = quotas[where % sidecars]
        if begins(quota, sidecars, now):
            last_minute = sum(each for at, each in spent if now - at < 60)
            assert last_minute < max(limit, sidecars) + sidecars * 90, "more than what each one's last request can have cost too much"
            quota.end(tokens, now)
            spent.append((now, tokens))


@given(st.integers(1, 5), st.integers(1, 12), st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=80))
def test_never_more_at_the_same_time_than_the_limit_or_one_for_each_sidecar(
    sidecars: int, limit: int, moves: list[tuple[int, bool]]
) -> None:
    quotas = [Quota(Limits(concurrency=limit)) for _ in range(sidecars)]
    for where, arrives in moves:
        quota = quotas[where % sidecars]
        if arrives:
            begins(quota, sidecars, 1000.0)
        elif quota.running:
            quota.end(0, 1000.0)
        assert sum(each.running for each in quotas) <= max(limit, sidecars)


@given(st.integers(1, 4), st.integers(4, 40), st.integers(1, 4))
def test_one_that_does_not_know_of_all_gives_out_its_share_of_those_it_knows(known: int, limit: int, more: int) -> None:
    quotas = [Quota(Limits(requests_per_minute=limit)) for _ in range(known + more)]
    begun = sum(begins(quota, known, 1000.0) for quota in quotas for _ in range(limit + 1))
    assert begun <= limit * (known + more) / known


def test_a_refusal_names_the_limit_and_says_when_to_come_back() -> None:
    quota = Quota(Limits(requests_per_minute=4))
    assert [begins(quota, 2, 1000.0), begins(quota, 2, 1020.0)] == [True, True]
    with pytest.raises(OverLimitError) as refused:
        quota.begin(2, 1030.0)
    assert (refused.value.status, refused.value.code, refused.value.param) == (429, "key_limit_exceeded", "requestsPerMinute")
    assert "4 requests a minute" in refused.value.message
    assert "each of 2 servers" in refused.value.message
    wait_s = refused.value.retry_after_s
    assert wait_s == 31
    assert begins(quota, 2, 1030.0 + wait_s)


def test_a_request_that_is_undone_was_never_there() -> None:
    quota = Quota(Limits(requests_per_minute=1, concurrency=1))
    quota.undo(quota.begin(1, 1000.0))
    assert begins(quota, 1, 1000.0)


def test_a_limit_that_rises_counts_what_was_used() -> None:
    quota = Quota(Limits(requests_per_minute=1))
    assert [begins(quota, 1, 1000.0), begins(quota, 1, 1000.0)] == [True, False]
    quota.limits = Limits(requests_per_minute=2)
    assert [begins(quota, 1, 1000.0), begins(quota, 1, 1000.0)] == [True, False]


def test_without_limits_nothing_is_refused() -> None:
    quota = Quota(Limits())
    assert all(begins(quota, 3, 1000.0) for _ in range(1000))
