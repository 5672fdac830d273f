"""Who plays which role: stable serves, target is what is asked for, outgoing is a challenger that is not asked for any more."""

from dataclasses import dataclass, replace
from typing import Any

from llm_operator.api.durations import parse_s
from llm_operator.api.llmdeployment import Startup
from llm_operator.core import names
from llm_operator.core.kinds import DEPLOYMENT
from llm_operator.core.stored import Engine
from llm_operator.core.target import Target, Version
from llm_operator.core.world import World, engine_of, finished, ready
from llm_sidecar.table import Shadow


@dataclass(frozen=True)
class Trial:
    """A version that gets its requests by steps: its weight in the table, and the salt of its assignment.

    While one on another engine is ``pinned`` that has one pod, beside as many of stable as must serve. ``shadow`` says which requests are
    copied to it.
    """

    version: Version
    weight: int
    salt: str
    pinned: bool = False
    shadow: Shadow | None = None


@dataclass(frozen=True)
class Withheld:
    """Why no pod of stable may make way for another engine now, and one that is tried has to give its accelerator back."""

    reason: str
    message: str


@dataclass(frozen=True)
class Roles:
    """``stable`` is None until a first revision has served; ``target`` is None until a first spec could be used.

    ``latest`` is what the spec asks for. That is not the target when it was aborted, or while a rollback is on its way.
    ``outgoing`` still has units, from a change that another one has replaced. While the spec is not ``readable`` nobody knows how many
    replicas are asked for, and nothing is scaled.
    """

    stable: Version | None
    target: Version | None
    replicas: int
    startup_timeout_s: int
    outgoing: Version | None = None
    readable: bool = True
    replaces: bool = False
    """Whether a change takes the place of pods, the last one included."""
    borrows: bool = False
    """Whether a change may have one pod of stable as long as the others can carry the load."""
    sleeps: bool = False
    """Whether there may be no pod while nobody asks."""
    withheld: Withheld | None = None
    stable_floor: float = 1.0
    """Which part of the old pods that are still needed has to stay while pods change hands."""
    each_pod: int | None = None
    """Units that one pod can carry with headroom as the load is now, for an engine that is let in by steps; None where nobody knows."""
    latest: Version | None = None
    trial: Trial | None = None
    withdraws: bool = False
    """Whether what is outgoing was let in by steps: stable can carry all its requests at once as long as it has all its pods."""

    @property
    def canary(self) -> Version | None:
        """Return the target while it is not stable."""
        return self.target if self.target is not None and not same(self.target, self.stable) else None

    @property
    def diff_class(self) -> str:
        """Return what the change from stable to target needs."""
        return "Config" if self.stable and self.target and self.stable.engine.id == self.target.engine.id else "Engine"

    @property
    def base(self) -> Version | None:
        """Return the version that gets every unit no challenger gets: stable, or what replaces it on the same engine."""
        stays = self.target is None or self.diff_class == "Engine" or self.trial is not None
        return self.stable if self.stable is not None and stays else self.target

    @property
    def challenger(self) -> Version | None:
        """Return the version on another engine that takes units from the base; one that is going comes before one that is coming."""
        return self.outgoing or (self.target if self.target is not self.base and (self.trial is None or self.tries_engine) else None)

    @property
    def tries_engine(self) -> bool:
        """Return whether what gets its requests by steps runs on another engine than stable."""
        return self.trial is not None and self.stable is not None and self.trial.version.engine.id != self.stable.engine.id

    @property
    def within(self) -> bool:
        """Return whether a change may not use more pods than are asked for."""
        return self.replaces or self.borrows

    @property
    def alone(self) -> bool:
        """Return whether one engine can only run in place of the other: one accelerator is all there may be."""
        return self.replaces and self.replicas == 1

    @property
    def holds(self) -> bool:
        """Return whether there may be no engine for a while, so that somebody else has to hold requests."""
        return self.replaces or self.sleeps

    @property
    def engines(self) -> tuple[Engine, ...]:
        """Return the engines that must run, stable first."""
        versions = [each for each in (self.stable, self.outgoing, self.target) if each is not None]
        return tuple({each.engine.id: each.engine for each in versions}.values())

    def promoted(self, version: Version) -> "Roles":
        """Return the roles once a version has taken over."""
        return replace(self, stable=version, outgoing=None if same(version, self.outgoing) else self.outgoing, trial=None)


