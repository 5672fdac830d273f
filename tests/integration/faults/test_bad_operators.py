"""The lab finds out operators with mistakes that real ones have had: a lab that finds nothing proves nothing."""

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.lab.faults import generating, sweep
from tests.lab.faults.learning import UncleanError
from tests.lab.faults.runs import Outcome, Surroundings

pytestmark = pytest.mark.timeout(300)

_LIMIT_S = 6.0
"""These operators do their work within a second; what they have not done then they will never do."""


def found_out(in_lab: Callable[..., Any], mistake: str, workload: str) -> dict[str, int]:
    """Return how many plans, and which oracles, found an operator out."""

    async def work(around: Surroundings) -> list[Outcome]:
        known = await sweep.lessons(replace(around, limit_s=_LIMIT_S), [workload])
        return await sweep.sweep(replace(around, limit_s=_LIMIT_S), known, generating.kills(known), told=sweep.tell)

    outcomes: list[Outcome] = in_lab(work, program=(sys.executable, "-m", "tests.lab.faults.bad", mistake))
    assert all(each.counts for each in outcomes)
    return {oracle: sum(oracle in each.violations for each in outcomes) for each in outcomes for oracle in each.violations}


def test_children_named_by_the_server_are_found_twice(in_lab: Callable[..., Any]) -> None:
    found = found_out(in_lab, "generate-name", "create")
    assert found["nothing twice"] >= 2
    assert found["nothing twice"] < 6, "killed before the first write or after the last one, it makes nothing twice"


def test_an_operator_that_acts_on_creation_alone_never_finishes_what_it_began(in_lab: Callable[..., Any]) -> None:
    assert found_out(in_lab, "create-only", "create")["end state"] >= 2


def test_a_service_that_is_deleted_to_be_made_again_is_found_without_any_fault(in_lab: Callable[..., Any]) -> None:
    with pytest.raises(UncleanError, match="services/chat was made 2 times for the same owner"):
        found_out(in_lab, "delete-then-create", "scale")
