"""The course of an engine change: which engine grows, which gives way, and the share of all units that the challenger gets now."""

from dataclasses import dataclass

from llm_operator.core.roles import Roles, ready_of, weights_of
from llm_operator.core.world import World, engine_of, ready
from llm_sidecar.table import WHOLE


@dataclass(frozen=True)
class Course:
    """``growing`` and ``giving`` are engine ids; nothing gives way while there is one engine only.

    ``floor`` is how many pods must take requests, ``ceiling`` how many there may be, those on their way out included. ``usable`` is how
    many pods of the growing engine can be given units; ``unreached`` says why none can although some are ready. ``weight`` is the
    challenger's.
    """

    growing: str
    giving: str
    floor: int
    ceiling: int
    usable: int
    unreached: str
    weight: int


def chart(world: World, roles: Roles) -> Course | None:
    """Return the course, or None while there is no revision at all.

    A change that another one has replaced is taken back first: its engine gives way to the base, and only then the next one grows.
    """
    if roles.base is None:
        return None
    base, challenger = roles.base.engine.id, roles.challenger.engine.id if roles.challenger else ""
    back = roles.outgoing is not None or not challenger
    growing, giving = (base, challenger) if back else (challenger, base)
    live = weights_of(world)
    unreached = "" if live.get(growing) else _unreached(world, growing)
    usable = 0 if unreached else ready_of(world, growing)
    floor = max(0, roles.replicas - 1) if roles.replaces and giving else roles.replicas
    share = _share(usable, ready_of(world, giving), floor)
    if not challenger or not roles.replicas:
        weight = 0
    elif share is None or not roles.readable:
        weight = live.get(challenger, 0)  # nobody serves, or nobody knows how many pods should: units stay where they are
    else:
        weight = WHOLE - share if back else share
    ceiling = roles.replicas if roles.replaces else roles.replicas + 1
    return Course(growing, giving, floor, ceiling=ceiling, usable=usable, unreached=unreached, weight=weight)


def _share(usable: int, giving: int, floor: int) -> int | None:
    """Return the share of the growing engine: as if all pods that must serve carried the same, and never less than that of each pod.

    A share of the pods that are ready now would be lower by the surge pod's part, and change with each pod that goes as well as with each
    that comes.
    """
    if not usable + giving:
        return None
    carriers = max(1, min(floor, usable + giving))
    return WHOLE * min(usable, carriers) // carriers


def _unreached(world: World, engine: str) -> str:
    """Return why an engine that has no units yet cannot be given any: every sidecar must have reached it, and itself run the table."""
    routes = {route.revision for route in world.table.routes if route.engine == engine} if world.table else set[str]()
    for pod in world.pods:
        if not ready(pod):
            continue
        report, name = world.report(pod), pod["metadata"]["name"]
        if report is None:
            return f"pod {name} cannot be asked"
        if engine_of(pod) == engine:
            if not routes & {report.revision, *report.revisions}:
                return f"pod {name} does not serve it yet"
        elif report.reaches is not None and engine not in report.reaches:
            return f"pod {name} has not reached it yet"
    return ""
