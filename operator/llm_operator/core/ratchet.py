"""The ratchet: one pod up, one pod down, until an engine change is through. At each look, how many pods each engine should have now."""

from dataclasses import dataclass
from datetime import datetime
from math import ceil

from llm_operator.core.course import Course
from llm_operator.core.delivery import Delivery
from llm_operator.core.pods import alive
from llm_operator.core.roles import Roles, asked_of, engines_seen
from llm_operator.core.withholding import victims
from llm_operator.core.world import World, terminating
from llm_sidecar.table import WHOLE


@dataclass(frozen=True)
class Situation:
    """What a step is decided from."""

    world: World
    roles: Roles
    course: Course
    delivery: Delivery
    unplaced: bool
    now: datetime

    def asked(self, engine: str) -> int | None:
        """Return how many pods the Deployment of an engine is asked for now; None when there is no Deployment."""
        return asked_of(self.world, engine)

    def going(self, engine: str) -> int:
        """Return how many pods of an engine are on their way out."""
        return sum(terminating(pod) for pod in self.world.held_by(engine))

    def committed(self, engine: str) -> int:
        """Return how many pods of an engine hold an accelerator or are about to."""
        return max(self.asked(engine) or 0, len(self.world.pods_of(engine))) + self.going(engine)

    def others(self, *engines: str) -> int:
        """Return how many pods all other engines hold."""
        return sum(self.committed(each) for each in engines_seen(self.world) - set(engines))


def replicas(now: Situation) -> dict[str, int]:
    """Return how many pods each engine with a role should have.

    The engine that gives way keeps what the other cannot carry yet; the one that grows gets what is left under the ceiling, where a pod
    counts until it is really gone. So there is never one more than the surge allows, and never one less ready than asked for.
    """
    roles, growing, giving = now.roles, now.course.growing, now.course.giving
    found = {each.id: 0 for each in roles.engines}
    if not roles.readable:
        return {engine: _as_it_is(now, engine) for engine in found}
    if not roles.replicas:
        return found
    others = now.others(growing, giving)
    if giving:
        found[giving] = _kept(now, others)
        others += max(found[giving], now.committed(giving))
    room, asked = now.course.ceiling - others - now.going(growing) if others or roles.within else roles.replicas, now.asked(growing) or 0
    found[growing] = min(now.course.most, max(room, asked))
    if now.course.pinned and not now.delivery.complete:
        found[growing] = max(found[growing], asked)  # first no ready sidecar sends it anything any more
    return found


def _as_it_is(now: Situation, engine: str) -> int:
    """Return how many pods an engine has while nobody knows how many should be: what serves is made again, and nothing begins."""
    serves = now.roles.base is not None and engine == now.roles.base.engine.id
    asked = now.asked(engine)
    return asked if asked is not None else now.roles.replicas * serves


def _kept(now: Situation, others: int) -> int:
    """Return how many pods the engine that gives way keeps."""
    course, engine = now.course, now.course.giving
    asked, living = now.asked(engine), alive(now.world, engine, now.now)
    usable = 0 if course.pinned else course.usable  # the pod of a trial takes nobody's place
    need = _needed(now.roles, course)
    serves_alone = not usable and now.world.ready_of(engine) > 0
    kept = need if asked is None or serves_alone else min(asked, need)
    if usable:
        kept = min(kept, living)  # what is lost holds accelerators for nothing
    elif not living and _makes_room(now, asked or 0, need):
        kept = min(kept, max(0, (asked or 0) - 1))  # nobody serves, and the next engine has no room: it gets that of a lost pod
    if asked is None or kept > asked:
        room = course.ceiling - others - now.committed(course.growing) - now.going(engine)
        return min(kept, max(room, asked or 0))
    if kept < asked and not now.delivery.complete:
        return asked  # first every ready sidecar sends its units where they belong
    return kept if _may_end(now, living) else max(kept, min(asked, 1))


def _makes_room(now: Situation, asked: int, need: int) -> bool:
    """Return whether one lost pod more makes room for the first one of the next engine.

    No more go than that one needs, be they loading again or broken: whoever went before is missing from those that are needed, and may
    hold its accelerators still. A trial gets one at most. What is taken back is needed by nobody once it is lost.
    """
    course = now.course
    if not now.unplaced or now.roles.outgoing is not None:
        return now.unplaced
    engines = {each.id: each for each in now.roles.engines}
    enough = victims(now.world, engines[course.growing], engines[course.giving])
    return not now.going(course.giving) and need - asked < enough and (enough == 1 or not course.pinned)


def _needed(roles: Roles, course: Course) -> int:
    """Return how many pods of the engine that gives way are needed; beside a trial all of them.

    Once the other engine serves, a lower floor lets more of them go, though none that the load is known to need.
    """
    if course.pinned:
        return max(1, course.floor)
    rest = max(0, course.floor - course.carries)
    if not course.usable:
        return rest
    by_load = ceil(WHOLE / roles.each_pod) - course.usable if roles.each_pod else 0
    return min(rest, max(ceil(rest * roles.stable_floor), by_load))


def _may_end(now: Situation, living: int) -> bool:
    """Return whether the last pod may go before the other engine has taken over: nothing is left of it, or requests can wait elsewhere."""
    if now.course.floor:
        return not living and now.unplaced
    return not living or bool(now.world.entries)
