"""Snapshot, status or history lost in mid-change: what serves goes on serving where it can be told, and the change never stands still."""

from typing import Any

import pytest

from llm_operator.core.kinds import CONFIG_MAP, CONTROLLER_REVISION, Kind
from llm_sidecar.table import TABLE_KEY, WHOLE, Table, decode
from tests.unit.core.builders import make_deployment, make_spec
from tests.unit.core.sim import Sim

FIRST, SECOND = {"maxModelLen": 2048}, {"maxModelLen": 4096}


def table(sim: Sim) -> Table:
    return decode(sim.objects[CONFIG_MAP, "chat-snapshot"]["data"][TABLE_KEY].encode())


def run(sim: Sim, rounds: int) -> None:
    for _ in range(rounds):
        sim.look()
        sim.tick()


def lose(sim: Sim, *kinds: Kind, what: str = "") -> None:
    for key in [key for key in sim.objects if key[0] in kinds]:
        if not what or sim.objects[key].get("data", {}).get("kind", what) == what:
            sim.remove(*key)


def changing(before: int, mode: str, **then: Any) -> tuple[Sim, str]:
    """A deployment whose engine is edited twice in a row, and the engine it had before."""
    sim = Sim(deployment=make_deployment(spec=make_spec(replicas=before, rollout={"capacity": {"mode": mode}})))
    sim.settle()
    (old,) = sim.engines()
    sim.edit(engine=FIRST)
    run(sim, 1)
    sim.edit(engine=SECOND, **then)
    return sim, old


@pytest.mark.parametrize("mode", ["Surge", "Replace"])
@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("lost", ["", "engine"])
def test_without_status_and_snapshot_the_sidecars_say_what_serves(mode: str, replicas: int, lost: str) -> None:
    sim, old = changing(replicas, mode)
    generation = table(sim).generation
    lose(sim, CONFIG_MAP)
    if lost:
        lose(sim, CONTROLLER_REVISION, what=lost)
    del sim.deployment["status"]
    sim.look()
    assert sim.deployment["status"]["stable"]["engine"] == old
    assert {route.engine: route.weight for route in table(sim).routes if route.weight} == {old: WHOLE}
    assert table(sim).generation > generation
    sim.settle()
    (engine,) = sim.engines()
    assert engine != old
    assert sim.deployment["status"]["phase"] == "Ready"


@pytest.mark.covers
@pytest.mark.parametrize("silent", [True, False])
@pytest.mark.parametrize(("mode", "lost", "replicas"), [("Surge", "", 3), ("Surge", "", 1), ("Replace", "revision", 3)])
def test_an_engine_whose_revision_is_lost_makes_room_for_the_next(mode: str, lost: str, replicas: int, *, silent: bool) -> None:
    """No table can name it, and it cannot be scaled down: it goes as a whole once every sidecar knows."""
    sim, old = changing(3, mode, replicas=replicas)
    lose(sim, CONFIG_MAP, CONTROLLER_REVISION, what=lost)
    if silent:
        sim.silent = set(sim.pods)
    del sim.deployment["status"]
    run(sim, 3)
    assert (old in sim.engines()) == silent
    sim.silent = set()
    sim.settle()
    (engine,) = sim.engines()
    assert engine != old
    assert sim.deployment["status"]["phase"] == "Ready"


def test_an_engine_whose_revision_is_lost_stays_while_there_is_room_beside_it() -> None:
    sim = Sim(deployment=make_deployment(spec=make_spec()))
    sim.settle()
    (old,) = sim.engines()
    lose(sim, CONFIG_MAP, CONTROLLER_REVISION, what="revision")
    del sim.deployment["status"]
    sim.edit(engine=SECOND)
    while old in sim.engines():
        assert sim.ready_pods(old) == 1
        run(sim, 1)
    assert sim.ready_pods() == 1


@pytest.mark.covers
@pytest.mark.parametrize("silent", [True, False])
def test_what_serves_in_place_of_a_stable_engine_gives_way_though_the_snapshot_is_lost(*, silent: bool) -> None:
    """The first change has all requests already when a second one takes its place; nobody can be asked: then it just makes room."""
    sim = Sim(deployment=make_deployment(spec=make_spec(rollout={"capacity": {"mode": "Replace"}})))
    sim.settle()
    (old,) = sim.engines()
    sim.edit(engine=FIRST)
    while not (found := [each for each in sim.engines() if each != old and sim.ready_pods(each)]):
        run(sim, 1)
    (between,) = found
    lose(sim, CONFIG_MAP)
    if silent:
        sim.silent = set(sim.pods)
    sim.edit(engine=SECOND)
    sim.look()
    assert sim.deployment["status"]["stable"]["engine"] == old
    assert {route.engine for route in table(sim).routes if route.weight} == {old if silent else between}
    sim.silent = set()
    sim.settle()
    assert sim.engines() not in ([old], [between])
    assert sim.deployment["status"]["phase"] == "Ready"
