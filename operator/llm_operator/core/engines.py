"""Which engine a spec gets: the one that is stored for it, or one from a pod template rendered anew."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from llm_operator.core.canonical import alike
from llm_operator.core.identity import make_engine
from llm_operator.core.stored import REFRESH, Engine, Stored
from llm_operator.core.world import World


def choose(stored: Stored, inputs: Mapping[str, Any], template: dict[str, Any], *, anew: bool) -> Engine:
    """Return the engine for inputs; ``template`` is what they would be rendered to now.

    What is stored is used again. ``anew`` asks for what would be rendered now, and counts it in its inputs: whoever looks up the
    same inputs later finds the last rendering, however often the operator was killed in between and whatever it has forgotten.
    """
    known = stored.engine_from(inputs)
    if known is not None and (not anew or alike(known.template, template)):
        return known
    count = known.rendering(inputs) if known is not None else None
    made = make_engine(dict(inputs) if count is None else {**inputs, REFRESH: count + 1}, template)
    same = stored.engine(made.id)
    return made if same is None else replace(same, inputs=made.inputs, origin=same.origin or same.inputs)


def too_old(world: World, engine: str, schema: int) -> str:
    """Return which pod of an engine has a sidecar that cannot run bundles of a schema, in words; nothing when all can."""
    for pod in world.pods_of(engine):
        report = world.report(pod)
        if report is not None and report.bundle_schema < schema:
            name = pod["metadata"]["name"]
            return f"bundle schema {schema} is needed, and the sidecar of pod {name} knows only {report.bundle_schema}"
    return ""
