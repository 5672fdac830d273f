"""The status: everything a look has found out, written in one piece. Absent means not known; nothing is ever null."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from llm_operator.core.changes import Changes
from llm_operator.core.conditions import Condition, condition, merge
from llm_operator.core.delivery import Delivery
from llm_operator.core.diagnose import Diagnosis
from llm_operator.core.resolver import Waiting
from llm_operator.core.roles import Roles, ready_of
from llm_operator.core.target import Target, Version
from llm_operator.core.world import World


@dataclass(frozen=True)
class Findings:
    """What the steps of one look have found. ``roles`` are those after a promotion; ``of_target`` is what the newest engine is doing."""

    world: World
    target: Target
    roles: Roles
    changes: Changes
    delivery: Delivery | None
    of_target: Diagnosis | None
    now: datetime


@dataclass(frozen=True)
class _Summary:
    phase: str
    reason: str
    message: str
    stalled: bool = False
    settled: bool = False


def status_of(found: Findings) -> tuple[dict[str, Any], list[Condition]]:
    """Return the status, and its conditions for the events they are worth."""
    world, roles = found.world, found.roles
    summary = _summary(found)
    conditions = _conditions(found, summary)
    pods = [pod for engine in roles.engines for pod in world.pods_of(engine.id)]
    status: dict[str, Any] = {
        "observedGeneration": world.generation,
        "phase": summary.phase,
        "reason": summary.reason,
        "message": summary.message[:MAX_MESSAGE],
        "replicas": len(pods),
        "readyReplicas": sum(ready_of(world, engine.id) for engine in roles.engines),
        "selector": ",".join(f"{label}={value}" for label, value in world.owner.serving_labels.items()),
        "resolutions": found.target.references.entries(everything=found.target.version is not None),
        "conditions": merge(conditions, world.previous, world.generation, found.now),
    }
    if roles.target is not None:
        status["latestRevision"] = roles.target.revision.id
        status["inputs"] = _inputs(found, roles.target)
    if roles.stable is not None:
        status["stable"] = _role(found, roles.stable)
    if roles.canary is not None:
        status["canary"] = {**_role(found, roles.canary), "diffClass": roles.diff_class}
    if found.delivery is not None:
        status["table"] = {"generation": found.delivery.generation, "acked": found.delivery.acked, "of": found.delivery.of}
    return {name: value for name, value in status.items() if value != []}, conditions


MAX_MESSAGE = 4096


def settled(found: Findings) -> bool:
    """Return whether nothing is left to be done or waited for."""
    return _summary(found).settled


def _role(found: Findings, version: Version) -> dict[str, Any]:
    engine = version.engine.id
    pods = len(found.world.pods_of(engine))
    return {"revision": version.revision.id, "engine": engine, "replicas": pods, "ready": ready_of(found.world, engine)}


def _inputs(found: Findings, version: Version) -> dict[str, Any]:
    """Return what the latest revision was made from; the generation stays when it was not this spec that made it."""
    if found.target.version is None:
        return dict(found.world.status.get("inputs") or {})
    digest = version.revision.prompt_digest
    return {"generation": found.world.generation, **({"promptDigest": digest} if digest else {})}


def _summary(found: Findings) -> _Summary:
    """Return the state in one word, with why; the first that applies is what a user has to know first."""
    target, roles, diagnosis = found.target, found.roles, found.of_target
    summary = _obstacle(found)
    if summary is not None:
        return summary
    if diagnosis is None or (target.waiting is not None and not _serves(found)):
        waiting = target.waiting or Waiting("Starting", "nothing is there yet", stalled=False, next_look_s=0)
        return _Summary("Resolving" if target.waiting else "Pending", waiting.reason, waiting.message)
    if target.waiting is not None:
        return _Summary("Updating", target.waiting.reason, target.waiting.message)
    if roles.canary is not None and _serves(found):
        return _Summary("Updating", diagnosis.reason, f"revision {roles.canary.revision.id} is on its way: {_progress(found, diagnosis)}")
    done = roles.canary is None and diagnosis.phase in {"Ready", "ScaledToZero"} and _at_rest(found)
    return _Summary(diagnosis.phase, diagnosis.reason, diagnosis.message, settled=done)


def _obstacle(found: Findings) -> _Summary | None:
    """Return what waiting alone does not clear, or None."""
    target, diagnosis = found.target, found.of_target
    if target.problem is not None:
        return _stalled(target.problem.reason, target.problem.sentence)
    if found.changes.conflicts:
        taken = ", ".join(f"{kind.kind} {name}" for kind, name in found.changes.conflicts)
        words = f"{taken} exists and belongs to somebody else; rename this LLMDeployment or delete what is in its way"
        return _stalled("NameConflict", words)
    if target.waiting is not None and target.waiting.stalled:
        return _stalled(target.waiting.reason, target.waiting.message)
    if diagnosis is not None and diagnosis.overdue:
        return _stalled("ProgressDeadlineExceeded", f"not ready within spec.engine.startup.timeout: {diagnosis.message}")
    return None


def _stalled(reason: str, message: str) -> _Summary:
    return _Summary("Stalled", reason, message, stalled=True)


def _at_rest(found: Findings) -> bool:
    changes, delivery, diagnosis = found.changes, found.delivery, found.of_target
    asked = found.roles.replicas
    written = not (changes.applies or changes.deletes or changes.collecting)
    return written and delivery is not None and delivery.complete and diagnosis is not None and diagnosis.pods == asked


def _serves(found: Findings) -> bool:
    stable = found.roles.stable
    return stable is not None and ready_of(found.world, stable.engine.id) > 0


def _progress(found: Findings, diagnosis: Diagnosis) -> str:
    delivery = found.delivery
    if found.roles.diff_class == "Config" and delivery is not None:
        return f"{delivery.acked} of {delivery.of} ready pods run it"
    return diagnosis.message


def _conditions(found: Findings, summary: _Summary) -> list[Condition]:
    return [
        condition(
            "Stalled", *_when(summary.stalled, summary, "NotStalled", "nothing keeps the operator from its work"), holds=summary.stalled
        ),
        condition(
            "Reconciling",
            *_when(not summary.settled, summary, "Settled", "what is asked for is there"),
            holds=not (summary.stalled or summary.settled),
        ),
        _ready(found, summary),
        _progressing(found, summary),
        _resolved(found),
        _capacity(found),
        _programmed(found),
        _refresh(found),
        _update(found),
    ]


def _when(holds: bool, summary: _Summary, reason: str, message: str) -> tuple[str, str]:
    return (summary.reason, summary.message) if holds else (reason, message)


def _ready(found: Findings, summary: _Summary) -> Condition:
    stable = found.roles.stable
    count = ready_of(found.world, stable.engine.id) if stable else 0
    if stable is not None and count:
        return condition("Ready", "Serving", f"revision {stable.revision.id} serves from {count} ready pods", holds=True)
    return condition("Ready", summary.reason, summary.message, holds=False)


def _progressing(found: Findings, summary: _Summary) -> Condition:
    if summary.stalled:
        return condition("Progressing", summary.reason, summary.message, holds=False)
    if found.roles.canary is None and found.target.waiting is None and found.roles.stable is not None:
        return condition("Progressing", "Complete", f"revision {found.roles.stable.revision.id} is stable", holds=True)
    return condition("Progressing", summary.reason, summary.message, holds=True)


def _resolved(found: Findings) -> Condition:
    target = found.target
    if target.version is not None:
        return condition("Resolved", "Resolved", "every reference of the spec is resolved", holds=True)
    if target.waiting is not None:
        return condition("Resolved", target.waiting.reason, target.waiting.message, holds=False)
    problem = target.problem
    words = (problem.reason, problem.sentence) if problem else ("Unknown", "")
    return condition("Resolved", *words, holds=None)


def _capacity(found: Findings) -> Condition:
    diagnosis = found.of_target
    if diagnosis is None or not diagnosis.pods:
        return condition("CapacityAvailable", "NoPods", "there are no pods to place", holds=None)
    if diagnosis.unschedulable:
        return condition("CapacityAvailable", "Unschedulable", diagnosis.unschedulable, holds=False)
    return condition("CapacityAvailable", "Scheduled", "every pod has a node", holds=True)


def _programmed(found: Findings) -> Condition:
    delivery = found.delivery
    if delivery is None:
        return condition("TableProgrammed", "NoTable", "there is no revision to serve yet", holds=None)
    if delivery.refused:
        return condition("TableProgrammed", "BundleRefused", f"table {delivery.generation} is not run by {delivery.refused}", holds=False)
    words = f"{delivery.acked} of {delivery.of} ready pods run table {delivery.generation}"
    return condition("TableProgrammed", "Delivered" if delivery.complete else "Delivering", words, holds=delivery.complete)


def _refresh(found: Findings) -> Condition:
    outdated = found.target.references.outdated
    if outdated:
        words = f"{', '.join(outdated)} has changed since it was first used; engines keep what they were made with"
        return condition("RefreshAvailable", "ProfileChanged", words, holds=True)
    return condition("RefreshAvailable", "UpToDate", "no profile in use has changed", holds=False)


def _update(found: Findings) -> Condition:
    newer = found.target.references.newer_prompt
    if newer:
        return condition("UpdateAvailable", "PromptChanged", newer, holds=True)
    return condition("UpdateAvailable", "UpToDate", "no newer prompt is waiting", holds=False)
