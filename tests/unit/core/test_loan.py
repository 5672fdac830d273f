"""Whether stable lends one of its pods: below a bound, not on what is unknown, and not to and fro."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_operator.core.load import Load
from llm_operator.core.loan import LOOK_S, SETTLES_S, Fleet, Loan, lend
from tests.unit.core.builders import NOW

FLEET = Fleet(replicas=4, serving=4, headroom=0.2)
"""Three pods of ten requests carry 24 with a fifth of them free; a pod is lent below 18."""


def after(loads: list[Load], fleet: Fleet = FLEET, before: Loan | None = None, every_s: float = LOOK_S) -> list[Loan]:
    """What is said of one load after the other."""
    said: list[Loan] = []
    for number, load in enumerate(loads):
        before = lend(load, fleet, before, NOW + timedelta(seconds=every_s * number))
        said.append(before)
    return said


def low(times: int) -> list[Load]:
    return [Load(10, 10)] * times


LENT = after(low(14))[-1]
UNKNOWN = Load(unknown="pod a cannot be asked")


def test_a_pod_is_lent_once_the_load_has_been_low_for_a_minute() -> None:
    said = after(low(14))
    assert [each.lent for each in said] == [False] * 12 + [True, True]
    assert [each.reason for each in said[-3:]] == ["LoadSettling", "Lent", "Lent"]
    assert said[0].message == "a pod of stable is lent when 3 of 4 pods have had to carry 18 requests at most for 60s"
    assert LENT.message == "3 of 4 pods can carry the load, up to 24 requests at once"


@pytest.mark.parametrize("load", [Load(40, 10), UNKNOWN])
def test_to_a_rollback_a_pod_is_lent_whatever_the_load_is_unless_it_is_the_only_one(load: Load) -> None:
    said = lend(load, FLEET, None, NOW, back=True)
    assert (said.lent, said.reason, said.message) == (True, "Lent", "a rollback waits for no load")
    assert lend(load, FLEET, said, NOW + timedelta(seconds=600), back=True) == said
    assert not lend(load, replace(FLEET, replicas=1), None, NOW, back=True).lent


def test_a_load_that_rises_for_one_look_begins_the_minute_again() -> None:
    said = after([*low(10), Load(19, 10), *low(12)])
    assert not any(each.lent for each in said)
    assert said[10].message == "19 requests are there, and a pod of stable is lent once 3 of 4 pods have to carry 18 at most"


def test_a_pod_is_given_back_at_the_first_look_at_which_the_others_could_not_carry_the_load_with_headroom() -> None:
    assert after([Load(24, 10)], before=LENT)[-1].lent
    given = after([Load(25, 10)], before=LENT)[-1]
    assert (given.lent, given.reason) == (False, "LoadHigh")


def test_a_load_between_the_bounds_neither_takes_a_pod_nor_gives_one_back() -> None:
    between = [Load(20, 10)] * 50
    assert all(each.lent for each in after(between, before=LENT))
    assert not any(each.lent for each in after(between))


def test_when_a_pod_that_serves_is_lost_those_that_are_left_have_to_carry_it() -> None:
    assert not after([Load(17, 10)], replace(FLEET, serving=2), LENT)[-1].lent
    assert after([Load(16, 10)], replace(FLEET, serving=2), LENT)[-1].lent


def test_what_is_not_known_takes_no_pod_and_is_waited_for_only_a_minute() -> None:
    assert not any(each.lent for each in after([UNKNOWN] * 40))
    lent = [each.lent for each in after([UNKNOWN] * 14, before=LENT)]
    assert lent == [True] * 12 + [False] * 2
    back = after([UNKNOWN] * 3 + low(1), before=LENT)
    assert [each.lent for each in back] == [True] * 4
    assert back[0].message == "the load is not known: pod a cannot be asked"


@pytest.mark.parametrize("replicas", [0, 1])
def test_the_only_replica_is_never_lent(replicas: int) -> None:
    said = after([Load(0, 10)] * 20, replace(FLEET, replicas=replicas, serving=replicas))
    assert {(each.lent, each.reason) for each in said} == {(False, "OnlyReplica")}


def test_nothing_is_told_anew_while_nothing_moves_and_since_is_when_it_began() -> None:
    said = after([Load(30, 10), Load(31, 10), Load(40, 10), Load(41, 10)])
    assert said[0] is not said[1]
    assert (said[0] == said[1], said[1] == said[2], said[2] == said[3]) == (True, False, True)
    assert {each.since for each in said} == {said[0].since}
    assert said[2].message.startswith("40 requests")


def test_what_status_holds_is_read_as_it_was() -> None:
    assert Loan.read(LENT.entry()) == LENT
    assert Loan.read(None) is None


LOADS = st.lists(st.one_of(st.just(UNKNOWN), st.builds(Load, st.integers(0, 60), st.integers(1, 20))), max_size=60)


@given(LOADS, st.integers(1, 6), st.integers(0, 6), st.sampled_from([0.0, 0.2, 0.9]))
def test_whatever_the_load_does_a_pod_is_only_lent_on_what_is_known_and_after_a_quiet_minute(
    loads: list[Load], replicas: int, serving: int, headroom: float
) -> None:
    fleet, quiet_s, before = Fleet(replicas, serving, headroom), 0.0, None
    for number, load in enumerate(loads):
        now = lend(load, fleet, before, NOW + timedelta(seconds=LOOK_S * number))
        fits = not load.unknown and load.requests <= fleet.most(load)
        assert not now.lent or load.unknown or fits, "lent although the others cannot carry it"
        if now.lent and not (before and before.lent):
            assert fits
            assert quiet_s >= SETTLES_S, "lent without a quiet minute"
        quiet_s = quiet_s + LOOK_S if fits else 0.0
        before = now
