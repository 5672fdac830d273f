"""Who plays which role: stable serves, target is what is asked for and becomes stable when it can take over."""

from dataclasses import dataclass, replace
from typing import Any

from llm_operator.api.durations import parse_s
from llm_operator.api.llmdeployment import Startup
from llm_operator.core import names
from llm_operator.core.delivery import Delivery
from llm_operator.core.kinds import DEPLOYMENT
from llm_operator.core.stored import Engine
from llm_operator.core.target import Target, Version
from llm_operator.core.world import World, ready


@dataclass(frozen=True)
class Roles:
    """``stable`` is None until a first revision has served; ``target`` is None until a first spec could be used."""

    stable: Version | None
    target: Version | None
    replicas: int
    startup_timeout_s: int

    @property
    def canary(self) -> Version | None:
        """Return the target while it is not stable."""
        return self.target if self.target is not None and not same(self.target, self.stable) else None

    @property
    def diff_class(self) -> str:
        """Return what the change from stable to target needs."""
        return "Config" if self.stable and self.target and self.stable.engine.id == self.target.engine.id else "Engine"

    @property
    def engines(self) -> tuple[Engine, ...]:
        """Return the engines that must run, stable first."""
        versions = [each for each in (self.stable, self.target) if each is not None]
        return tuple({each.engine.id: each.engine for each in versions}.values())

    def promoted(self) -> "Roles":
        """Return the roles once the target has taken over."""
        return replace(self, stable=self.target)


def cast(world: World, target: Target) -> Roles:
    """Return the roles before anything is promoted. Without a usable spec the last usable one stays the target."""
    stable = _stable(world)
    wanted = target.version or _version(world, world.status.get("latestRevision")) or stable
    asked = target.spec
    if asked is not None:
        return Roles(stable, wanted, asked.replicas, parse_s(asked.engine.startup.timeout))
    running = max((each["spec"].get("replicas", 1) for each in world.of_kind(DEPLOYMENT).values()), default=1)
    return Roles(stable, wanted, running, parse_s(Startup().timeout))


def same(one: Version | None, other: Version | None) -> bool:
    """Return whether two versions are the same revision."""
    return one is not None and other is not None and one.revision.id == other.revision.id


def ready_of(world: World, engine: str) -> int:
    """Return how many pods of an engine take requests."""
    return sum(ready(pod) for pod in world.pods_of(engine))


def can_take_over(world: World, roles: Roles, delivery: Delivery) -> bool:
    """Return whether the target may become stable, once the table that has it is live.

    A Config change waits until every ready sidecar runs that table. An Engine change waits for as many ready pods as are asked for, all
    of which run it. The first revision takes over with its first ready pod, and without replicas there is nobody to wait for.
    """
    target = roles.canary
    if target is None or not delivery.is_live:
        return False
    if roles.replicas == 0:
        return True
    if roles.stable is not None and roles.diff_class == "Config":
        return delivery.complete
    count = ready_of(world, target.engine.id)
    if roles.stable is None and not _others_serve(world, target.engine.id):
        return count > 0
    return count >= roles.replicas and delivery.run_by(target.engine.id)


def disposable(world: World, roles: Roles, engine: str) -> bool:
    """Return whether an engine nobody asks for may go: it takes no requests, or somebody else does in its place."""
    if not ready_of(world, engine) or roles.replicas == 0:
        return True
    return roles.stable is not None and ready_of(world, roles.stable.engine.id) > 0


def engines_seen(world: World) -> set[str]:
    """Return the engines that have a Deployment."""
    return {name.removeprefix(names.child(world.owner.name, "")) for name in world.of_kind(DEPLOYMENT)}


def _others_serve(world: World, engine: str) -> bool:
    return any(ready_of(world, each) for each in engines_seen(world) - {engine})


def _stable(world: World) -> Version | None:
    """Return the revision that serves: what status says, or without status what the snapshot says and a ready pod bears out."""
    told: dict[str, Any] = world.status.get("stable") or {}
    if told.get("revision"):
        return _version(world, told["revision"])
    table = world.table
    version = _version(world, table.stable) if table and not world.status else None
    return version if version and ready_of(world, version.engine.id) else None


def _version(world: World, revision: str | None) -> Version | None:
    found = world.stored.revision(revision) if revision else None
    engine = world.stored.engine(found.engine) if found else None
    return Version(engine, found) if found and engine else None
