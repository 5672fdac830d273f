"""What each condition says after one look."""

from llm_operator.core import names
from llm_operator.core.conditions import Condition, condition
from llm_operator.core.diagnose import diagnose
from llm_operator.core.engines import too_old
from llm_operator.core.errors import UNRESOLVED
from llm_operator.core.reasons import Phase, Reason
from llm_operator.core.removal import listed
from llm_operator.core.resolver import Waiting
from llm_operator.core.roles import asked_of
from llm_operator.core.rollout.evidence import Answer
from llm_operator.core.rollout.progress import State
from llm_operator.core.summary import Findings, Summary
from llm_operator.core.target import Version

_HELD = frozenset({Phase.SCALED_TO_ZERO, Phase.WAKING})


def conditions_of(found: Findings, summary: Summary) -> list[Condition]:
    """Return every condition."""
    return [
        condition(
            "Stalled",
            *_when(summary.stalled, summary, Reason.NOT_STALLED, "nothing keeps the operator from its work"),
            holds=summary.stalled,
        ),
        condition(
            "Reconciling",
            *_when(not summary.settled, summary, Reason.SETTLED, "what is asked for is there"),
            holds=not (summary.stalled or summary.settled or summary.waits),
        ),
        _ready(found, summary),
        _progressing(found, summary),
        _resolved(found),
        _capacity(found),
        _programmed(found),
        _refresh(found),
        _update(found),
        *_rollout(found),
        *_gates(found),
    ]


def _when(holds: bool, summary: Summary, reason: str, message: str) -> tuple[str, str]:
    return (summary.reason, summary.message) if holds else (reason, message)


def _ready(found: Findings, summary: Summary) -> Condition:
    stable = found.roles.stable
    count = found.world.ready_of(stable.engine.id) if stable else 0
    if stable is not None and count:
        return condition(
            "Ready", Reason.SERVING, f"revision {stable.revision.id} serves from {count} {'pod' if count == 1 else 'pods'}", holds=True
        )
    if summary.phase in _HELD and found.roles.sleeps and found.world.entries and found.roles.stable is not None:
        words = f"{names.entry(found.world.owner.name)} holds requests until there is a pod for them"
        return condition("Ready", summary.phase, words, holds=True)
    return condition("Ready", summary.reason, summary.message, holds=False)


def _progressing(found: Findings, summary: Summary) -> Condition:
    if summary.stalled:
        return condition("Progressing", summary.reason, summary.message, holds=False)
    moves = found.roles.canary is not None or found.roles.outgoing is not None
    if not moves and found.target.waiting is None and found.roles.stable is not None:
        return condition("Progressing", Reason.COMPLETE, f"revision {found.roles.stable.revision.id} is stable", holds=True)
    if behind := _behind(found):
        return condition("Progressing", Reason.SIDECAR_TOO_OLD, f"{behind}: {summary.message}", holds=True)
    return condition("Progressing", summary.reason, summary.message, holds=None if summary.phase == Phase.PAUSED else True)


def _behind(found: Findings) -> str:
    """Return which pod that serves could not serve the revision on its way, whatever else differs."""
    stable, canary = found.roles.stable, found.roles.canary
    return too_old(found.world, stable.engine.id, canary.revision.bundle.schema_version) if stable and canary else ""


def _resolved(found: Findings) -> Condition:
    outcome = found.target.outcome
    if isinstance(outcome, Version):
        return condition("Resolved", Reason.RESOLVED, "every reference of the spec is resolved", holds=True)
    if isinstance(outcome, Waiting):
        return condition("Resolved", outcome.reason, outcome.message, holds=None if outcome.reason == Reason.RESOLVING else False)
    return condition("Resolved", outcome.reason, outcome.sentence, holds=False if outcome.reason in UNRESOLVED else None)


