"""Which pods are to go when there are to be fewer: those with the fewest requests, so that the least is waited for while they drain."""

from collections.abc import Mapping
from math import inf

from llm_operator.core.actions import Mark
from llm_operator.core.course import Course
from llm_operator.core.names import ANNOTATION_DELETION_COST
from llm_operator.core.observed import Obj
from llm_operator.core.roles import asked_of
from llm_operator.core.world import World, ready


def leaving(world: World, course: Course, numbers: Mapping[str, int]) -> tuple[Mark, ...]:
    """Return how to have the right pods go while one engine serves alone; in a change of the engine all of the old one go anyway.

    Kubernetes takes pods that are not ready first, and then those with the lowest cost: below that of all others, which may have been
    marked before and stayed.
    """
    engine = course.growing
    asked, wanted = asked_of(world, engine), numbers[engine]
    if course.giving or not wanted or asked is None or asked <= wanted:
        return ()
    pods = [pod for pod in world.pods_of(engine) if ready(pod)]
    going = sorted(pods, key=lambda pod: (_in_flight(world, pod), pod["metadata"]["name"]))[: max(len(pods) - wanted, 0)]
    lowest = min((_cost(pod) for pod in pods if pod not in going), default=0)
    return tuple(Mark(pod["metadata"]["name"], min(lowest, 0) - 1) for pod in going if _cost(pod) >= lowest)


def _in_flight(world: World, pod: Obj) -> float:
    """Return how many requests a pod has; of one that cannot be asked nobody knows, so it is taken last."""
    report = world.report(pod)
    return inf if report is None else report.inflight


def _cost(pod: Obj) -> int:
    told = (pod["metadata"].get("annotations") or {}).get(ANNOTATION_DELETION_COST, "0")
    return int(told) if told.removeprefix("-").isdecimal() else 0
