"""Whether the snapshot has arrived: which sidecars run the newest table, who is late, and whom to nudge."""

from dataclasses import dataclass
from datetime import datetime

from llm_operator.core.actions import Nudge
from llm_operator.core.clock import seconds_since
from llm_operator.core.names import ANNOTATION_GENERATION
from llm_operator.core.observed import Obj, SidecarReport
from llm_operator.core.tables import Snapshot
from llm_operator.core.world import World, ready, terminating

_AGAIN_AFTER_S = (2.0, 8.0)
"""A nudge can reach the kubelet before its own watch has brought the new ConfigMap: then it is given again, three times in all."""


@dataclass(frozen=True)
class Delivery:
    """How far a generation has come among the ready pods. ``refused`` says which pod cannot run it, and why."""

    generation: int
    acked: int
    of: int
    refused: str
    nudges: tuple[Nudge, ...]
    is_live: bool

    @property
    def complete(self) -> bool:
        """Return whether every ready sidecar runs this generation."""
        return self.is_live and self.acked == self.of


def deliver(world: World, snapshot: Snapshot, now: datetime) -> Delivery:
    """Return how far a snapshot has come."""
    takers = [pod for pod in world.pods if ready(pod)]
    generation = snapshot.generation
    return Delivery(
        generation=generation,
        acked=sum(_runs(world.report(pod), generation) for pod in takers),
        of=len(takers),
        refused=next((words for pod in world.pods if (words := _refusal(world, pod, generation))), ""),
        nudges=tuple(_nudges(world, generation, now)),
        is_live=snapshot.is_live,
    )


def _runs(report: SidecarReport | None, generation: int) -> bool:
    return report is not None and report.generation is not None and report.generation >= generation


def _refusal(world: World, pod: Obj, generation: int) -> str:
    report = world.report(pod)
    if terminating(pod) or report is None or report.error_generation != generation or not report.error:
        return ""
    return f"pod {pod['metadata']['name']}: {report.error}"


def _nudges(world: World, generation: int, now: datetime) -> list[Nudge]:
    table = world.previous.get("TableProgrammed", {})
    late_s = seconds_since(table.get("lastTransitionTime"), now) if table.get("status") == "False" else 0.0
    attempt = 1 + sum(late_s >= after_s for after_s in _AGAIN_AFTER_S)
    nudges = []
    for pod in world.pods:
        running = pod.get("status", {}).get("phase") == "Running" and not terminating(pod)
        if running and not _runs(world.report(pod), generation) and _given(pod, generation) < attempt:
            value = str(generation) if attempt == 1 else f"{generation}.{attempt}"
            nudges.append(Nudge(pod["metadata"]["name"], generation, value))
    return nudges


def _given(pod: Obj, generation: int) -> int:
    """Return the number of the last nudge a pod was given for a generation; 0 before the first."""
    told, _, attempt = (pod["metadata"].get("annotations") or {}).get(ANNOTATION_GENERATION, "").partition(".")
    if told != str(generation):
        return 0
    return int(attempt) if attempt.isdecimal() else 1
