"""How long pods take to start, and with what: read from what the kubelet tells of each, the last few kept in the status."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from statistics import median
from typing import Any

from llm_operator.api.durations import parse_s
from llm_operator.api.llmdeployment import LLMDeploymentSpec
from llm_operator.core.observed import Obj
from llm_operator.core.podstate import restarts
from llm_operator.core.world import World, engine_of, ready

PHASES = ("Scheduled", "Fetched", "Image", "Weights", "Ready")
"""Until a node was found, until the fetcher had ended, until the engine ran, until it answered; and all of that together."""
_KEPT = 5


@dataclass(frozen=True)
class Start:
    """How long one pod took, in whole seconds as the kubelet tells them, for each of ``PHASES``."""

    pod: str
    ready_at: str
    seconds: tuple[int, ...]

    @property
    def ready_s(self) -> int:
        """Return how long it took in all."""
        return self.seconds[-1]


def starts(world: World, spec: LLMDeploymentSpec | None) -> tuple[Start, ...]:
    """Return the last few starts, oldest first: those that were known, and those of pods that have become ready since.

    The kubelet keeps only when a pod was last found ready. One that is so within the time it has to start in has just started; another one
    was ready before. Several may become ready at the same second, and be seen one after the other.
    """
    told = (world.status.get("startup") or {}).get("starts", ())
    known = [Start(each["pod"], each["readyAt"], tuple(each["seconds"])) for each in told]
    if spec is None:
        return tuple(known)
    counted = {each.pod for each in known}
    within_s = parse_s(spec.engine.startup.timeout)
    pods = (pod for pod in world.pods if engine_of(pod) and ready(pod) and not restarts(pod) and pod["metadata"]["name"] not in counted)
    new = [each for each in map(_start, pods) if each is not None and each.ready_s <= within_s]
    return tuple(sorted([*known, *new], key=lambda each: (each.ready_at, each.pod))[-_KEPT:])


def startup_of(found: Sequence[Start]) -> dict[str, Any]:
    """Return what the status says of them, of each phase the last time and the median; nothing before the first one."""
    if not found:
        return {}
    phases = [
        {"name": name, "lastSeconds": found[-1].seconds[at], "medianSeconds": round(median(each.seconds[at] for each in found))}
        for at, name in enumerate(PHASES)
    ]
    kept = [{"pod": each.pod, "readyAt": each.ready_at, "seconds": list(each.seconds)} for each in found]
    return {"startup": {"phases": phases, "starts": kept}}


def _start(pod: Obj) -> Start | None:
    """Return how a pod started, or None where what is told of it is not whole. One whose files are mounted has fetched them at once."""
    status = pod.get("status", {})
    at = {each["type"]: each.get("lastTransitionTime") for each in status.get("conditions", []) if each["status"] == "True"}
    placed, answers = at.get("PodScheduled"), at.get("Ready")
    fetched = _told(status.get("initContainerStatuses", []), "fetch", "terminated", "finishedAt") or placed
    began = _told(status.get("containerStatuses", []), "engine", "running", "startedAt")
    moments = [datetime.fromisoformat(each) for each in (pod["metadata"].get("creationTimestamp"), placed, fetched, began, answers) if each]
    if len(moments) < len(PHASES):
        return None
    parts = [*pairwise(moments), (moments[0], moments[-1])]
    return Start(pod["metadata"]["name"], str(answers), tuple(max(round((end - begin).total_seconds()), 0) for begin, end in parts))


def _told(statuses: Iterable[Mapping[str, Any]], container: str, state: str, when: str) -> str | None:
    """Return a time that is told of the state of a container."""
    return next((each.get("state", {}).get(state, {}).get(when) for each in statuses if each["name"] == container), None)
