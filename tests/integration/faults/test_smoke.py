"""A few plans of each sort against the operator itself; `make soak-faults` carries out all of them."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.lab.faults import generating, sweep
from tests.lab.faults.runs import Outcome, Surroundings

pytestmark = pytest.mark.timeout(900)

SHORT = [name for name in sweep.STRUCK if name not in generating.STATES]
"""Workloads that take some seconds; those that go through every state of a rollout wait for users on their way."""


@pytest.fixture(scope="module")
def outcomes(in_lab: Callable[..., Any]) -> list[Outcome]:
    async def work(around: Surroundings) -> list[Outcome]:
        known = await sweep.lessons(around, (*SHORT, "damage"))
        struck = {name: lesson for name, lesson in known.items() if name in SHORT}
        return await sweep.sweep(around, known, generating.smoke(struck), told=sweep.tell)

    found: list[Outcome] = in_lab(work)
    return found


def test_no_fault_leaves_a_trace(outcomes: list[Outcome]) -> None:
    assert {each.plan.id: each.violations for each in outcomes if each.violations} == {}


def test_nearly_every_plan_strikes(outcomes: list[Outcome]) -> None:
    """What never struck counts for nothing; a status that was written once more or less moves a few triggers out of reach."""
    assert len([each for each in outcomes if each.counts]) >= 20
    assert {each.plan.action.do for each in outcomes if each.counts} >= {"kill", "status", "outage", "away"}


def test_a_killed_operator_is_really_killed_and_comes_back(outcomes: list[Outcome]) -> None:
    killed = [each for each in outcomes if each.counts and each.plan.action.do == "kill"]
    assert {each.plan.trigger.phase for each in killed} == {"before", "after"}
    assert all(each.kills == 1 for each in killed)
