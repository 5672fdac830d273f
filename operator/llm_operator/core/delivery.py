"""Whether the snapshot has arrived: which sidecars run the newest table, who is late, and whom to nudge."""

from dataclasses import dataclass
from datetime import datetime

from llm_operator.core.actions import Nudge
from llm_operator.core.clock import seconds_since
from llm_operator.core.names import ANNOTATION_GENERATION
from llm_operator.core.observed import Obj, SidecarReport
from llm_operator.core.world import World, engine_of, terminating

_AGAIN_AFTER_S = (2.0, 8.0)
"""A nudge can reach the kubelet before its own watch has brought the new ConfigMap: then it is given again, three times in all."""


@dataclass(frozen=True)
class Delivery:
    """How far a generation has come among the ready pods: ``late`` are those that do not run it yet, by name with their engine.

    ``is_live`` says that the ConfigMap has it, ``refused`` which pod cannot run it, and why. ``behind`` are all pods that do not run it,
    ready or not, those on their way out included: nothing is removed that one of them may still pass requests on to.
    """

    generation: int
    is_live: bool
    of: int
    late: tuple[tuple[str, str], ...]
    refused: str
    nudges: tuple[Nudge, ...]
    behind: tuple[str, ...] = ()

    @property
    def acked(self) -> int:
        """Return how many ready pods run it."""
        return self.of - len(self.late)

    @property
    def complete(self) -> bool:
        """Return whether every ready sidecar runs this generation."""
        return self.is_live and not self.late

    @property
    def everywhere(self) -> bool:
        """Return whether every sidecar that still exists runs this generation."""
        return self.is_live and not self.behind


NOTHING = Delivery(generation=0, is_live=False, of=0, late=(), refused="", nudges=())
"""Before there is any table."""


def deliver(world: World, generation: int, now: datetime, *, is_live: bool) -> Delivery:
    """Return how far a generation has come."""
    takers = world.takers
    late = [pod for pod in takers if not runs(world.report(pod), generation)]
    return Delivery(
        generation=generation,
        is_live=is_live,
        of=len(takers),
        late=tuple((pod["metadata"]["name"], engine_of(pod)) for pod in late),
        refused=next((words for pod in world.pods if (words := _refusal(world, pod, generation))), ""),
        nudges=tuple(_nudges(world, generation, now)),
        behind=behind(world, generation),
    )


def behind(world: World, generation: int) -> tuple[str, ...]:
    """Return the names of the pods whose sidecar runs an older table, or cannot be asked."""
    return tuple(pod["metadata"]["name"] for pod in world.sidecars if not runs(world.report(pod), generation))


def runs(report: SidecarReport | None, generation: int) -> bool:
    """Return whether a sidecar runs a table, or a newer one."""
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
        if running and not runs(world.report(pod), generation) and _given(pod, generation) < attempt:
            value = str(generation) if attempt == 1 else f"{generation}.{attempt}"
            nudges.append(Nudge(pod["metadata"]["name"], generation, value))
    return nudges


def _given(pod: Obj, generation: int) -> int:
    """Return the number of the last nudge a pod was given for a generation; 0 before the first."""
    told, _, attempt = (pod["metadata"].get("annotations") or {}).get(ANNOTATION_GENERATION, "").partition(".")
    if told != str(generation):
        return 0
    return int(attempt) if attempt.isdecimal() else 1
