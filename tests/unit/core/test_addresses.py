"""By which Service an engine is reached, when it gets one of its own, and how long it keeps that."""

import msgspec
import pytest

from llm_operator.core.kinds import CONFIG_MAP, CONTROLLER_REVISION, DEPLOYMENT, SERVICE
from llm_operator.core.render import service
from llm_operator.core.render.meta import Owner
from llm_sidecar.table import TABLE_KEY, WHOLE, encode
from tests.unit.core.builders import make_deployment, make_spec
from tests.unit.core.sim import Sim
from tests.unit.core.test_engine_change import OTHER, mine, run, serving, table, until_weight

REPLACE = {"capacity": {"mode": "Replace"}}


def services(sim: Sim) -> set[str]:
    return {name for kind, name in sim.objects if kind == SERVICE}


def reached(sim: Sim) -> dict[str, str]:
    return {engine: at.service for engine, at in table(sim).engines.items()}


def own(engine: str) -> dict[str, str]:
    return {engine: f"chat-{engine}"}


def as_before(sim: Sim) -> None:
    """Leave what an operator left that gave each engine a Service from the start."""
    (engine,) = sim.engines()
    live = sim.objects[CONFIG_MAP, "chat-snapshot"]
    told = msgspec.structs.replace(
        table(sim), engines={engine: msgspec.structs.replace(table(sim).engines[engine], service=f"chat-{engine}")}
    )
    live["data"][TABLE_KEY] = encode(told).decode()
    sim._apply(service.engine(Owner.of(sim.deployment), engine), force=False)
    sim.tick(70)


@pytest.mark.parametrize("replicas", [0, 1, 3])
def test_an_engine_that_is_alone_is_reached_through_the_public_service(replicas: int) -> None:
    sim, engine = serving(replicas)
    assert services(sim) == {"chat"}
    assert reached(sim) == {engine: "chat"}


def test_a_prompt_edit_makes_no_service() -> None:
    sim, engine = serving(2)
    sim.edit(limits={"queue": 1})
    run(sim, 1)
    assert len(table(sim).routes) == 2
    sim.settle()
    assert (services(sim), reached(sim)) == ({"chat"}, {engine: "chat"})


def test_beside_another_engine_both_get_their_own_before_any_table_names_them_or_a_pod_starts() -> None:
    sim, old = serving(2)
    sim.edit(model=OTHER)
    run(sim, 1)  # the resolver's Job
    made = sim.look()
    (new,) = set(sim.engines()) - {old}
    order = [(each.kind, each.name) for each in made.applies if each.kind != CONTROLLER_REVISION]
    assert set(order[:2]) == {(SERVICE, f"chat-{old}"), (SERVICE, f"chat-{new}")}
    assert order[2:] == [(CONFIG_MAP, "chat-snapshot"), (DEPLOYMENT, f"chat-{new}")]
    assert reached(sim) == own(old) | own(new)


def test_the_new_engine_gets_no_unit_before_every_sidecar_has_reached_it_through_its_service() -> None:
    sim, old = serving(2)
    sim.lonely = set(mine(sim, old)[:1])
    sim.edit(model=OTHER)
    run(sim, 10)
    (new,) = set(sim.engines()) - {old}
    assert sim.ready_pods(new) == 1
    assert {route.engine for route in table(sim).routes if route.weight} == {old}
    sim.lonely = set()
    until_weight(sim, old, 5000)
    sim.settle()


def test_what_is_left_of_a_change_keeps_its_service_and_nothing_is_written_for_it() -> None:
    sim, old = serving(2)
    sim.edit(model=OTHER)
    sim.settle()
    (new,) = sim.engines()
    assert new != old
    assert (services(sim), reached(sim)) == ({"chat", f"chat-{new}"}, own(new))
    sim.tick(600)
    made = sim.plan()
    assert (made.applies, made.deletes, made.next_look_s) == ((), (), None)


def test_beside_an_entry_an_engine_has_a_service_of_its_own() -> None:
    sim = Sim(deployment=make_deployment(spec=make_spec(rollout=REPLACE)))
    sim.settle()
    (engine,) = sim.engines()
    assert (services(sim), reached(sim)) == ({"chat", f"chat-{engine}"}, own(engine))


def test_an_entry_that_comes_later_finds_the_service_and_without_it_the_service_stays() -> None:
    sim, engine = serving(1)
    sim.edit(rollout=REPLACE)
    names = [each.name for each in sim.look().applies]
    assert names == [f"chat-{engine}", "chat-snapshot", "chat-entry"]
    sim.settle()
    generation = table(sim).generation
    sim.edit(rollout={})
    sim.settle()
    assert "chat-entry" not in {name for _, name in sim.objects}
    assert (reached(sim), table(sim).generation) == (own(engine), generation)


def test_the_service_of_an_older_operator_is_left_alone_by_an_upgrade() -> None:
    sim, engine = serving(2)
    as_before(sim)
    made = sim.plan()
    assert (made.applies, made.deletes, made.nudges, made.next_look_s) == ((), (), (), None)
    assert made.status == sim.deployment["status"]
    sim.edit(limits={"queue": 1})
    sim.settle()
    assert (services(sim), reached(sim)) == ({"chat", f"chat-{engine}"}, own(engine))


def test_a_service_that_a_table_names_comes_back() -> None:
    sim, engine = serving(2)
    as_before(sim)
    sim.remove(SERVICE, f"chat-{engine}")
    assert [(each.kind, each.name) for each in sim.look().applies] == [(SERVICE, f"chat-{engine}")]


def test_a_service_that_no_table_names_any_more_goes_when_every_sidecar_knows() -> None:
    """The table that named it is lost, and the next one has no need of it."""
    sim, engine = serving(2)
    as_before(sim)
    (first, _) = sim.pods
    sim.deaf.add(first)
    sim.remove(CONFIG_MAP, "chat-snapshot")
    run(sim, 5)
    assert (services(sim), reached(sim)) == ({"chat", f"chat-{engine}"}, {engine: "chat"})
    sim.deaf.clear()
    sim.tick(70)
    sim.settle()
    assert services(sim) == {"chat"}


def test_beside_pods_that_no_table_can_name_an_engine_is_reached_by_a_service_of_its_own() -> None:
    sim, old = serving(2)
    for key in [key for key in sim.objects if key[0] in {CONFIG_MAP, CONTROLLER_REVISION}]:
        if sim.objects[key].get("data", {}).get("kind") != "engine":
            sim.remove(*key)
    del sim.deployment["status"]
    sim.edit(engine={"maxModelLen": 2048})
    run(sim, 3)
    (new,) = set(sim.engines()) - {old}
    assert reached(sim) == own(new)
    sim.settle()
    assert {route.engine: route.weight for route in table(sim).routes} == {new: WHOLE}
