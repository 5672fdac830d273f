"""Who plays which role: stable serves, target is what is asked for and becomes stable when it can take over."""

from dataclasses import dataclass
from typing import Any

from llm_operator.core.kinds import DEPLOYMENT
from llm_operator.core.names import LABEL_ENGINE
from llm_operator.core.stored import Engine
from llm_operator.core.target import Target, Version
from llm_operator.core.world import World, ready


@dataclass(frozen=True)
class Roles:
    """``stable`` is None until a first revision has served; ``target`` is None until a first spec could be used."""

    stable: Version | None
    target: Version | None
    replicas: int

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
        return Roles(self.target, self.target, self.replicas)


def cast(world: World, target: Target) -> Roles:
    """Return the roles before anything is promoted. Without a usable spec the last usable one stays the target."""
    stable = _stable(world)
    wanted = target.version or _version(world, world.status.get("latestRevision")) or stable
    return Roles(stable, wanted, _replicas(world, target))


def same(one: Version | None, other: Version | None) -> bool:
    """Return whether two versions are the same revision."""
    return one is not None and other is not None and one.revision.id == other.revision.id


def ready_of(world: World, engine: str) -> int:
    """Return how many pods of an engine take requests."""
    return sum(ready(pod) for pod in world.pods_of(engine))


def can_take_over(world: World, roles: Roles, *, delivered: bool) -> bool:
    """Return whether the target may become stable; ``delivered`` says that every ready sidecar runs the table that has it.

    The first revision takes over with its first ready pod, a Config change when it is delivered, an Engine change when the new engine is
    as large as asked for. Without replicas there is nobody to wait for.
    """
    target = roles.canary
    if target is None:
        return False
    if roles.replicas == 0:
        return delivered
    if roles.stable is not None and roles.diff_class == "Config":
        return delivered
    others = [each for each in _engines_seen(world) if each != target.engine.id and ready_of(world, each)]
    enough = roles.replicas if others or roles.stable is not None else 1
    return delivered and ready_of(world, target.engine.id) >= enough


def disposable(world: World, roles: Roles, engine: str) -> bool:
    """Return whether an engine nobody asks for may go: it takes no requests, or somebody else does in its place."""
    if not ready_of(world, engine) or roles.replicas == 0:
        return True
    return roles.stable is not None and ready_of(world, roles.stable.engine.id) > 0


def _engines_seen(world: World) -> set[str]:
    return {str(each["metadata"].get("labels", {}).get(LABEL_ENGINE, "")) for each in world.of_kind(DEPLOYMENT).values()}


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


def _replicas(world: World, target: Target) -> int:
    """Return the replicas asked for; when the spec cannot be read, what runs stays."""
    if target.spec is not None:
        return target.spec.replicas
    counts = [each.get("spec", {}).get("replicas", 1) for each in world.of_kind(DEPLOYMENT).values()]
    return max(counts, default=1)
