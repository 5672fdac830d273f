"""Objects as a real API server stores them: see test_diff."""

import copy
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from llm_operator.core import names
from llm_operator.core.kinds import BY_KIND, Kind
from llm_operator.core.observed import Obj
from llm_operator.core.rebuild import complete
from llm_operator.core.render.meta import Owner
from llm_operator.core.stored import Stored
from llm_sidecar.table import TABLE_KEY, decode
from tests.data.yaml_files import documents
from tests.unit.core.builders import UID

HERE = Path(__file__).parent
OWNER = Owner("chat", "team", UID)


def objects() -> dict[tuple[Kind, str], Obj]:
    found = json.loads((HERE / "data" / "live.json").read_text())
    return {(BY_KIND[each["kind"]], each["metadata"]["name"]): each for each in found}


def without_revisions(found: dict[tuple[Kind, str], Obj]) -> dict[tuple[Kind, str], Obj]:
    return {key: each for key, each in found.items() if key[0].kind != "ControllerRevision"}


def completed(found: dict[tuple[Kind, str], Obj]) -> Stored:
    data = next(each["data"] for (kind, _), each in found.items() if kind.kind == "ConfigMap")
    return complete(Stored.of(OWNER, found), OWNER, found, decode(data[TABLE_KEY].encode()), data)


def test_what_is_lost_comes_back_as_it_was() -> None:
    stored = Stored.of(OWNER, objects())
    again = completed(without_revisions(objects()))
    assert again.engines == stored.engines
    assert [(each.id, each.engine, each.bundle) for each in again.revisions] == [
        (each.id, each.engine, each.bundle) for each in stored.revisions
    ]
    assert stored.engines


def test_what_is_stored_is_not_made_again() -> None:
    assert completed(objects()) == Stored.of(OWNER, objects())


def broken_image(live: Obj) -> None:
    live["spec"]["template"]["spec"]["containers"][0]["image"] = "other"


def no_inputs(live: Obj) -> None:
    live["metadata"]["annotations"] = {}


def bad_inputs(live: Obj) -> None:
    live["metadata"]["annotations"][names.ANNOTATION_INPUTS] = "{"


def listed_inputs(live: Obj) -> None:
    live["metadata"]["annotations"][names.ANNOTATION_INPUTS] = "[]"


def no_sidecar(live: Obj) -> None:
    live["spec"]["template"]["spec"]["initContainers"].pop()


def never_applied(live: Obj) -> None:
    live["metadata"]["managedFields"] = []


@pytest.mark.parametrize("damage", [broken_image, no_inputs, bad_inputs, listed_inputs, no_sidecar, never_applied])
def test_a_deployment_that_was_changed_gives_no_engine(damage: Callable[[Obj], None]) -> None:
    found = copy.deepcopy(without_revisions(objects()))
    damage(next(each for (kind, _), each in found.items() if kind.kind == "Deployment"))
    assert completed(found).engines == ()


@pytest.mark.parametrize("bundle", [None, "{", '{"schemaVersion":1}'])
def test_a_bundle_that_is_not_what_it_was_gives_no_revision(bundle: str | None) -> None:
    found = copy.deepcopy(without_revisions(objects()))
    data = next(each["data"] for (kind, _), each in found.items() if kind.kind == "ConfigMap")
    key = next(key for key in data if key != TABLE_KEY)
    del data[key]
    if bundle is not None:
        data[key] = bundle
    assert completed(found).revisions == ()


def test_without_a_table_there_is_nothing_to_make_revisions_from() -> None:
    assert complete(Stored(), OWNER, {}, None, {}) == Stored()


def test_the_committed_objects_are_those_of_the_golden_file() -> None:
    wanted = {(each["kind"], each["metadata"]["name"]) for each in documents(HERE / "golden" / "full.yaml")}
    assert {(kind.kind, name) for kind, name in objects()} == wanted
