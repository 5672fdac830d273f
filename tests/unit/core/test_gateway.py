"""What becomes of a route: whether there is one, and what the deployment says of it."""

from collections.abc import Mapping
from typing import Any

import pytest

from llm_operator.core.gateway import may_have_route
from llm_operator.core.kinds import HTTP_ROUTE, OPTIONAL
from llm_operator.core.observed import Obj
from llm_operator.core.reasons import Reason
from tests.unit.core.builders import make_config, make_deployment, make_spec
from tests.unit.core.sim import Sim

EDGE = {"name": "edge", "namespace": "infra"}
ROUTING = {"gateway": {"parentRefs": [EDGE], "hostnames": ["llm.example.com"]}}
KEY = (HTTP_ROUTE, "chat")
GENERATION = 3


def routed(*parents: Obj, enabled: bool = True, unreadable: Reason | None = None) -> Sim:
    """A deployment that asks for a route, and serves."""
    spec = make_spec(routing={"gateway": {"parentRefs": list(parents)}} if parents else ROUTING)
    sim = Sim(config=make_config(gateway=enabled), deployment=make_deployment(spec=spec))
    if unreadable is not None:
        sim.unreadable["HTTPRoute"] = unreadable
    sim.settle()
    return sim


def condition(sim: Sim, kind: str = "RouteAccepted") -> dict[str, Any]:
    found = (each for each in sim.deployment["status"]["conditions"] if each["type"] == kind)
    return {name: each for one in found for name, each in one.items() if name in {"status", "reason", "message"}}


def says(parent: Obj, conditions: Mapping[str, str], generation: int = GENERATION) -> Obj:
    """What a controller says of a route at one of its parents."""
    told = [
        {"type": kind, "status": status, "reason": f"{kind}Is{status}", "message": f"{kind} is so", "observedGeneration": generation}
        | {"lastTransitionTime": "2026-11-22T12:00:00Z"}
        for kind, status in conditions.items()
    ]
    return {
        "parentRef": {"group": "gateway.networking.k8s.io", "kind": "Gateway", **parent},
        "controllerName": "a.dev/b",
        "conditions": told,
    }


def told(sim: Sim, *parents: Obj) -> None:
    sim.objects[KEY]["metadata"]["generation"] = GENERATION
    sim.objects[KEY]["status"] = {"parents": list(parents)}
    sim.settle()


def serves(sim: Sim) -> bool:
    wanted = {"Ready": "True", "Reconciling": "False", "Stalled": "False"}
    return all(condition(sim, kind)["status"] == status for kind, status in wanted.items())


def test_a_route_is_made_and_waited_for_by_nobody() -> None:
    sim = routed()
    assert sim.objects[KEY]["spec"]["hostnames"] == ["llm.example.com"]
    assert condition(sim) == {
        "status": "Unknown",
        "reason": "RoutePending",
        "message": "no controller has said anything of Gateway infra/edge",
    }
    assert serves(sim)


def test_nobody_who_does_not_ask_gets_one_or_hears_of_it() -> None:
    sim = Sim(config=make_config(gateway=True))
    sim.settle()
    assert KEY not in sim.objects
    assert condition(sim) == {}


@pytest.mark.covers
@pytest.mark.parametrize(
    ("enabled", "unreadable", "reason", "words"),
    [
        (False, None, "NotEnabled", "chart value gateway.enabled"),
        (True, Reason.KIND_MISSING, "KindMissing", "the cluster does not have httproutes.gateway.networking.k8s.io/v1"),
        (True, Reason.FORBIDDEN, "Forbidden", "no right to list httproutes.gateway.networking.k8s.io"),
    ],
    ids=["not enabled", "no such kind", "no right"],
)
def test_where_none_can_be_had_the_condition_says_why_and_everything_else_goes_on(
    *, enabled: bool, unreadable: Reason | None, reason: str, words: str
) -> None:
    sim = routed(enabled=enabled, unreadable=unreadable)
    assert KEY not in sim.objects
    said = condition(sim)
    assert (said["status"], said["reason"]) == ("False", reason)
    assert words in said["message"]
    assert serves(sim)


def test_once_the_kind_is_there_the_route_is_made() -> None:
    sim = routed(unreadable=Reason.KIND_MISSING)
    sim.unreadable.clear()
    sim.settle()
    assert KEY in sim.objects
    assert condition(sim)["reason"] == "RoutePending"


def test_a_route_that_was_just_made_has_nothing_to_say() -> None:
    sim = Sim(config=make_config(gateway=True), deployment=make_deployment(spec=make_spec(routing=ROUTING)))
    sim.look()
    assert condition(sim) == {"status": "Unknown", "reason": "RoutePending", "message": "HTTPRoute chat is not there yet"}


GOOD = {"Accepted": "True", "ResolvedRefs": "True"}


