"""Where sidecars look for the unit of a request is in the table, and stays there while units move."""

from typing import Any

import pytest

from llm_operator.core.kinds import CONFIG_MAP
from llm_sidecar.table import TABLE_KEY, Subject, Table, decode
from tests.unit.core.builders import make_deployment, make_spec
from tests.unit.core.sim import Sim

BY_HEADER: dict[str, Any] = {"subject": [{"header": "x-user-id"}]}


def table(sim: Sim) -> Table:
    return decode(sim.objects[CONFIG_MAP, "chat-snapshot"]["data"][TABLE_KEY].encode())


def serving(routing: dict[str, Any], **spec: Any) -> Sim:
    sim = Sim(deployment=make_deployment(spec=make_spec(routing=routing, **spec)))
    sim.settle()
    return sim


def test_every_kind_of_subject_is_in_the_table_in_its_order() -> None:
    subjects = [{"bodyField": "user"}, {"apiKey": {}}, {"header": "x-user-id"}]
    sim = serving({"subject": subjects}, auth={"apiKeys": "Required"})
    assert table(sim).subject == (Subject(body_field="user"), Subject(api_key=True), Subject(header="x-user-id"))


def test_another_subject_is_another_table_and_no_other_revision() -> None:
    sim = serving({})
    before, revision = table(sim), sim.deployment["status"]["latestRevision"]
    assert before.subject == ()
    pods = set(sim.pods)
    sim.edit(routing=BY_HEADER)
    sim.settle()
    assert (table(sim).subject, table(sim).generation) == ((Subject(header="x-user-id"),), before.generation + 1)
    assert sim.deployment["status"]["latestRevision"] == revision
    assert set(sim.pods) == pods


def test_a_new_subject_waits_until_units_have_moved_to_the_other_engine() -> None:
    sim = serving(BY_HEADER, replicas=2)
    sim.edit(model={"source": "s3://models/other"})
    while not any(route.slot is not None and route.weight for route in table(sim).routes):
        sim.look()
        sim.tick()
    sim.edit(routing={"subject": [{"bodyField": "user"}]})
    moving = 0
    while any(route.slot is not None for route in table(sim).routes):
        assert table(sim).subject == (Subject(header="x-user-id"),)
        moving += 1
        sim.look()
        sim.tick()
    sim.settle()
    assert moving > 1
    assert table(sim).subject == (Subject(body_field="user"),)


def test_a_spec_that_cannot_be_read_leaves_the_subject_as_it_was() -> None:
    sim = serving(BY_HEADER)
    sim.edit(replicas="many")
    sim.look()
    assert table(sim).subject == (Subject(header="x-user-id"),)


@pytest.mark.covers
def test_without_table_and_readable_spec_every_request_is_a_unit_of_its_own() -> None:
    sim = serving(BY_HEADER)
    sim.edit(replicas="many")
    sim.remove(CONFIG_MAP, "chat-snapshot")
    sim.look()
    assert table(sim).subject == ()
