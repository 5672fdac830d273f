"""What nobody asks for any more but has to stay for now, and what it waits for.

Units go first, then the pods, then the route, then the engine's own Service: each only when every sidecar that still exists knows of
the step before.
"""

from dataclasses import dataclass
from datetime import datetime

from llm_operator.core import names
from llm_operator.core.addresses import own_services
from llm_operator.core.delivery import Delivery
from llm_operator.core.kinds import DEPLOYMENT, SERVICE, Kind
from llm_operator.core.reasons import Reason
from llm_operator.core.roles import Roles, asked_of, engines_seen, weights_of
from llm_operator.core.tables import Snapshot
from llm_operator.core.world import World

NAMED = 3
"""Pods that a message names; the number says how many there are."""


@dataclass(frozen=True)
class Warm:
    """An engine that nobody asks for keeps its pods until then, in case somebody does again."""

    engine: str
    until: datetime


@dataclass(frozen=True)
class Removal:
    """Deployments and Services that must not go yet, and why; no words when nothing is left to remove."""

    kept: frozenset[tuple[Kind, str]] = frozenset()
    reason: str = ""
    words: str = ""


def removal(world: World, roles: Roles, content: Snapshot | None, delivery: Delivery, warm: Warm | None = None) -> Removal:
    """Return what stays."""
    asked = {each.id for each in roles.engines}
    wanted = asked | ({warm.engine} if warm else set())
    seen = engines_seen(world) - wanted
    routes = content.table.routes if content else ()
    named = set(own_services(world, content.table)) if content else set[str]()
    reachable = _with_service(world)
    weights = weights_of(world)
    serving = {each for each in seen if weights.get(each) or not _disposable(world, roles, each)}
    kept = {(DEPLOYMENT, each) for each in (serving if delivery.everywhere else seen)}
    kept |= {(kind, warm.engine) for kind in (DEPLOYMENT, SERVICE) if warm}
    kept |= {(SERVICE, each) for each in (reachable & (seen | named) if delivery.everywhere else reachable)}
    tried = roles.trial.version if roles.trial else None
    live = {each.revision.id for each in (roles.base, roles.challenger, tried) if each is not None}
    revisions = [route.revision for route in routes if route.engine in asked and route.revision not in live]
    left = [f"engine {each}" for each in sorted((seen | reachable) - wanted)] + [f"revision {each}" for each in revisions]
    pods = [pod["metadata"]["name"] for engine in sorted(seen) for pod in world.held_by(engine)]
    return Removal(frozenset((kind, names.child(world.owner.name, each)) for kind, each in kept), *_why(world, left, pods, delivery))


def _with_service(world: World) -> set[str]:
    """Return the engines that have a Service of their own."""
    prefix = names.child(world.owner.name, "")
    return {name.removeprefix(prefix) for name in world.of_kind(SERVICE) if name.startswith(prefix)}


def _disposable(world: World, roles: Roles, engine: str) -> bool:
    """Return whether an engine nobody asks for may go: it takes no requests, or somebody else does in its place.

    What no table names, because its revision is lost, takes none either. It goes when no engine with a role may have a pod, as then it is
    in their way and nothing would ever scale it down.
    """
    if not world.ready_of(engine) or not roles.replicas:
        return True
    if roles.stable is not None and world.ready_of(roles.stable.engine.id):
        return True
    return engine not in weights_of(world) and not any(asked_of(world, each.id) for each in roles.engines)


def _why(world: World, left: list[str], pods: list[str], delivery: Delivery) -> tuple[str, str]:
    if not left:
        return "", ""
    what = f"{', '.join(left)} is being removed"
    if delivery.is_live and delivery.behind:
        return Reason.DELIVERING, f"{what} once table {delivery.generation} is run by {listed(world, delivery.behind)}"
    return Reason.REMOVING, f"{what}; waiting for the end of {listed(world, tuple(pods))}" if pods else what


def listed(world: World, pods: tuple[str, ...]) -> str:
    """Return the names of pods, the first few of many; those that cannot be asked are told apart."""
    silent = {pod["metadata"]["name"] for pod in world.sidecars if world.report(pod) is None}
    words = [f"{name}, which cannot be asked" if name in silent else name for name in pods]
    return f"{'; '.join(words[:NAMED])}{' and others' if len(words) > NAMED else ''}"
