"""Pods that were asked for and are not there yet: whether any is on its way, and for how long one has not come."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from llm_operator.core.clock import seconds_since
from llm_operator.core.diagnose import refused_since
from llm_operator.core.observed import Obj
from llm_operator.core.roles import asked_of
from llm_operator.core.scaling.decide import Fleet
from llm_operator.core.stored import Engine
from llm_operator.core.world import World, ready


def pending(world: World, engines: Sequence[Engine], now: datetime) -> timedelta | None:
    """Return for how long the oldest pod that is to help has not come, be it that it is not ready or that it cannot even be created.

    It is one of stable for as long as that serves: whether a pod of another engine comes up says nothing of whether one more of stable's
    would, and it comes in place of one.
    """
    stable = world.stable_engine
    serves = bool(stable) and any(map(ready, world.pods_of(stable)))
    waited_for = [each.id for each in engines if each.id == stable or not serves]
    begins = [_unready_since(pod) for engine in waited_for for pod in world.pods_of(engine) if not ready(pod)]
    begins += [refused_since(world, each) for each in waited_for if len(world.pods_of(each)) < (asked_of(world, each) or 0)]
    return max((timedelta(seconds=seconds_since(each, now)) for each in begins if each), default=None)


def are_coming(world: World, engines: Sequence[Engine], fleet: Fleet, patience: timedelta, now: datetime) -> bool:
    """Return whether pods are on their way, of whatever engine or not there yet; what takes longer than ``patience`` is not."""
    pods = [pod for each in engines for pod in world.pods_of(each.id)]
    late = fleet.pending is not None and fleet.pending > patience
    unready = (pod for pod in pods if not ready(pod))
    return (len(pods) < fleet.asked and not late) or any(
        seconds_since(_unready_since(pod), now) <= patience.total_seconds() for pod in unready
    )


def since(pod: Obj, status: str) -> str | None:
    """Return since when a pod is ready, or is not, where that is told."""
    conditions = pod.get("status", {}).get("conditions", [])
    return next((each.get("lastTransitionTime") for each in conditions if each["type"] == "Ready" and each["status"] == status), None)


def _unready_since(pod: Obj) -> str | None:
    """Return since when a pod is not ready: one that was until a moment ago is no pod that does not come up."""
    return since(pod, "False") or pod["metadata"].get("creationTimestamp")
