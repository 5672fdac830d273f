"""Two operators, one Lease: the leader is stopped, killed, paused and cut off, and the API server's audit log says who wrote when.

`make soak-ha` does each of it twenty times and pauses for a minute; here it is twice, and the pause is as long as it has to be.
"""

import os
from collections.abc import Callable
from statistics import median
from typing import Any

import pytest

from bench.record import Bound, record
from tests.lab.cluster import Lab
from tests.lab.faults.runs import Surroundings
from tests.lab.ha.rounds import Fault, Result, play

SOAK = "HA_ROUNDS" in os.environ
ROUNDS = int(os.environ.get("HA_ROUNDS") or 2)
PAUSE_S = 60.0 if SOAK else 25.0
LANES = 5 if SOAK else 4
TAKEOVER_S = 20.0 if SOAK else 60.0
CONVERGED_S = 60.0 if SOAK else 90.0
HARD: tuple[Fault, ...] = ("paused", "cut", "silent", "killed")

pytestmark = pytest.mark.timeout(1800)


def faults() -> list[Fault]:
    """Return what to do, the long ones first; every second partition is a silent one."""
    partitions: list[Fault] = ["cut" if number % 2 else "silent" for number in range(ROUNDS)]
    return [*(["paused"] * ROUNDS), *partitions, *(["killed"] * ROUNDS), *(["stopped"] * ROUNDS)]  # type: ignore[list-item]  # literals


def write_down(result: Result) -> None:
    """Write the figures of a soak."""
    hard = [each.takeover_s for each in result.rounds if each.fault in HARD]
    figures: dict[str, float] = {
        f"{fault}_takeover_max_s": max(each.takeover_s for each in result.of(fault)) for fault in (*HARD, "stopped")
    }
    figures |= {
        "rounds": len(result.rounds),
        "takeover_p50_s": median(hard),
        "takeover_max_s": max(hard),
        "converged_max_s": max(each.converged_s for each in result.rounds),
        "writes": len(result.writes),
        "writes_outside_a_term": sum(write.landed for write in result.strays),
        "attempts_outside_a_term": sum(not write.landed for write in result.strays),
        "overlapping_leases": len(result.overlaps),
        "writes_held_back": result.held_back,
    }
    bounds = {"takeover_max_s": Bound(20, 17.5), "writes_outside_a_term": Bound(0), "overlapping_leases": Bound(0)}
    record("ha", {name: round(float(value), 2) for name, value in figures.items()}, bounds, {})


@pytest.fixture(scope="module")
def result(in_lab: Callable[..., Any], lab: Lab) -> Result:
    async def work(around: Surroundings) -> Result:
        return await play(around, lab, faults(), PAUSE_S, LANES)

    found: Result = in_lab(work)
    if SOAK:
        write_down(found)
    return found


def test_somebody_else_leads_soon_after(result: Result) -> None:
    assert len(result.rounds) == 4 * ROUNDS
    for fault in (*HARD, "stopped"):
        print(fault, sorted(round(each.takeover_s, 1) for each in result.of(fault)))  # noqa: T201  # seconds are a figure here
    assert all(0 < each.takeover_s <= TAKEOVER_S for each in result.rounds)
    assert all(each.old != each.new for each in result.rounds)


def test_who_gives_the_lease_back_is_followed_without_a_wait_for_its_end(result: Result) -> None:
    assert median(each.takeover_s for each in result.of("stopped")) < 15


def test_no_object_is_written_by_two_in_overlapping_leases(result: Result) -> None:
    assert result.overlaps == []
    assert [write for write in result.strays if write.landed] == []
    assert len(result.writes) > 10 * ROUNDS
    assert len({write.identity for write in result.writes}) > 3 * ROUNDS


def test_what_is_asked_for_meanwhile_is_done(result: Result) -> None:
    assert all(each.converged_s <= CONVERGED_S for each in result.rounds)


def test_who_has_lost_the_lease_ends_with_a_failure_and_who_was_told_to_stop_without(result: Result) -> None:
    codes = {fault: {each.exit_code for each in result.of(fault)} for fault in (*HARD, "stopped")}
    assert {fault for fault, found in codes.items() if found == {1}} == {"paused", "cut", "silent"}
    assert codes["stopped"] == {0}
