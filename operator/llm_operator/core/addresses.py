"""By which Service each engine of the table is reached: the public one while there is nothing else behind it, else one of its own.

Whoever hands a request over wants a pod of one engine. While no other engine and no entry is there, every pod behind the public Service
is one, and a Service for each deployment less is an address less to be allocated, which API servers do one at a time.
"""

from llm_operator.core import names
from llm_operator.core.roles import Roles, engines_seen
from llm_operator.core.world import World, engine_of
from llm_sidecar.table import Table


def service_of(world: World, roles: Roles, engine: str) -> str:
    """Return the name of the Service that reaches an engine. One of its own is kept for as long as the table has the engine."""
    own = names.child(world.owner.name, engine)
    known = world.table.engines.get(engine) if world.table else None
    kept = known is not None and known.service == own
    return own if kept or _has_company(world, roles, engine) else world.owner.name


def own_services(world: World, table: Table) -> tuple[str, ...]:
    """Return the engines that a table reaches by Services of their own."""
    return tuple(engine for engine, reached in sorted(table.engines.items()) if reached.service == names.child(world.owner.name, engine))


def _has_company(world: World, roles: Roles, engine: str) -> bool:
    """Return whether any pod behind the public Service is, or may soon be, none of this engine."""
    routed = {route.engine for route in world.table.routes} if world.table else set[str]()
    beside = routed | engines_seen(world) | {each.id for each in roles.engines} | {engine_of(pod) for pod in world.pods}
    return roles.holds or world.has_entry or beside != {engine}
