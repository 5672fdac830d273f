"""The snapshot's content: the table of live revisions with a generation that only rises, and their bundles."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from llm_operator.core import names
from llm_operator.core.roles import Roles
from llm_operator.core.target import Version
from llm_operator.core.world import World, engine_of
from llm_sidecar.bundle import encode
from llm_sidecar.table import TABLE_KEY, WHOLE, Engine, Route, Table, bundle_key
from llm_sidecar.table import encode as encode_table

_BELIEVED = 2**53
"""Pods write their reports themselves: a generation beyond this is not one that was ever given out."""


@dataclass(frozen=True)
class Snapshot:
    """Keys of the snapshot ConfigMap, and whether the live one has exactly these."""

    generation: int
    data: dict[str, str]
    is_live: bool


def snapshot(world: World, roles: Roles) -> Snapshot | None:
    """Return the snapshot for the given roles, or None while there is no revision at all."""
    versions = _live_versions(roles)
    if not versions:
        return None
    routes = [
        Route(revision=each.revision.id, engine=each.engine.id, bundle=bundle_key(each.revision.id), weight=WHOLE if index == 0 else 0)
        for index, each in enumerate(versions)
    ]
    bundles = {bundle_key(each.revision.id): encode(each.revision.bundle).decode() for each in versions}
    live = world.bundles
    for route in _lingering(world, {each.engine.id for each in versions}):
        if route.bundle in live and route.bundle not in bundles:
            bundles[route.bundle] = live[route.bundle]
            routes.append(msgspec.structs.replace(route, weight=0))
    engines = {each.engine.id: Engine(service=names.child(world.owner.name, each.engine.id)) for each in versions}
    table = Table(generation=0, stable=versions[0].revision.id, routes=tuple(routes), engines=engines)
    return _numbered(world, table, bundles)


def _live_versions(roles: Roles) -> list[Version]:
    """Return the versions with a route, the one that gets all units first. A Config change replaces, an Engine change stands beside."""
    stable, target = roles.stable, roles.target
    if target is None:
        return [stable] if stable else []
    return [target] if stable is None or stable.engine.id == target.engine.id else [stable, target]


def _lingering(world: World, engines: set[str]) -> list[Route]:
    """Return the routes of engines that go: until their last pod is gone it must find what it serves."""
    there = {engine_of(pod) for pod in world.pods} - engines
    return [route for route in (world.table.routes if world.table else ()) if route.engine in there]


def _numbered(world: World, table: Table, bundles: Mapping[str, str]) -> Snapshot:
    reports = [world.report(pod) for pod in world.pods]
    reported = [each.generation for each in reports if each and each.generation and each.generation < _BELIEVED]
    current = world.table.generation if world.table else 0
    known = max(current, (world.status.get("table") or {}).get("generation") or 0, *reported, 0)
    kept = {TABLE_KEY: _text(table, current), **bundles}
    if known == current and dict(world.bundles) == kept:
        return Snapshot(current, kept, is_live=True)
    return Snapshot(known + 1, {TABLE_KEY: _text(table, known + 1), **bundles}, is_live=False)


def _text(table: Table, generation: int) -> str:
    return encode_table(msgspec.structs.replace(table, generation=generation)).decode()
