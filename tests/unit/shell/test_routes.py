"""An optional kind over a cluster in memory: there, absent, not to be read or not to be written."""

from collections.abc import Callable

import pytest

from llm_operator.core import kinds
from llm_operator.shell import errors
from llm_operator.shell.follow import Follower
from llm_operator.shell.ports import Manifest
from llm_operator.shell.survey import Surveyor
from tests.fakes.cluster import Call, Fault
from tests.fakes.objects import llm_deployment, operator_config
from tests.unit.shell.test_reconcile import CHAT, World, world

__all__ = ["world"]

ROUTING = {"gateway": {"parentRefs": [{"name": "edge", "namespace": "infra"}]}}
ABSENT = errors.NotFoundError(404, "NotFound", "the server could not find the requested resource")
DENIED = errors.ForbiddenError(403, "Forbidden", "httproutes is forbidden")
FOR_EVER = 10_000


@pytest.fixture
def routing(world: World) -> World:
    """A world whose operator may make routes."""
    world.reconciler.config = operator_config(gateway=True)
    world.reconciler.eye.optional = frozenset({kinds.HTTP_ROUTE})
    return world


def asking(name: str = "chat") -> Manifest:
    return llm_deployment(name, routing=ROUTING)


def surveyor(world: World) -> Surveyor:
    reconciler = world.reconciler
    return Surveyor(world.cluster, reconciler.eye, reconciler.decide, reconciler.decide_prompt)


def on_routes(*verbs: str) -> Callable[[Call], bool]:
    return lambda call: call.kind == "HTTPRoute" and call.verb in verbs


def route_lists(world: World) -> int:
    return sum(call == Call("list", "HTTPRoute") for call in world.cluster.calls)


async def test_who_asks_gets_a_route_and_who_asks_no_more_loses_it(routing: World) -> None:
    routing.cluster.put(asking())
    await routing.settle()
    assert routing.cluster.find(kinds.HTTP_ROUTE, "chat") is not None
    routing.cluster.edit(kinds.LLM_DEPLOYMENT, "chat", lambda live: live["spec"].pop("routing"))
    await routing.settle(3)
    assert routing.cluster.find(kinds.HTTP_ROUTE, "chat") is None
    assert all(each["type"] != "RouteAccepted" for each in routing.status()["conditions"])


async def test_routes_are_read_only_for_those_who_ask(routing: World) -> None:
    routing.cluster.put(llm_deployment())
    await routing.settle()
    routing.cluster.calls.clear()
    await routing.settle(2)
    await surveyor(routing).survey("ns")
    assert route_lists(routing) == 0


@pytest.mark.parametrize(("error", "reason"), [(ABSENT, "KindMissing"), (DENIED, "Forbidden")])
async def test_where_routes_cannot_be_read_everything_else_goes_on_until_they_can(
    routing: World, error: errors.ApiError, reason: str
) -> None:
    fault = Fault(error, on_routes("list", "apply"), times=FOR_EVER)
    routing.cluster.faults.append(fault)
    routing.cluster.put(asking())
    result = await routing.settle()
    assert routing.condition("RouteAccepted")["reason"] == reason
    assert (routing.status()["phase"], routing.condition("Reconciling")["status"]) == ("Ready", "False")
    assert not result.failed
    assert (await surveyor(routing).survey("ns")).differ == []
    routing.cluster.faults.clear()
    assert (await surveyor(routing).survey("ns")).differ == [CHAT]
    await routing.settle(2)
    assert routing.cluster.find(kinds.HTTP_ROUTE, "chat") is not None


async def test_a_new_deployment_learns_at_its_first_look_that_the_kind_is_absent(routing: World) -> None:
    routing.cluster.faults.append(Fault(ABSENT, on_routes("list", "apply"), times=FOR_EVER))
    routing.cluster.put(asking())
    await routing.reconciler(CHAT)
    assert Call("apply", "HTTPRoute", "chat") not in routing.cluster.calls
    assert routing.condition("RouteAccepted")["reason"] == "KindMissing"


@pytest.mark.parametrize("verb", ["apply", "delete"])
async def test_a_write_that_is_refused_is_told_of_and_tried_again(routing: World, verb: str) -> None:
    routing.cluster.put(asking())
    if verb == "delete":
        await routing.settle()
        routing.cluster.edit(kinds.LLM_DEPLOYMENT, "chat", lambda live: live["spec"].pop("routing"))
    routing.cluster.faults.append(Fault(DENIED, on_routes(verb), times=FOR_EVER))
    result = await routing.settle()
    assert result.failed
    said = routing.condition("RouteAccepted")
    assert (said["status"], said["reason"]) == ("False", "Refused")
    assert routing.status()["phase"] == "Ready"
    routing.cluster.calls.clear()
    await routing.settle(2)
    assert [call.verb for call in routing.cluster.writes] == [verb, verb], "the same refusal is written down once"
    routing.cluster.faults.clear()
    await routing.settle(2)
    assert (routing.cluster.find(kinds.HTTP_ROUTE, "chat") is None) == (verb == "delete")


async def test_what_is_not_optional_may_not_be_absent(routing: World) -> None:
    routing.cluster.faults.append(Fault(ABSENT, lambda call: call == Call("list", "Service"), times=FOR_EVER))
    routing.cluster.put(asking())
    assert (await routing.look()).failed


def test_routes_are_watched_only_by_an_operator_that_may_make_them() -> None:
    assert kinds.HTTP_ROUTE not in kinds.WATCHED
    assert Follower.watched == kinds.WATCHED
