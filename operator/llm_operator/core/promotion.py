"""Which revision becomes stable now, once the table that has it is live."""

from datetime import datetime

from llm_operator.core.course import Course
from llm_operator.core.delivery import Delivery
from llm_operator.core.pods import alive
from llm_operator.core.roles import Roles, version_of
from llm_operator.core.tables import Snapshot
from llm_operator.core.target import Version
from llm_operator.core.world import World
from llm_sidecar.table import WHOLE


def takes_over(world: World, roles: Roles, course: Course, content: Snapshot, delivery: Delivery, now: datetime) -> Version | None:
    """Return the version that takes over once the table is live, or None."""
    if not delivery.is_live:
        return None
    lost = roles.stable is not None and not course.usable and not alive(world, roles.stable.engine.id, now)
    left = _left(world, roles) if lost else None
    return left or _target(world, roles, content, delivery) or _challenger(world, roles, course, content, delivery, now)


def _left(world: World, roles: Roles) -> Version | None:
    """Return what is on its way out but could still serve: when nothing else can, it is what everything goes on from."""
    wanted = {each.id for each in roles.engines}
    routes = world.table.routes if world.table and roles.replicas else ()
    serving = (route for route in routes if route.engine not in wanted and world.ready_of(route.engine))
    return next((found for route in serving if (found := version_of(world, route.revision))), None)


def _target(world: World, roles: Roles, content: Snapshot, delivery: Delivery) -> Version | None:
    """Return the target when it needs no other engine to give way, and no steps.

    Without replicas there is nobody to wait for, the first revision waits for its first ready pod, and a Config change until every ready
    sidecar runs it.
    """
    target = roles.canary
    if target is None or roles.trial is not None or not content.has(target.revision.id):
        return None
    if roles.stable is None or not roles.replicas:
        through = not roles.replicas or world.ready_of(target.engine.id) > 0
    else:
        through = roles.diff_class == "Config" and delivery.complete
    return target if through else None


def _challenger(world: World, roles: Roles, course: Course, content: Snapshot, delivery: Delivery, now: datetime) -> Version | None:
    """Return the challenger when it has every unit, every ready sidecar knows, and it has the pods to carry them.

    When what it challenges has none left it takes over with fewer, also one that another change has replaced: it alone serves then. What is
    let in by steps is stable at their end, and before that only in such a case.
    """
    challenger = roles.challenger
    if challenger is None or roles.base is None or content.weight(challenger.revision.id) != WHOLE or not delivery.complete:
        return None
    carried = roles.trial is None and challenger.engine.id == course.growing and course.usable >= max(1, course.floor)
    return challenger if carried or not alive(world, roles.base.engine.id, now) else None
