"""The snapshot's content: the table of live revisions with a generation that only rises, and their bundles."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import msgspec

from llm_operator.api.routing import Routing
from llm_operator.core import names
from llm_operator.core.addresses import service_of
from llm_operator.core.course import Course
from llm_operator.core.delivery import runs
from llm_operator.core.kinds import DEPLOYMENT
from llm_operator.core.observed import Obj
from llm_operator.core.roles import Roles, Trial
from llm_operator.core.target import Version
from llm_operator.core.world import World, engine_of
from llm_sidecar.bundle import encode
from llm_sidecar.table import PEERS_KEY, TABLE_KEY, WHOLE, Engine, Route, Subject, Table, bundle_key
from llm_sidecar.table import encode as encode_table

MAX_ROUTES = 6
"""Revisions one table may hold: their bundles share a ConfigMap, which holds 1 MiB."""

_BELIEVED = 2**53
"""Pods write their reports themselves: a generation beyond this is not one that was ever given out."""


@dataclass(frozen=True)
class Snapshot:
    """Keys of the snapshot ConfigMap, and whether the live one has exactly these.

    ``full`` says that the newest revision is not among them: as many are live as may be.
    """

    table: Table
    data: dict[str, str]
    is_live: bool
    full: bool = False

    @property
    def generation(self) -> int:
        """Return the generation of its table."""
        return self.table.generation

    def weight(self, revision: str) -> int:
        """Return the weight of a revision; 0 when it has no route."""
        return next((route.weight for route in self.table.routes if route.revision == revision), 0)

    def percent(self, revision: str) -> int:
        """Return the weight of a revision in percent; a fraction counts for the base."""
        weight = self.weight(revision) * 100
        return -(-weight // WHOLE) if revision == self.table.stable else weight // WHOLE

    def has(self, revision: str) -> bool:
        """Return whether a revision has a route."""
        return any(route.revision == revision for route in self.table.routes)


def snapshot(world: World, roles: Roles, course: Course | None, routing: Routing | None) -> Snapshot | None:
    """Return the snapshot for the given roles, or None while there is no revision at all; without ``routing`` units are found as before."""
    base = roles.base
    if base is None or course is None:
        return None
    moving = _moving(world, roles, course)
    routes = [_route(base, weight=WHOLE - (moving.weight if moving else course.weight))]
    if moving is not None:
        routes.append(_route(moving.version, weight=moving.weight, slot=0))
    versions = [base, *([moving.version] if moving else [])]
    bundles = {bundle_key(each.revision.id): encode(each.revision.bundle).decode() for each in versions}
    live = world.bundles
    for route in _lingering(world, roles):
        if route.bundle in live and route.bundle not in bundles:
            bundles[route.bundle] = live[route.bundle]
            routes.append(msgspec.structs.replace(route, weight=0, slot=None))
    if len(routes) > MAX_ROUTES and world.table is not None:
        return Snapshot(world.table, dict(live), is_live=True, full=True)
    engines = {route.engine: Engine(service=service_of(world, roles, route.engine)) for route in routes}
    table = Table(
        generation=0,
        stable=base.revision.id,
        routes=tuple(routes),
        engines=engines,
        salt=moving.salt if moving else "",
        subject=_subject(world, moving, routing),
        shadow=moving.shadow if moving else None,
    )
    return _numbered(world, table, bundles)


def _route(version: Version, *, weight: int, slot: int | None = None) -> Route:
    revision = version.revision.id
    return Route(revision=revision, engine=version.engine.id, bundle=bundle_key(revision), weight=weight, slot=slot)


def _moving(world: World, roles: Roles, course: Course) -> Trial | None:
    """Return what takes requests from the base.

    The salt of an engine change without steps stays as long as the same engine is the challenger.
    """
    challenger, trial = roles.challenger, roles.trial
    if challenger is None:
        return trial
    if trial is not None and not roles.outgoing:
        return replace(trial, weight=course.weight)
    routes = world.table.routes if world.table else ()
    live = next((each for each in routes if each.slot is not None and each.engine == challenger.engine.id), None)
    salt = world.table.salt if live is not None and world.table else challenger.revision.id
    return Trial(challenger, course.weight, salt)


def _subject(world: World, moving: Trial | None, routing: Routing | None) -> tuple[Subject, ...]:
    """Return where sidecars look for the unit of a request. It stays while units move: another unit is another assignment."""
    live = world.table
    slots = live is not None and any(each.slot is not None for each in live.routes)
    if live is not None and (routing is None or (slots and moving is not None and moving.salt == live.salt)):
        return live.subject
    listed = routing.subject if routing is not None else ()
    return tuple(Subject(header=each.header or "", body_field=each.body_field or "", api_key=each.api_key is not None) for each in listed)


def _lingering(world: World, roles: Roles) -> list[Route]:
    """Return the live routes that must stay although nobody asks for them.

    One may go when the live table already gives it no unit, every sidecar runs that table, and no pod is left that serves nothing else.
    """
    if world.table is None:
        return []
    live = world.table
    newest = _newest(world) <= live.generation
    wanted = {each.engine.id for each in (roles.base, roles.challenger) if each is not None}

    def may_go(route: Route) -> bool:
        served = world.held_by(route.engine) or world.live(DEPLOYMENT, names.child(world.owner.name, route.engine))
        without_units = route.revision != live.stable and route.slot is None and not route.weight
        known = newest and all(_needs_not(world, pod, route, live.generation) for pod in world.sidecars)
        return known and without_units and (route.engine in wanted or not served)

    return [route for route in live.routes if not may_go(route)]


def _needs_not(world: World, pod: Obj, route: Route, generation: int) -> bool:
    """Return whether a sidecar would not miss a route: it runs the table, or it cannot, and what it runs has never had that route."""
    report = world.report(pod)
    if report is None or runs(report, generation):
        return report is not None
    return report.error_generation == generation and engine_of(pod) == route.engine and route.revision not in report.revisions


def _newest(world: World) -> int:
    """Return the highest generation that any sidecar has reported and that can be true."""
    reports = [world.report(pod) for pod in world.pods]
    return max((each.generation for each in reports if each and each.generation and each.generation < _BELIEVED), default=0)


def _numbered(world: World, table: Table, bundles: Mapping[str, str]) -> Snapshot:
    """Return the snapshot under the generation it has already, or the next one. Peers change without one."""
    current = world.table.generation if world.table else 0
    known = max(current, (world.status.get("table") or {}).get("generation") or 0, _newest(world))
    kept = _content(table, current, bundles)
    if known == current and {key: each for key, each in world.bundles.items() if key != PEERS_KEY} == kept.data:
        return kept
    return _content(table, known + 1, bundles, is_live=False)


def _content(table: Table, generation: int, bundles: Mapping[str, str], *, is_live: bool = True) -> Snapshot:
    numbered = msgspec.structs.replace(table, generation=generation)
    return Snapshot(numbered, {TABLE_KEY: encode_table(numbered).decode(), **bundles}, is_live=is_live)