def _capacity(found: Findings) -> Condition:
    diagnosis, progress, withheld = found.growing, found.rollout.progress, found.roles.withheld
    if withheld is not None:
        return condition("CapacityAvailable", withheld.reason, withheld.message, holds=False)
    if progress is not None and progress.state == State.WAITING_CAPACITY:
        return condition("CapacityAvailable", progress.reason, progress.message, holds=False)
    if (roomless := diagnosis.roomless or _stable_roomless(found)) is not None:
        return condition("CapacityAvailable", *roomless, holds=False)
    if not diagnosis.pods:
        return condition("CapacityAvailable", Reason.NO_PODS, "there are no pods to place", holds=None)
    capped = progress.message if progress is not None and progress.is_active and found.capped else found.overloaded
    if capped:
        return condition("CapacityAvailable", Reason.WEIGHT_CAPPED_BY_CAPACITY, capped, holds=True)
    return condition("CapacityAvailable", Reason.SCHEDULED, "every pod has a node", holds=True)


def _stable_roomless(found: Findings) -> tuple[str, str] | None:
    """Return why a pod of stable has no room while another engine grows beside it."""
    stable = found.roles.stable
    if stable is None or found.course is None or found.course.growing == stable.engine.id:
        return None
    return diagnose(found.world, stable.engine.id, asked_of(found.world, stable.engine.id) or 0).roomless


def _programmed(found: Findings) -> Condition:
    delivery = found.delivery
    if not delivery.generation:
        return condition("TableProgrammed", Reason.NO_TABLE, "there is no revision to serve yet", holds=None)
    if delivery.refused:
        return condition(
            "TableProgrammed", Reason.BUNDLE_REFUSED, f"table {delivery.generation} is not run by {delivery.refused}", holds=False
        )
    words = f"{delivery.acked} of {delivery.of} ready pods run table {delivery.generation}"
    if delivery.late:
        words += f"; missing {listed(found.world, tuple(name for name, _ in delivery.late))}"
    return condition("TableProgrammed", Reason.DELIVERED if delivery.complete else Reason.DELIVERING, words, holds=delivery.complete)


def _refresh(found: Findings) -> Condition:
    outdated, rendering = found.target.references.outdated, found.target.rendering
    words = [f"{', '.join(outdated)} has changed since it was first used"] if outdated else []
    words += [f"this operator would make pods otherwise: {rendering}"] if rendering else []
    if not words:
        return condition(
            "RefreshAvailable", Reason.UP_TO_DATE, "what serves is what its references and this operator would make", holds=False
        )
    reason = Reason.PROFILE_CHANGED if outdated else Reason.RENDERING_CHANGED
    sentence = f"{'; '.join(words)}; engines keep what they were made with until `kubectl llm refresh {found.world.owner.name}`"
    return condition("RefreshAvailable", reason, sentence, holds=True)


def _update(found: Findings) -> Condition:
    known = found.target.references
    newer = [each for each in (known.newer_model, known.newer_prompt) if each]
    if newer:
        reason = Reason.MODEL_CHANGED if known.newer_model else Reason.PROMPT_CHANGED
        return condition("UpdateAvailable", reason, "; ".join(newer), holds=True)
    if known.unchecked:
        return condition("UpdateAvailable", *known.unchecked, holds=None)
    return condition("UpdateAvailable", Reason.UP_TO_DATE, "no newer model or prompt is waiting", holds=False)


def _rollout(found: Findings) -> list[Condition]:
    """Return what users of rollouts ask for; nothing before the first one."""
    progress, barred = found.rollout.progress, found.rollout.barred
    if progress is None:
        return []
    approval = progress.is_active and progress.reason == Reason.APPROVAL_REQUIRED
    words = progress.message if approval else "no step waits for an approval"
    needed = condition("ApprovalRequired", Reason.APPROVAL_REQUIRED if approval else Reason.NO_APPROVAL_REQUIRED, words, holds=approval)
    if barred is None:
        return [needed, condition("SpecDiverged", Reason.AS_ASKED, "nothing else is served than what is asked for", holds=False)]
    words = f"the spec asks for revision {barred.revision}, which was aborted: {barred.message}"
    return [needed, condition("SpecDiverged", barred.reason, words, holds=True)]


def _gates(found: Findings) -> list[Condition]:
    """Return what gates say while something is asked of them."""
    if not found.gating.asks:
        return []
    verdict = found.gating.verdict
    return [condition("GatesPassing", verdict.reason, verdict.message, holds=verdict.answer == Answer.PASS)]
