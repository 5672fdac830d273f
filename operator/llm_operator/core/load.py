"""How many requests there are in all ready pods, and how many one of them may have at once."""

from dataclasses import dataclass

from llm_operator.core.stored import Engine
from llm_operator.core.world import World, engine_of, ready

_BATCH = "max-num-seqs"
"""The engine argument that says how many requests vLLM computes at once; more of them wait in the engine."""


@dataclass(frozen=True)
class Load:
    """``requests`` are those that run or wait, each counted where it is served, ``slots`` how many one pod may have at once.

    ``unknown`` says why neither is known: then nothing may rest on them.
    """

    requests: int = 0
    slots: int = 0
    unknown: str = ""


def batch_of(engine: Engine) -> tuple[int, ...]:
    """Return how many requests an engine computes at once, where its arguments say so."""
    batch = ((engine.inputs.get("engine") or {}).get("args") or {}).get(_BATCH)
    return () if batch is None else (int(batch),)


def load_of(world: World, engine: Engine) -> Load:
    """Return the load. All sidecars were asked for it within this look, so what is known is not old; one that is silent is not idle."""
    reports = [(pod["metadata"]["name"], engine_of(pod), world.report(pod)) for pod in world.pods if ready(pod)]
    requests, slots = 0, list[int]()
    for name, serves, report in reports:
        if report is None:
            return Load(unknown=f"pod {name} cannot be asked")
        if serves and report.slots is None:
            return Load(unknown=f"the sidecar of pod {name} is of a version that does not say how many requests it may have at once")
        requests += report.running + report.queued + report.held
        slots += [report.slots] if report.slots else []
    slots += batch_of(engine)
    return Load(requests, min(slots)) if slots else Load(unknown="no pod is ready to be asked")
