"""The state of a deployment in one word, with reason and sentence: what a user has to know first."""

from dataclasses import dataclass
from datetime import datetime

from llm_operator.core.changes import Changes
from llm_operator.core.delivery import Delivery
from llm_operator.core.diagnose import Diagnosis
from llm_operator.core.reasons import Phase, Reason
from llm_operator.core.roles import Roles, ready_of
from llm_operator.core.target import Target
from llm_operator.core.world import Key, World


@dataclass(frozen=True)
class Findings:
    """What the steps of one look have found. ``roles`` are those after a promotion; ``of_target`` is what the newest engine is doing."""

    world: World
    target: Target
    roles: Roles
    changes: Changes
    delivery: Delivery
    of_target: Diagnosis
    now: datetime
    promotes: bool


@dataclass(frozen=True)
class Summary:
    """The state in one word, with why."""

    phase: Phase
    reason: str
    message: str
    stalled: bool = False
    settled: bool = False


def summarize(found: Findings) -> Summary:
    """Return the state in one word, with why; the first that applies is what a user has to know first."""
    target, roles, diagnosis = found.target, found.roles, found.of_target
    summary = _obstacle(found)
    if summary is not None:
        return summary
    if found.changes.leaving:
        words = f"waiting until {_listed(found.changes.leaving)} of an earlier LLMDeployment of this name is deleted"
        return Summary(Phase.PENDING, Reason.NAME_IN_USE, words)
    if target.waiting is not None:
        return Summary(Phase.UPDATING if _serves(found) else Phase.RESOLVING, target.waiting.reason, target.waiting.message)
    if roles.canary is not None and _serves(found):
        return Summary(
            Phase.UPDATING, diagnosis.reason, f"revision {roles.canary.revision.id} is on its way: {_progress(found, diagnosis)}"
        )
    done = roles.canary is None and diagnosis.phase in {Phase.READY, Phase.SCALED_TO_ZERO} and _at_rest(found)
    return Summary(diagnosis.phase, diagnosis.reason, diagnosis.message, settled=done)


def _obstacle(found: Findings) -> Summary | None:
    """Return what waiting alone does not clear, or None."""
    target, diagnosis = found.target, found.of_target
    if target.problem is not None:
        return _stalled(target.problem.reason, target.problem.sentence)
    if found.changes.conflicts:
        words = f"{_listed(found.changes.conflicts)} belongs to somebody else; rename this LLMDeployment or delete what is in its way"
        return _stalled(Reason.NAME_CONFLICT, words)
    if target.waiting is not None and target.waiting.stalled:
        return _stalled(target.waiting.reason, target.waiting.message)
    if found.delivery.refused:
        return _stalled(Reason.BUNDLE_REFUSED, f"table {found.delivery.generation} is not run by {found.delivery.refused}")
    if diagnosis.overdue:
        words = f"not ready within spec.engine.startup.timeout: {diagnosis.message}"
        return Summary(diagnosis.phase, "ProgressDeadlineExceeded", words, stalled=True)
    return None


def _listed(keys: tuple[Key, ...]) -> str:
    return ", ".join(f"{kind.kind} {name}" for kind, name in keys)


def _stalled(reason: str, message: str) -> Summary:
    return Summary(Phase.STALLED, reason, message, stalled=True)


def _at_rest(found: Findings) -> bool:
    changes, delivery, diagnosis = found.changes, found.delivery, found.of_target
    asked = found.roles.replicas
    written = not (found.promotes or changes.applies or changes.deletes or changes.going)
    return written and delivery.complete and diagnosis.pods == asked


def _serves(found: Findings) -> bool:
    stable = found.roles.stable
    return stable is not None and ready_of(found.world, stable.engine.id) > 0


def _progress(found: Findings, diagnosis: Diagnosis) -> str:
    delivery = found.delivery
    if found.roles.diff_class == "Config":
        return f"{delivery.acked} of {delivery.of} ready pods run it"
    return diagnosis.message
