"""The route from Gateways: whether there is one, and what they say of it. Everything else goes on without it."""

from collections.abc import Mapping, Sequence
from typing import Any

from llm_operator.api.config import OperatorConfig
from llm_operator.core.conditions import MAX_MESSAGE, Condition, condition
from llm_operator.core.kinds import HTTP_ROUTE
from llm_operator.core.observed import Obj
from llm_operator.core.reasons import Reason
from llm_operator.core.render.route import route
from llm_operator.core.target import Target
from llm_operator.core.world import World

CONDITION = "RouteAccepted"
_NEEDED = ("Accepted", "ResolvedRefs")
_AGAINST = "PartiallyInvalid"
_MAX_PARENTS = 32


def may_have_route(deployment: Mapping[str, Any]) -> bool:
    """Return whether routes have to be looked at: it asks for one, or it told of one that may be left, or its status is lost."""
    status = deployment.get("status") or {}
    asks = (deployment.get("spec", {}).get("routing") or {}).get("gateway")
    return bool(asks) or not status or any(each["type"] == CONDITION for each in status.get("conditions", ()))


def route_of(world: World, config: OperatorConfig, target: Target) -> Obj | None:
    """Return the route there should be, or None: nobody asks for it, or it cannot be had."""
    asked = target.spec.routing.gateway if target.spec is not None else None
    if asked is None or not config.gateway or HTTP_ROUTE.kind in world.unreadable:
        return None
    return route(world.owner, asked)


def told_of_route(world: World, config: OperatorConfig, target: Target) -> list[Condition]:
    """Return what has become of the route, in the words of the first Gateway that has something against it."""
    live = world.owned.get((HTTP_ROUTE, world.owner.name))
    asked = target.spec.routing.gateway is not None if target.spec is not None else CONDITION in world.previous
    denied = world.unreadable.get(HTTP_ROUTE.kind)
    if not asked:
        left = live is not None or (denied == Reason.FORBIDDEN and CONDITION in world.previous)
        return [_say(Reason.REMOVING, f"HTTPRoute {world.owner.name} is not asked for any more", holds=None)] if left else []
    if not config.gateway:
        return [
            _say(Reason.NOT_ENABLED, f"the administrator has not enabled routes (chart value gateway.enabled); {_WITHOUT}", holds=False)
        ]
    if denied == Reason.KIND_MISSING:
        return [
            _say(denied, f"the cluster does not have {HTTP_ROUTE.plural}.{HTTP_ROUTE.group}/{HTTP_ROUTE.version}; {_WITHOUT}", holds=False)
        ]
    if denied is not None:
        return [_say(denied, f"the operator has no right to list {HTTP_ROUTE.plural}.{HTTP_ROUTE.group}; {_WITHOUT}", holds=False)]
    if live is None:
        return [_say(Reason.ROUTE_PENDING, f"HTTPRoute {world.owner.name} is not there yet", holds=None)]
    return [_judged(live)]


_WITHOUT = "requests still come in by the Service"


def _judged(live: Obj) -> Condition:
    generation = live["metadata"].get("generation")
    told = _told(live)
    for parent in live.get("spec", {}).get("parentRefs", ()):
        mine = [each for each in told if _reference(each["parentRef"], live) == _reference(parent, live)]
        gateway = f"Gateway {_named(parent, live)}"
        if not mine:
            return _say(Reason.ROUTE_PENDING, f"no controller has said anything of {gateway}", holds=None)
        for each in mine:
            found = {one["type"]: one for one in each.get("conditions", ()) if one.get("observedGeneration", generation) == generation}
            wrong = [found[kind] for kind in _NEEDED if kind in found and found[kind]["status"] == "False"]
            wrong += [found[_AGAINST]] if found.get(_AGAINST, {}).get("status") == "True" else []
            if wrong:
                return _say(wrong[0]["reason"], f"{gateway}: {wrong[0].get('message') or wrong[0]['type']}", holds=False)
            if missing := [kind for kind in _NEEDED if found.get(kind, {}).get("status") != "True"]:
                return _say(Reason.ROUTE_PENDING, f"{gateway} has not said yet that the route is {missing[0]}", holds=None)
    return _say(Reason.ACCEPTED, "every Gateway has accepted the route", holds=True)


def parents_of(world: World) -> list[dict[str, Any]]:
    """Return what controllers say of the route, as status carries it."""
    live = world.owned.get((HTTP_ROUTE, world.owner.name))
    return [_parent(each, live) for each in _told(live)[:_MAX_PARENTS]] if live is not None else []


def _parent(told: Mapping[str, Any], live: Obj) -> dict[str, Any]:
    section = told["parentRef"].get("sectionName")
    return {
        "gateway": _named(told["parentRef"], live),
        **({"sectionName": section} if section else {}),
        "controller": told["controllerName"],
        "conditions": [{**each, "message": each["message"][:MAX_MESSAGE]} for each in told.get("conditions", ())],
    }


def _told(live: Obj) -> Sequence[Mapping[str, Any]]:
    return tuple((live.get("status") or {}).get("parents") or ())


def _reference(parent: Mapping[str, Any], live: Obj) -> tuple[str, str | None]:
    return _named(parent, live), parent.get("sectionName")


def _named(parent: Mapping[str, Any], live: Obj) -> str:
    return f"{parent.get('namespace') or live['metadata']['namespace']}/{parent['name']}"


def _say(reason: str, message: str, *, holds: bool | None) -> Condition:
    return condition(CONDITION, reason, message, holds=holds)
