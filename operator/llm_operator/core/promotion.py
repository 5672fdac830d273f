"""Which revision becomes stable now, once the table that has it is live."""

from datetime import datetime

from llm_operator.core.course import Course
from llm_operator.core.delivery import Delivery
from llm_operator.core.pods import alive
from llm_operator.core.roles import Roles, ready_of
from llm_operator.core.tables import Snapshot
from llm_operator.core.target import Version
from llm_operator.core.world import World
from llm_sidecar.table import WHOLE


def takes_over(world: World, roles: Roles, course: Course, content: Snapshot, delivery: Delivery, now: datetime) -> Version | None:
    """Return the version that takes over, or None.

    The first revision does with its first ready pod, and without replicas there is nobody to wait for. A Config change does when every
    ready sidecar runs it. A challenger does when it has every unit, every ready sidecar knows, and it has the pods to carry them or
    what it challenges has none left: that is so for one that another change has replaced, too, for then it alone serves.
    """
    target, challenger = roles.canary, roles.challenger
    if not delivery.is_live:
        return None
    if target is not None and content.has(target.revision.id):
        if not roles.replicas:
            return target
        if roles.stable is None:
            return target if ready_of(world, target.engine.id) else None
        if roles.diff_class == "Config" and delivery.complete:
            return target
    if challenger is None or roles.base is None or content.weight(challenger.revision.id) != WHOLE or not delivery.complete:
        return None
    carried = challenger.engine.id == course.growing and course.usable >= max(1, course.floor)
    return challenger if carried or not alive(world, roles.base.engine.id, now) else None