def cast(world: World, target: Target, scaled: int | None = None) -> Roles:
    """Return the roles before anything is promoted. Without a usable spec the last usable one stays the target.

    ``scaled`` is how many pods there are to be where the load decides that.
    """
    latest = target.version or version_of(world, world.status.get("latestRevision"))
    stable = _stable(world, latest.engine.id if latest else "")
    wanted = latest or stable
    outgoing = left_over(world, stable, wanted)
    asked = target.spec
    if asked is not None:
        mode, timeout_s = asked.rollout.capacity.mode, parse_s(asked.engine.startup.timeout)
        roles = Roles(stable, wanted, asked.replicas if scaled is None else scaled, timeout_s, outgoing, latest=wanted)
        floor = asked.rollout.capacity.stable_floor_percent / 100
        sleeps = asked.autoscaling.mode == "BuiltIn" and not asked.autoscaling.min_replicas
        return replace(roles, replaces=mode == "Replace", borrows=mode == "Borrow", sleeps=sleeps, stable_floor=floor)
    engines = (each for name, each in world.of_kind(DEPLOYMENT).items() if name != names.entry(world.owner.name))
    running = max((each["spec"].get("replicas", 1) for each in engines), default=1)
    roles = Roles(stable, wanted, running, parse_s(Startup().timeout), outgoing, readable=False, latest=wanted)
    return replace(roles, replaces=world.has_entry, borrows="loan" in world.status)


def same(one: Version | None, other: Version | None) -> bool:
    """Return whether two versions are the same revision."""
    return one is not None and other is not None and one.revision.id == other.revision.id


def engines_seen(world: World) -> set[str]:
    """Return the engines that have a Deployment or a pod."""
    deployments = world.of_kind(DEPLOYMENT).keys() - {names.entry(world.owner.name)}
    deployed = {name.removeprefix(names.child(world.owner.name, "")) for name in deployments}
    return deployed | {engine_of(pod) for pod in world.pods if engine_of(pod) and not finished(pod)}


def weights_of(world: World) -> dict[str, int]:
    """Return the weight of each engine in the live table; an engine without a route is not in it."""
    weights: dict[str, int] = {}
    for route in world.table.routes if world.table else ():
        weights[route.engine] = weights.get(route.engine, 0) + route.weight
    return weights


def asked_of(world: World, engine: str) -> int | None:
    """Return how many pods the Deployment of an engine is asked for now; None when there is no Deployment."""
    live = world.live(DEPLOYMENT, names.child(world.owner.name, engine))
    return None if live is None else int(live["spec"].get("replicas", 1))


def left_over(world: World, stable: Version | None, target: Version | None, salt: str = "") -> Version | None:
    """Return the challenger of the live table when it has units and nobody asks for its engine any more, or for another assignment.

    ``salt`` is that of the rollout that goes on. Without a table it is what serves in place of a stable engine that does not.
    """
    wanted = {each.engine.id for each in (stable, target) if each is not None}
    if world.table is None and stable is not None and not world.ready_of(stable.engine.id):
        return next((each for each in _reported(world) if each.engine.id not in wanted), None)
    if world.table is None or stable is None:
        return None
    wanted = {stable.engine.id} if salt and world.table.salt != salt else wanted
    moving = (route for route in world.table.routes if route.slot is not None and route.weight and route.engine not in wanted)
    return next((version_of(world, route.revision) for route in moving), None)


def _stable(world: World, latest: str) -> Version | None:
    """Return the revision that serves: what status says, or without status what the snapshot says and a ready pod bears out.

    Without either it is what most ready pods say they serve: with no route in the next table they would serve nothing any more.
    Where nothing is stable, what has a route and a ready pod on another engine than the ``latest`` is: it is all that could serve now.
    """
    told: dict[str, Any] = world.status.get("stable") or {}
    if told.get("revision"):
        return version_of(world, told["revision"])
    table = world.table
    if table is None:
        return next(iter(_reported(world)), None)
    for route in sorted(table.routes, key=lambda route: route.revision != table.stable):
        rebuilt = route.revision == table.stable and not world.status
        if world.ready_of(route.engine) and (rebuilt or route.engine != latest):
            return version_of(world, route.revision)
    return None


def _reported(world: World) -> list[Version]:
    """Return what ready pods say they serve, for when the snapshot is lost; what most of them serve first."""
    pods = [(pod, report) for pod in world.pods if ready(pod) and (report := world.report(pod)) is not None]
    found = [(pod, version) for pod, report in pods if (version := version_of(world, report.revision)) is not None]
    serving = [version for pod, version in found if version.engine.id == engine_of(pod)]
    return sorted(serving, key=lambda each: -world.ready_of(each.engine.id))


def version_of(world: World, revision: str | None) -> Version | None:
    """Return a stored revision with its engine."""
    found = world.stored.revision(revision) if revision else None
    engine = world.stored.engine(found.engine) if found else None
    return Version(engine, found) if found and engine else None
