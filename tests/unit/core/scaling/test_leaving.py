"""The pod with the fewest requests goes first: it is marked before its Deployment is lowered, once, and no other."""

import pytest

from llm_operator.core.actions import Mark
from llm_operator.core.names import ANNOTATION_DELETION_COST
from tests.unit.core.builders import make_config, make_deployment, make_spec
from tests.unit.core.sim import Sim
from tests.unit.core.test_engine_change import OTHER, run


def three(**config: object) -> tuple[Sim, list[str]]:
    """Return a deployment of three pods with four, two and seven requests, and the names of the pods."""
    sim = Sim(config=make_config(**config), deployment=make_deployment(spec=make_spec(replicas=3)))
    run(sim, 8)
    names = sorted(sim.pods)
    sim.loads = dict(zip(names, (4, 2, 7), strict=True))
    return sim, names


def lowered(sim: Sim, replicas: int) -> tuple[Mark, ...]:
    sim.edit(replicas=replicas)
    return sim.plan().marks


def test_the_one_with_the_fewest_requests_is_marked_and_goes() -> None:
    sim, names = three()
    sim.edit(replicas=2)
    made = sim.look()
    assert made.marks == (Mark(names[1], -1),)
    sim.tick()
    assert sorted(sim.pods) == [names[0], names[2]]
    assert sim.look().marks == ()


def test_two_that_go_are_both_marked() -> None:
    sim, names = three()
    assert lowered(sim, 1) == (Mark(names[1], -1), Mark(names[0], -1))


def test_when_all_go_or_more_come_nobody_is_marked() -> None:
    sim, _ = three()
    assert lowered(sim, 0) == ()
    assert lowered(sim, 4) == ()


@pytest.mark.covers
def test_one_that_cannot_be_asked_goes_last() -> None:
    sim, names = three()
    sim.silent.add(names[1])
    assert lowered(sim, 2) == (Mark(names[0], -1),)


def test_one_that_is_not_ready_goes_without_a_mark() -> None:
    sim, names = three()
    sim.crashed.add(names[2])
    run(sim, 1)
    assert lowered(sim, 2) == ()


def test_the_newest_mark_is_the_lowest_and_is_not_set_twice() -> None:
    sim, names = three()
    sim.pods[names[2]]["metadata"]["annotations"] = {ANNOTATION_DELETION_COST: "-3"}
    assert lowered(sim, 2) == (Mark(names[1], -4),)
    sim.pods[names[1]]["metadata"]["annotations"] = {ANNOTATION_DELETION_COST: "-4"}
    assert sim.plan().marks == ()


def test_what_somebody_else_wrote_there_counts_as_nothing_if_it_is_no_number() -> None:
    sim, names = three()
    sim.pods[names[2]]["metadata"]["annotations"] = {ANNOTATION_DELETION_COST: "soon"}
    assert lowered(sim, 2) == (Mark(names[1], -1),)


def test_without_the_right_nobody_is_marked() -> None:
    sim, _ = three(nudge=False)
    assert lowered(sim, 2) == ()


def test_a_change_of_the_engine_marks_nobody() -> None:
    sim, _ = three()
    sim.edit(model=OTHER)
    for _ in range(40):
        assert sim.look().marks == ()
        sim.tick()
    assert len(sim.engines()) == 1