@pytest.mark.covers
@pytest.mark.parametrize(
    ("parents", "status", "reason", "words"),
    [
        ([says(EDGE, GOOD)], "True", "Accepted", "every Gateway has accepted the route"),
        ([says(EDGE, {"Accepted": "False", "ResolvedRefs": "True"})], "False", "AcceptedIsFalse", "Gateway infra/edge: Accepted is so"),
        (
            [says(EDGE, {"Accepted": "True", "ResolvedRefs": "False"})],
            "False",
            "ResolvedRefsIsFalse",
            "Gateway infra/edge: ResolvedRefs is so",
        ),
        (
            [says(EDGE, {**GOOD, "PartiallyInvalid": "True"})],
            "False",
            "PartiallyInvalidIsTrue",
            "Gateway infra/edge: PartiallyInvalid is so",
        ),
        ([says(EDGE, {**GOOD, "PartiallyInvalid": "False"})], "True", "Accepted", "every"),
        ([says(EDGE, {"Accepted": "True"})], "Unknown", "RoutePending", "has not said yet that the route is ResolvedRefs"),
        ([says(EDGE, GOOD, generation=2)], "Unknown", "RoutePending", "has not said yet that the route is Accepted"),
        ([says({"name": "other"}, GOOD)], "Unknown", "RoutePending", "no controller has said anything of Gateway infra/edge"),
        ([says(EDGE, GOOD), says(EDGE, {"Accepted": "False"})], "False", "AcceptedIsFalse", "Gateway infra/edge: Accepted is so"),
    ],
    ids=[
        "good",
        "refused",
        "no backend",
        "half of it",
        "all of it",
        "half told",
        "of an older route",
        "of another gateway",
        "two controllers",
    ],
)
def test_what_gateways_say_of_the_route_is_said_of_the_deployment(parents: list[Obj], status: str, reason: str, words: str) -> None:
    sim = routed()
    told(sim, *parents)
    said = condition(sim)
    assert (said["status"], said["reason"]) == (status, reason)
    assert words in said["message"]
    assert serves(sim)


def test_the_conditions_of_the_route_are_mirrored_by_gateway_and_listener() -> None:
    sim = routed({"name": "own", "sectionName": "https"})
    told(sim, says({"name": "own", "sectionName": "https"}, GOOD))
    (parent,) = sim.deployment["status"]["route"]["parents"]
    assert (parent["gateway"], parent["sectionName"], parent["controller"]) == ("team/own", "https", "a.dev/b")
    assert [(each["type"], each["status"], each["observedGeneration"]) for each in parent["conditions"]] == [
        ("Accepted", "True", GENERATION),
        ("ResolvedRefs", "True", GENERATION),
    ]


def test_one_gateway_of_two_is_enough_to_say_no() -> None:
    sim = routed(EDGE, {"name": "own"})
    told(sim, says(EDGE, GOOD), says({"name": "own"}, {"Accepted": "False"}))
    assert condition(sim)["message"] == "Gateway team/own: Accepted is so"


def test_a_route_nobody_asks_for_any_more_goes_and_the_condition_with_it() -> None:
    sim = routed()
    sim.edit(routing={})
    sim.look()
    assert condition(sim) == {"status": "Unknown", "reason": "Removing", "message": "HTTPRoute chat is not asked for any more"}
    sim.settle()
    assert KEY not in sim.objects
    assert condition(sim) == {}
    assert "route" not in sim.deployment["status"]


def test_a_route_that_may_be_left_is_not_forgotten_for_the_lack_of_a_right() -> None:
    sim = routed()
    sim.edit(routing={})
    hidden = sim.objects.pop(KEY)
    sim.unreadable["HTTPRoute"] = Reason.FORBIDDEN
    sim.settle()
    assert condition(sim)["reason"] == "Removing"
    sim.objects[KEY] = hidden
    sim.unreadable.clear()
    sim.settle()
    assert KEY not in sim.objects


def test_a_route_of_a_kind_that_went_is_forgotten() -> None:
    sim = routed()
    sim.edit(routing={})
    del sim.objects[KEY]
    sim.unreadable["HTTPRoute"] = Reason.KIND_MISSING
    sim.settle()
    assert condition(sim) == {}


def test_a_spec_that_cannot_be_read_keeps_the_route_and_what_is_said_of_it() -> None:
    sim = routed()
    told(sim, says(EDGE, GOOD))
    sim.edit(replicas="many")
    sim.settle()
    assert condition(sim, "Stalled")["status"] == "True"
    assert condition(sim)["status"] == "True"
    assert KEY in sim.objects


def test_a_spec_that_never_could_be_read_says_nothing_of_routes() -> None:
    sim = Sim(config=make_config(gateway=True), deployment=make_deployment(spec=make_spec(replicas="many", routing=ROUTING)))
    sim.settle()
    assert condition(sim) == {}


def test_an_edit_of_the_route_is_undone() -> None:
    sim = routed()
    sim.objects[KEY]["spec"]["hostnames"] = ["elsewhere.example.com"]
    sim.settle()
    assert sim.objects[KEY]["spec"]["hostnames"] == ["llm.example.com"]


def test_other_gateways_are_no_new_revision() -> None:
    sim = routed()
    before = sim.deployment["status"]["latestRevision"]
    sim.edit(routing={"gateway": {"parentRefs": [{"name": "inside"}]}})
    sim.settle()
    assert sim.objects[KEY]["spec"]["parentRefs"][0]["name"] == "inside"
    assert sim.deployment["status"]["latestRevision"] == before


@pytest.mark.covers
@pytest.mark.parametrize(
    ("spec", "status", "expected"),
    [
        ({"routing": ROUTING}, {"phase": "Ready"}, True),
        ({}, {"phase": "Ready"}, False),
        ({"routing": {"subject": []}}, {"conditions": [{"type": "Ready"}]}, False),
        ({}, {"conditions": [{"type": "RouteAccepted"}]}, True),
        ({}, None, True),
    ],
    ids=["asks", "asks not", "asks for something else", "told of one", "status lost"],
)
def test_routes_are_looked_at_where_there_may_be_one(spec: Obj, status: Obj | None, *, expected: bool) -> None:
    assert may_have_route({"spec": spec, "status": status}) == expected


def test_an_optional_kind_can_be_removed_again() -> None:
    assert all({"get", "list", "watch", "create", "patch", "delete"} == set(kind.verbs) for kind in OPTIONAL)
