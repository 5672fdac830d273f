"""The status: everything a look has found out, written in one piece. Absent means not known; nothing is ever null."""

from collections.abc import Sequence
from typing import Any

from llm_operator.core import names
from llm_operator.core.conditions import MAX_MESSAGE, Condition, merge
from llm_operator.core.gateway import parents_of
from llm_operator.core.startup import startup_of
from llm_operator.core.summary import Findings, Summary
from llm_operator.core.target import Version
from llm_operator.core.world import engine_of, ready, terminating


def status_of(found: Findings, summary: Summary, conditions: Sequence[Condition]) -> dict[str, Any]:
    """Return the status."""
    world, roles, references = found.world, found.roles, found.target.references
    pods = [pod for pod in world.pods if engine_of(pod) and not terminating(pod)]
    status: dict[str, Any] = {
        "observedGeneration": world.generation,
        "phase": str(summary.phase),
        "reason": str(summary.reason),
        "message": summary.message[:MAX_MESSAGE],
        "replicas": len(pods),
        "readyReplicas": sum(ready(pod) for pod in pods),
        "selector": ",".join((*(f"{label}={value}" for label, value in world.owner.serving_labels.items()), names.LABEL_ENGINE)),
        "resolutions": references.entries() if found.target.version else references.all_entries(),
        "actions": [each.entry() for each in found.target.actions],
        **found.rollout.status(world.status, found.now),
        **startup_of(found.started),
        "gates": list(found.gating.entries),
        "conditions": merge(conditions, world.previous, world.generation, found.now),
    }
    if roles.latest is not None:
        status["latestRevision"] = roles.latest.revision.id
        status["inputs"] = _inputs(found, roles.latest)
    if roles.stable is not None:
        status["stable"] = _role(found, roles.stable)
    if roles.canary is not None:
        status["canary"] = {**_role(found, roles.canary), "diffClass": roles.diff_class}
    if found.rollout.loan is not None:
        status["loan"] = found.rollout.loan.entry()
    if found.scaling is not None:
        status["autoscaling"] = found.scaling.entry
    elif found.target.spec is None and "autoscaling" in world.status:
        status["autoscaling"] = world.status["autoscaling"]  # nobody knows whether it still holds
    if found.delivery.is_live:
        status["table"] = {"generation": found.delivery.generation, "acked": found.delivery.acked, "of": found.delivery.of}
    elif "table" in world.status:
        status["table"] = world.status["table"]  # a number counts once the ConfigMap has it: else each look would count it up
    if parents := parents_of(world):
        status["route"] = {"parents": parents}
    return {name: value for name, value in status.items() if value != []}


def _role(found: Findings, version: Version) -> dict[str, Any]:
    engine = version.engine.id
    pods = len(found.world.pods_of(engine))
    revision = version.revision.id
    return {
        "revision": revision,
        "engine": engine,
        "replicas": pods,
        "ready": found.world.ready_of(engine),
        "weight": found.percent(revision),
    }


def _inputs(found: Findings, version: Version) -> dict[str, Any]:
    """Return what the latest revision was made from; the generation stays when it was not this spec that made it."""
    if found.target.version is None:
        return dict(found.world.status.get("inputs") or {})
    digest = version.revision.prompt_digest
    return {"generation": found.world.generation, **({"promptDigest": digest} if digest else {})}
