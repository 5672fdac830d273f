"""The course of an engine change: which engine grows, which gives way, and the share of all units that the challenger gets now."""

from dataclasses import dataclass

from llm_operator.core.roles import Roles, Trial, asked_of, weights_of
from llm_operator.core.world import World, engine_of, ready
from llm_sidecar.table import WHOLE


@dataclass(frozen=True)
class Course:
    """``growing`` and ``giving`` are engine ids; nothing gives way while there is one engine only.

    ``floor`` is how many pods must take requests, ``ceiling`` how many there may be, those on their way out included. ``usable`` is how
    many pods of the growing engine can be given units; ``unreached`` says why none can although some are ready. ``weight`` is the
    challenger's. While a trial is ``pinned`` nothing gives way to the growing engine, which may have ``most`` pods. The growing engine
    ``carries`` the load of so many pods; fewer than are usable while the load is too high for that.
    """

    growing: str
    giving: str
    floor: int
    ceiling: int
    usable: int
    unreached: str
    weight: int
    most: int
    pinned: bool = False
    carries: int = 0


_NEAR, _WITHIN = 0.75, 0.875
"""A share that the load bounds stays where it is between the first part of the bound and the bound; else it goes to the second."""


def chart(world: World, roles: Roles) -> Course | None:
    """Return the course, or None while there is no revision at all.

    A change that another one has replaced is taken back first: its engine gives way to the base, and only then the next one grows.
    """
    if roles.base is None:
        return None
    base, challenger = roles.base.engine.id, roles.challenger.engine.id if roles.challenger else ""
    back = roles.outgoing is not None or not challenger
    growing, giving = (base, challenger) if back else (challenger, base)
    usable, unreached = usable_of(world, growing)
    floor = floor_of(roles, back=back) if giving else roles.replicas
    share = share_of(usable, world.ready_of(giving), floor)
    trial = None if back else roles.trial
    live, whole = weights_of(world).get(challenger, 0), share
    if trial is not None and share is not None:
        share = carried(roles, share, usable, floor, live)
    if not challenger or not roles.replicas:
        weight = 0
    elif share is None or not (roles.readable or trial or roles.withdraws):
        weight = live  # nobody serves, or nobody knows how many pods should: units stay where they are
    elif trial is not None:
        weight = _tried(trial, share, absent=roles.alone or roles.withheld is not None) if world.ready_of(giving) else share
    else:
        weight = _left(world, roles, usable, WHOLE - share) if back else share
    ceiling = roles.replicas if roles.within else roles.replicas + 1
    pinned = trial is not None and trial.pinned
    most = _most(roles, live) if pinned else roles.replicas
    carries = usable if share == whole else floor * (share or 0) // WHOLE
    return Course(growing, giving, floor, ceiling, usable, unreached, weight, most, pinned, carries)


def _tried(trial: Trial, share: int, *, absent: bool) -> int:
    """Return the weight of what gets its requests by steps: no more than its pods can carry, and none where it is to have no pod."""
    return 0 if trial.pinned and absent else min(trial.weight, share)


def _left(world: World, roles: Roles, usable: int, rest: int) -> int:
    """Return the weight of what is taken back: none where stable has all its pods, else what those that are ready cannot carry yet."""
    whole = roles.withdraws and usable and roles.base and (asked_of(world, roles.base.engine.id) or 0) >= floor_of(roles, back=True)
    return 0 if whole else rest


def _most(roles: Roles, live: int) -> int:
    """Return how many pods a trial may have. In place of the last one of stable, or of one it needs, it has none once it has no request."""
    return int(live > 0) if roles.alone or roles.withheld else min(roles.replicas, 1)


def floor_of(roles: Roles, *, back: bool = False) -> int:
    """Return how many pods must take requests while an engine gives way. What is taken ``back`` waits for no load: an abort always wins."""
    if not roles.within or (roles.withheld and not back):
        return roles.replicas
    return max(min(int(roles.borrows), roles.replicas), roles.replicas - 1)


def usable_of(world: World, engine: str) -> tuple[int, str]:
    """Return how many pods of an engine can be given units, and why none can although some are ready."""
    unreached = "" if weights_of(world).get(engine) else _unreached(world, engine)
    return 0 if unreached else world.ready_of(engine), unreached


def share_of(usable: int, giving: int, floor: int) -> int | None:
    """Return the share of the growing engine: as if all pods that must serve carried the same, and never less than that of each pod.

    A share of the pods that are ready now would be lower by the surge pod's part, and change with each pod that goes as well as with each
    that comes.
    """
    if not usable + giving:
        return None
    carriers = max(1, min(floor, usable + giving))
    return WHOLE * min(usable, carriers) // carriers


def carried(roles: Roles, share: int, usable: int, floor: int, live: int) -> int:
    """Return a share within what the usable pods of an engine can carry as the load is; as many as must serve carry everything.

    It stays while it is near the bound: a table with each request more or less would be too many.
    """
    if roles.each_pod is None or usable >= floor or share <= usable * roles.each_pod:
        return share
    most = usable * roles.each_pod
    return live if _NEAR * most <= live <= most else int(_WITHIN * most)


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
