"""Each oracle on evidence with one thing wrong in it."""

import copy
from itertools import count
from typing import Any

import pytest

from llm_operator.core import names
from llm_sidecar.table import TABLE_KEY, WHOLE, Engine, Route, Table, encode
from tests.lab.faults.asked import Asked
from tests.lab.faults.lane import Call
from tests.lab.faults.normal import comings, differences, facts, mask_of
from tests.lab.faults.observer import History, Object, Seen
from tests.lab.faults.oracles import ORACLES, Evidence, Reference

UID = "11111111-2222-3333-4444-555555555555"
NOTHING = Reference({}, frozenset(), {}, frozenset(), writes=10)


def owner(generation: int = 1, observed: int | None = None, uid: str = UID, **status: Any) -> Object:
    said = [
        {"type": kind, "status": value, "lastTransitionTime": "2026-01-01T00:00:00Z"}
        for kind, value in (("Ready", "True"), ("Reconciling", "False"), ("Stalled", "False"))
    ]
    told = {} if observed is None else {"observedGeneration": observed, "conditions": said, **status}
    return {"metadata": {"name": "chat", "uid": uid, "generation": generation}, "spec": {"replicas": 2}, "status": told}


def child(name: str, uid: str = "c", owned_by: str = UID, **content: Any) -> Object:
    reference = {"kind": "LLMDeployment", "name": "chat", "uid": owned_by, "controller": True}
    return {"metadata": {"name": name, "uid": uid, "ownerReferences": [reference]}, **content}


def snapshot(generation: int = 1, weight: int = WHOLE, stable: str = "r1", other: int | None = None) -> Object:
    """Return a snapshot with one engine, or with another one that has so much of all units."""
    routes = [Route(revision="r1", engine="e1", bundle="b", weight=weight - (other or 0))]
    if other is not None:
        routes.append(Route(revision="r2", engine="e2", bundle="b", weight=other))
    engines = {each.engine: Engine(service=f"chat-{each.engine}") for each in routes}
    live = Table(generation=generation, stable=stable, routes=tuple(routes), engines=engines)
    return child(names.snapshot("chat"), data={TABLE_KEY: encode(live).decode()})


def happened(*events: tuple[str, str, Object]) -> list[Seen]:
    """Return versions one after the other."""
    versions = count(1)
    return [Seen(next(versions), event, resource, about) for event, resource, about in events]


def found(seen: list[Seen] | None = None, calls: list[Call] | None = None, **more: Any) -> set[str]:
    """Return the names of the oracles that object."""
    history = History()
    for each in seen or []:
        about = copy.deepcopy(each.object)
        about["metadata"]["resourceVersion"] = str(each.version)
        history.heard(each.event, each.resource, about)
    known: dict[str, Any] = {"log": [], "reference": NOTHING, **more}
    evidence = Evidence(namespace="ns", seen=history.in_order(), live=history.live, calls=calls or [], **known)
    return {name for name, oracle in ORACLES.items() if name not in {"end state", "nothing twice"} and oracle(evidence)}


def test_an_ordinary_life_offends_nobody() -> None:
    life = happened(
        ("ADDED", "llmdeployments", owner()),
        ("ADDED", "configmaps", snapshot()),
        ("ADDED", "services", child("chat")),
        ("ADDED", "services", child("chat-e1")),
        ("ADDED", "deployments", child("chat-e1", spec={"replicas": 2})),
        ("MODIFIED", "llmdeployments", owner(observed=1, stable={"revision": "r1", "engine": "e1"})),
        ("MODIFIED", "configmaps", snapshot(generation=2)),
        ("DELETED", "llmdeployments", owner(observed=1)),
        ("DELETED", "services", child("chat-e1")),
    )
    assert found(life) == set()


@pytest.mark.parametrize(
    ("oracle", "events"),
    [
        ("owners", [("ADDED", "services", child("chat", owned_by="somebody"))]),
        ("foreign", [("ADDED", "configmaps", {"metadata": {"name": "bystander", "uid": "b"}})] * 2),
        ("tables", [("ADDED", "configmaps", snapshot(weight=9_000))]),
        ("tables", [("ADDED", "configmaps", snapshot(stable="r2"))]),
        ("tables", [("ADDED", "configmaps", snapshot(generation=2)), ("MODIFIED", "configmaps", snapshot(generation=1))]),
        ("challengers", [("ADDED", "configmaps", snapshot(other=100))]),
        ("observed generation", [("MODIFIED", "llmdeployments", owner(2, 2)), ("MODIFIED", "llmdeployments", owner(2, 1))]),
        (
            "nothing removed that serves",
            [("ADDED", "configmaps", snapshot()), ("ADDED", "services", child("chat-e1")), ("DELETED", "services", child("chat-e1"))],
        ),
        (
            "nothing removed to be made again",
            [("ADDED", "services", child("chat")), ("DELETED", "services", child("chat")), ("ADDED", "services", child("chat", "d"))],
        ),
        ("truth", [("MODIFIED", "llmdeployments", owner(observed=1, stable={"revision": "r1", "engine": "e1"}))]),
    ],
)
def test_each_wrong_is_found_by_its_oracle(oracle: str, events: list[tuple[str, str, Object]]) -> None:
    assert oracle in found(happened(("ADDED", "llmdeployments", owner()), *events))


