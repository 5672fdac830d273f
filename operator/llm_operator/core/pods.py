"""Which pods still count: one that has not been ready for a minute holds an accelerator for nothing."""

from datetime import datetime

from llm_operator.core.clock import seconds_since
from llm_operator.core.observed import Obj
from llm_operator.core.world import World, ready

_LOST_AFTER_S = 60.0


def alive(world: World, engine: str, now: datetime) -> int:
    """Return how many pods of an engine take requests or did until a moment ago; one that only blinks is not given up."""
    return sum(ready(pod) or _blinks(pod, now) for pod in world.pods_of(engine))


def _blinks(pod: Obj, now: datetime) -> bool:
    told: dict[str, str] = next((each for each in pod.get("status", {}).get("conditions", []) if each["type"] == "Ready"), {})
    return "lastTransitionTime" in told and seconds_since(told["lastTransitionTime"], now) < _LOST_AFTER_S
