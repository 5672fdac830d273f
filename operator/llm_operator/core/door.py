"""Who asks for a deployment that may have no pod, and whether the last pod could go: what sidecars and the entry have said."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from llm_operator.core.delivery import runs
from llm_operator.core.observed import Obj
from llm_operator.core.scaling.load import quiet
from llm_operator.core.scaling.watched import Watched
from llm_operator.core.scaling.zero import Door
from llm_operator.core.world import World, ready


def door(world: World, watched: Watched, pods: Sequence[Obj], asked: int, now: datetime, *, acts: bool) -> Door:
    """Return who asks. ``pods`` are those with an engine, of which ``asked`` are asked for.

    Nobody takes pods away that only look at what would be done: then whoever asks one of them would have waited.
    """
    silence = _silence(world, watched, pods, asked, now, acts=acts)
    if not acts:
        return Door(int(silence is None), silence)
    return Door(_held(world), silence)


def held_by_entries(world: World) -> int:
    """Return how many requests wait in pods without an engine, as far as they could be asked; those with one tell theirs themselves."""
    return sum(report.held for pod in world.entries if (report := world.report(pod)) is not None)


def _held(world: World) -> int | None:
    """Return how many requests wait in any sidecar; None while no entry has said so."""
    told = [world.report(pod) for pod in world.entries]
    if not told or None in told:
        return None
    return sum(report.held for pod in world.sidecars if (report := world.report(pod)) is not None)


def _silence(world: World, watched: Watched, pods: Sequence[Obj], asked: int, now: datetime, *, acts: bool) -> timedelta | None:
    """Return for how long nobody has asked; None where somebody does, a pod is on its way, or an engine is."""
    if "canary" in world.status or len(pods) < asked or not all(map(ready, pods)) or (acts and not _is_kept(world)):
        return None
    if any(report is None or report.inflight or report.held for report in map(world.report, pods)):
        return None
    return quiet(watched.tracks, [pod["metadata"]["uid"] for pod in pods], now)


def _is_kept(world: World) -> bool:
    """Return whether an entry would hold requests: it runs the table there is, and has none now."""
    told = [world.report(pod) for pod in world.entries]
    generation = world.table.generation if world.table else 0
    return bool(told) and all(report is not None and runs(report, generation) and not report.inflight for report in told)