def test_an_engine_without_units_may_go_before_its_route_but_its_service_may_not() -> None:
    life = happened(
        ("ADDED", "llmdeployments", owner()),
        ("ADDED", "deployments", child("chat-e2")),
        ("ADDED", "services", child("chat-e2")),
        ("ADDED", "configmaps", snapshot(other=0)),
        ("DELETED", "deployments", child("chat-e2")),
    )
    assert found(life) == set()
    assert found([*life, Seen(9, "DELETED", "services", child("chat-e2"))]) == {"nothing removed that serves"}


def test_what_the_user_destroyed_may_be_gone_and_come_again() -> None:
    life = happened(
        ("ADDED", "llmdeployments", owner()),
        ("ADDED", "configmaps", snapshot()),
        ("ADDED", "services", child("chat-e1")),
        ("DELETED", "services", child("chat-e1")),
        ("ADDED", "services", child("chat-e1", "again")),
    )
    assert found(life, damaged={("services", "chat-e1"): 1}) == set()


@pytest.mark.parametrize(
    ("asked", "body"),
    [
        (Asked("delete", "services", namespace="ns", name="chat"), {}),
        (Asked("deletecollection", "pods", namespace="ns"), {}),
        (Asked("apply", "services", namespace="ns", name="bystander"), {}),
    ],
)
def test_writes_at_what_may_be_somebody_elses_are_found(asked: Asked, body: Object) -> None:
    assert found(calls=[Call(0.0, "create", asked, 200, body)]) == {"addressed"}


def test_a_storm_of_writes_and_a_traceback_are_found() -> None:
    calls = [Call(0.0, "create", Asked("apply", "services", name="chat"), 200, {})] * 61
    assert found(calls=calls) == {"restraint"}
    assert found(log=[{"message": "bug: KeyError()", "traceback": "..."}]) == {"hygiene"}
    assert found(log=[{"message": "the operator failed", "traceback": "..."}]) == {"hygiene"}


def test_a_process_may_end_over_a_fault_once_and_say_so() -> None:
    last_words = [{"message": "the operator failed", "traceback": "..."}]
    assert found(log=last_words, ended_by_itself=1) == set()
    assert found(log=last_words, ended_by_itself=2) == {"endurance"}


def live(uid: str, address: str, **service: Any) -> dict[tuple[str, str], Object]:
    spec = {"clusterIP": address, "selector": {"owner": uid}}
    return {
        ("llmdeployments", "chat"): {"metadata": {"name": "chat", "uid": uid}, "spec": {}, "status": {"at": "2026-01-01T00:00:00Z"}},
        ("services", "chat"): {"metadata": {"name": "chat", "uid": "s" + uid}, "spec": {**spec, **service}},
    }


def test_two_clean_runs_differ_in_nothing_but_what_the_mask_learns() -> None:
    one, other = facts(live("u-1", "10.0.0.1"), "ns-1"), facts(live("u-2", "10.0.0.2"), "ns-2")
    mask = mask_of([one, other])
    assert mask == {"services/chat/spec/clusterIP"}
    assert differences(one, other, mask) == []


def test_a_field_that_differs_otherwise_is_told() -> None:
    one, other = facts(live("u-1", "10.0.0.1"), "ns-1"), facts(live("u-1", "10.0.0.1", type="NodePort"), "ns-1")
    assert differences(one, other, frozenset()) == ["services/chat/spec/type: absent -> NodePort"]


def test_the_uid_of_an_object_that_is_gone_is_no_match_for_a_live_ones() -> None:
    one, stale = live("u-1", "10.0.0.1"), live("u-2", "10.0.0.1")
    stale["services", "chat"]["spec"]["selector"] = {"owner": "u-1"}
    assert differences(facts(one, "ns"), facts(stale, "ns"), frozenset()) != []


def test_objects_are_counted_as_they_come_and_go() -> None:
    seen = happened(("ADDED", "services", child("chat-3iwygglgn3")), ("ADDED", "services", child("chat-4iwygglgn4")))
    assert comings(seen) == {"ADDED services chat-*": 2}
