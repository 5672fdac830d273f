import json
from typing import Any

import pytest

from llm_operator.core import names
from llm_operator.core.identity import make_revision
from llm_operator.core.kinds import CONTROLLER_REVISION, SERVICE
from llm_operator.core.observed import Obj
from llm_operator.core.render.meta import Owner
from llm_operator.core.stored import Engine, Stored
from llm_sidecar.bundle import Bundle
from tests.unit.core.builders import UID

OWNER = Owner("chat", "team", UID)
ENGINE = Engine("engine1", {"model": {"digest": "x"}, "engine": {}}, {"spec": {}})
REVISION = make_revision("engine1", Bundle())


def entry(data: Any, created: str = "2026-01-01T00:00:00Z") -> Obj:
    return {"metadata": {"creationTimestamp": created}, "data": data}


def read(**entries: Obj) -> Stored:
    return Stored.of(OWNER, {(CONTROLLER_REVISION, f"chat-{name}"): each for name, each in entries.items()})


def test_engines_and_revisions_are_read_as_they_were_written() -> None:
    stored = read(engine1=entry(ENGINE.data), **{REVISION.id: entry(REVISION.data)})
    assert (stored.engine("engine1"), stored.revision(REVISION.id)) == (ENGINE, REVISION)
    assert stored.engine("other") is None
    assert stored.revision("other") is None


def test_the_newest_engine_with_the_same_inputs_is_the_one_to_use_again() -> None:
    older, newer = entry(ENGINE.data, "2026-01-01T00:00:00Z"), entry(ENGINE.data, "2026-02-01T00:00:00Z")
    found = read(a=older, b=newer).engine_from({"engine": {}, "model": {"digest": "x", "absent": None}})
    assert found is not None
    assert found.id == "b"
    assert read(a=older).engine_from({"model": {}}) is None


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        {"kind": "engine", "inputs": {}},
        {"kind": "engine", "template": {}},
        {"kind": "revision", "inputs": {}, "bundle": "{"},
        {"kind": "revision", "inputs": {}, "bundle": '{"schemaVersion": 99}'},
        {"kind": "other", "inputs": {}, "bundle": "{}"},
    ],
)
def test_what_cannot_be_read_is_as_good_as_lost(data: Any) -> None:
    assert read(x=entry(data)) == Stored()


def test_other_kinds_are_not_looked_at() -> None:
    assert Stored.of(OWNER, {(SERVICE, "chat-x"): entry(ENGINE.data)}) == Stored()


@pytest.mark.parametrize("annotation", [None, "{", "[]"])
def test_inputs_that_came_later_are_read_beside_the_first_ones(annotation: str | None) -> None:
    newer = {"model": {"digest": "y"}, "refresh": 1}
    annotated = entry(ENGINE.data)
    annotated["metadata"]["annotations"] = {names.ANNOTATION_INPUTS: json.dumps(newer) if annotation is None else annotation}
    (engine,) = read(engine1=annotated).engines
    assert engine.data == ENGINE.data
    assert engine.made_from == ((newer, ENGINE.inputs) if annotation is None else (ENGINE.inputs,))


def test_the_last_rendering_counts_whatever_was_stored_when() -> None:
    first = entry(ENGINE.data, "2026-03-01T00:00:00Z")
    later = entry({**ENGINE.data, "inputs": {**ENGINE.inputs, "refresh": 2}}, "2026-02-01T00:00:00Z")
    broken = entry({**ENGINE.data, "inputs": {**ENGINE.inputs, "refresh": "many"}}, "2026-01-01T00:00:00Z")
    found = read(a=first, b=later, c=broken).engine_from(ENGINE.inputs)
    assert found is not None
    assert found.id == "b"


def test_a_revision_keeps_the_id_it_was_given() -> None:
    stored = read(older=entry({**REVISION.data, "hashVersion": 0}))
    found = stored.revision_of("engine1", Bundle())
    assert found is not None
    assert found.id == "older"
    assert stored.revision_of("engine2", Bundle()) is None
