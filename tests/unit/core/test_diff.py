"""``live.json`` is what a real API server made of the objects in ``golden/full.yaml``, managedFields included."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llm_operator.core import diff
from llm_operator.core.diff import differs
from llm_operator.core.fields import named
from llm_operator.core.names import FIELD_MANAGER
from llm_operator.core.observed import Obj
from tests.data.wire import copied
from tests.data.yaml_files import documents

HERE = Path(__file__).parent
DESIRED: list[Obj] = documents(HERE / "golden" / "full.yaml")
LIVE = {(each["kind"], each["metadata"]["name"]): each for each in json.loads((HERE / "data" / "live.json").read_text())}
Path_ = tuple[Any, ...]


def pair(kind: str) -> tuple[Obj, Obj]:
    desired = next(each for each in DESIRED if each["kind"] == kind)
    return copied(desired), copied(LIVE[kind, desired["metadata"]["name"]])


def leaves(value: Any, path: Path_ = ()) -> Iterator[Path_]:
    if isinstance(value, dict | list) and value:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for step, item in items:
            yield from leaves(item, (*path, step))
    else:
        yield path


def compared(desired: Obj) -> list[Path_]:
    return [
        path
        for path in leaves(desired)
        if path[0] not in {"apiVersion", "kind"} and path[:2] not in {("metadata", "name"), ("metadata", "namespace")}
    ]


def change(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int) else f"{value}x"


def put(manifest: Obj, path: Path_, value: Any) -> None:
    for step in path[:-1]:
        manifest = manifest[step]
    manifest[path[-1]] = value


def get(manifest: Any, path: Path_) -> Any:
    for step in path:
        manifest = manifest[step]
    return manifest


def drop(manifest: Obj, path: Path_) -> None:
    """Leave a value out, and what is empty without it."""
    while len(get(manifest, path[:-1])) == 1:
        path = path[:-1]
    del get(manifest, path[:-1])[path[-1]]


@pytest.mark.parametrize("desired", DESIRED, ids=lambda each: f"{each['kind']}-{each['metadata']['name']}")
def test_what_the_server_stored_of_our_apply_does_not_differ_from_it(desired: Obj) -> None:
    assert not differs(desired, LIVE[desired["kind"], desired["metadata"]["name"]], FIELD_MANAGER)


@pytest.mark.parametrize("kind", sorted({each["kind"] for each in DESIRED}))
def test_every_leaf_counts(kind: str) -> None:
    desired, live = pair(kind)
    for path in compared(desired):
        value = get(desired, path)
        put(desired, path, {"x": 1} if value == {} else change(value))
        assert differs(desired, live, FIELD_MANAGER), path
        put(desired, path, value)


@pytest.mark.parametrize("kind", sorted({each["kind"] for each in DESIRED}))
def test_every_leaf_we_no_longer_render_counts(kind: str) -> None:
    desired, live = pair(kind)
    for path in compared(desired):
        without = copied(desired)
        drop(without, path)
        assert differs(without, live, FIELD_MANAGER), path


def test_what_has_agreed_is_told_by_its_content_and_forgotten_before_it_is_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diff, "agreed", set())
    monkeypatch.setattr(diff, "AGREED", 2)
    desired, live = pair("Deployment")
    for at in range(5):
        live["metadata"]["resourceVersion"] = str(at)
        assert not differs(desired, live, FIELD_MANAGER)
        assert not differs(copied(desired), copied(live), FIELD_MANAGER)
        assert len(diff.agreed) == (1, 2)[at % 2]
        assert differs(desired, live, "somebody-else")
    live["spec"]["replicas"] += 1
    assert differs(desired, live, FIELD_MANAGER)


def test_what_others_add_does_not_count() -> None:
    desired, live = pair("Deployment")
    live["metadata"]["labels"]["theirs"] = "x"
    live["metadata"]["annotations"]["theirs"] = "x"
    pod = live["spec"]["template"]["spec"]
    pod["containers"].append({"name": "injected", "image": "y"})
    pod["containers"][0]["env"].insert(0, {"name": "INJECTED", "value": "1"})
    pod["initContainers"].insert(0, {"name": "injected", "image": "y"})
    assert not differs(desired, live, FIELD_MANAGER)


def test_the_order_of_items_counts() -> None:
    desired, live = pair("Deployment")
    live["spec"]["template"]["spec"]["initContainers"].reverse()
    assert differs(desired, live, FIELD_MANAGER)


def test_an_item_that_somebody_removed_counts() -> None:
    desired, live = pair("Deployment")
    live["spec"]["template"]["spec"]["volumes"].pop()
    assert differs(desired, live, FIELD_MANAGER)


def test_an_item_we_have_never_applied_counts() -> None:
    desired, live = pair("Deployment")
    desired["spec"]["template"]["spec"]["volumes"].append({"name": "new", "emptyDir": {}})
    assert differs(desired, live, FIELD_MANAGER)


def test_an_object_we_never_applied_differs() -> None:
    desired, live = pair("Service")
    live["metadata"]["managedFields"] = []
    assert differs(desired, live, FIELD_MANAGER)
    assert differs(desired, pair("Service")[1], "somebody-else")


def test_a_status_written_under_our_name_is_not_our_apply() -> None:
    desired, live = pair("Service")
    live["metadata"]["managedFields"][0]["subresource"] = "status"
    assert differs(desired, live, FIELD_MANAGER)


def test_a_field_somebody_else_took_over_counts_even_with_our_value() -> None:
    desired, live = pair("Service")
    del live["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]["f:type"]
    assert differs(desired, live, FIELD_MANAGER)


@pytest.mark.parametrize(("desired", "result"), [(["a"], False), (["a", "b"], True), ("a", True), (["theirs"], True)])
def test_a_set_is_compared_by_its_values(desired: object, *, result: bool) -> None:
    live = {
        "metadata": {"managedFields": [{"manager": "m", "operation": "Apply", "fieldsV1": {"f:spec": {"f:set": {".": {}, 'v:"a"': {}}}}}]},
        "spec": {"set": ["a", "theirs"]},
    }
    assert differs({"metadata": {}, "spec": {"set": desired}}, live, "m") == result


@pytest.mark.parametrize("replaced", [{"items": "text"}, {"items": {"name": "a"}}, {}])
def test_a_list_that_is_no_longer_a_list_differs(replaced: Obj) -> None:
    fields: dict[str, Any] = {"f:spec": {"f:items": {'k:{"name":"a"}': {".": {}, "f:name": {}}}}}
    live = {
        "metadata": {"managedFields": [{"manager": "m", "operation": "Apply", "fieldsV1": fields}]},
        "spec": {"items": [{"name": "a"}]},
    }
    assert differs({"metadata": {}, "spec": replaced}, live, "m")


def test_a_map_that_is_no_longer_a_map_differs() -> None:
    desired, live = pair("Service")
    live["spec"] = "gone"
    assert differs(desired, live, FIELD_MANAGER)


@pytest.mark.parametrize(
    ("desired", "stored", "result"),
    [({"a": 1}, {"a": 1}, False), ({"b": 1}, {"a": 1, "b": 1}, True), ({"a": 1}, {}, True)],
    ids=["the same", "another in its place", "removed"],
)
def test_a_field_is_ours_by_name_and_has_to_be_there(desired: Obj, stored: Obj, *, result: bool) -> None:
    owned = [{"manager": "m", "operation": "Apply", "fieldsV1": {"f:spec": {"f:a": {}}}}]
    assert differs({"metadata": {}, "spec": desired}, {"metadata": {"managedFields": owned}, "spec": stored}, "m") == result


def test_true_is_not_one() -> None:
    live = {"metadata": {"managedFields": [{"manager": "m", "operation": "Apply", "fieldsV1": {"f:spec": {"f:a": {}}}}]}, "spec": {"a": 1}}
    assert differs({"metadata": {}, "spec": {"a": True}}, live, "m")
    assert not differs({"metadata": {}, "spec": {"a": 1}}, live, "m")


def test_a_value_of_a_set_that_is_there_but_not_ours_counts_as_a_field_does() -> None:
    fields: dict[str, Any] = {"f:spec": {"f:set": {'v:"a"': {}}}}
    live = {"metadata": {"managedFields": [{"manager": "m", "operation": "Apply", "fieldsV1": fields}]}, "spec": {"set": ["a", "theirs"]}}
    assert differs({"metadata": {}, "spec": {"set": ["a", "theirs"]}}, live, "m")
    fields["f:spec"]["f:set"]['v:"theirs"'] = {}
    assert not differs({"metadata": {}, "spec": {"set": ["a", "theirs"]}}, live, "m")


def test_items_may_have_keys_of_different_names() -> None:
    fields: dict[str, Any] = {
        "f:spec": {"f:items": {'k:{"name":"a"}': {"f:name": {}}, 'k:{"name":"b","protocol":"TCP"}': {"f:name": {}, "f:protocol": {}}}}
    }
    spec = {"items": [{"name": "a"}, {"name": "b", "protocol": "TCP"}]}
    live = {"metadata": {"managedFields": [{"manager": "m", "operation": "Apply", "fieldsV1": fields}]}, "spec": spec}
    assert not differs({"metadata": {}, "spec": spec}, live, "m")
    assert differs({"metadata": {}, "spec": {"items": spec["items"][::-1]}}, live, "m")


def test_an_item_of_a_list_that_somebody_has_replaced_by_a_plain_value_is_nobody_s() -> None:
    owned: dict[str, Any] = {'k:{"name":"a"}': {}}
    assert named(["a", {"name": "a"}, {"name": "b"}], owned) == [('k:{"name":"a"}', {"name": "a"})]
