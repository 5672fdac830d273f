"""The rollout machine: one look further, from what is asked for, what is there, and what gates have found.

A move follows from what status remembers and from what is seen now, and from nothing else; so a look that was lost is made again.
"""

from datetime import datetime

from llm_operator.api.rollout import Step
from llm_operator.core.reasons import Reason
from llm_operator.core.rollout import evidence
from llm_operator.core.rollout.commands import begin, heed
from llm_operator.core.rollout.evidence import Verdict
from llm_operator.core.rollout.moves import Asked, Look, Move, Seen, Verb
from llm_operator.core.rollout.progress import Memory, Progress, State

OBSERVED_S = 900.0
"""How long a rollout waits to learn what it was like before: with too few requests for that its gates stay undecided."""


def step(asked: Asked, seen: Seen, verdict: Verdict, memory: Memory, now: datetime) -> Move:
    """Return the move of one look; the same look gives the same move."""
    progress = memory.progress
    if progress is None or not progress.is_active:
        return begin(asked, seen, memory, now)
    if why := _overtaken(progress, asked, seen):
        over = progress.turned(State.SUPERSEDED, now, Reason.SUPERSEDED, why, weight=0)
        begun = begin(asked, seen, Memory(over, memory.barred), now)
        return Move(begun.memory, (over, *begun.turns), begun.look_s, begun.answer)
    look = Look(asked, seen, verdict, memory, progress, now)
    return _ended(look) or heed(look) or _gone_on(look)


def _overtaken(progress: Progress, asked: Asked, seen: Seen) -> str:
    """Return why a rollout has lost its object: another revision is asked for, or another one has become stable under it."""
    follows = progress.replaces if progress.rollback else progress.revision
    if asked.revision != follows:
        return f"revision {asked.revision} is asked for instead of {progress.revision}"
    return f"revision {seen.stable} has become stable instead of {progress.replaces}" if seen.stable != progress.replaces else ""


def _ended(look: Look) -> Move | None:
    """Return that a rollout is over by harm or for lack of anybody to serve, or None. Somebody who asks for an abort comes first."""
    if look.asked.verb == Verb.ABORT:
        return None
    judged = look.progress.state != State.PREPARING and not look.progress.rollback
    if judged and look.verdict.answer == evidence.Answer.HARM:
        return look.abort(look.verdict.reason, look.verdict.message)
    if look.seen.refused and look.progress.state == State.PREPARING:
        return look.abort(Reason.BUNDLE_REFUSED, f"it cannot be served by {look.seen.refused}")
    if not look.seen.replicas and look.progress.state != State.FINALISING:
        words = "no replicas are asked for, so it becomes stable without steps"
        return look.finalise(Reason.SCALED_TO_ZERO, words)
    return None


def _gone_on(look: Look) -> Move:
    if look.asked.steps is None:
        return look.stay()
    if look.progress.state == State.PREPARING:
        return _prepared(look)
    if look.progress.state == State.FINALISING:
        return _finalised(look)
    here = look.here
    if here is None:
        return look.finalise() if look.progress.state == State.STEPPING else look.stay()
    return _stepped(look, here) if look.progress.state == State.STEPPING else _paused(look, here)


def _prepared(look: Look) -> Move:
    """Return what follows while pods learn of a revision. The time in which none could does not count."""
    if look.seen.going:
        return look.wait(Reason.DRAINING, look.seen.going)
    if not look.seen.pods:
        return look.wait(Reason.NOT_READY, "no pod is ready to serve it")
    if look.seen.weight is not None:
        observed = look.progress.reason == Reason.OBSERVING and look.progress.waited_s(look.now) >= OBSERVED_S
        return look.wait(Reason.OBSERVING, look.verdict.before) if look.verdict.before and not observed else look.again()
    if look.progress.reason != Reason.PREPARING:
        return look.prepare()
    left_s = look.asked.deadline_s - look.progress.waited_s(look.now)
    if left_s > 0:
        return look.stay(left_s)
    return look.abort(Reason.PROGRESS_DEADLINE_EXCEEDED, f"it could not be served within {look.asked.deadline_s:.0f}s by {look.seen.late}")


def _stepped(look: Look, here: Step) -> Move:
    progress = look.progress
    index = min(progress.step, len(look.steps) - 1)
    if (index, here.weight_percent or progress.weight) != (progress.step, progress.weight):
        return look.enter(index)  # the steps are others now
    if look.verdict.answer == evidence.Answer.INCONCLUSIVE:
        return look.pause(look.verdict.reason, f"{look.named(index)}: {look.verdict.message}")
    missing = _missing(look, here)
    if look.runs and progress.reason == Reason.DELIVERING:
        reason = Reason.STEPPING if here.approval is None else Reason.APPROVAL_REQUIRED
        return look.wait(reason, progress.message)  # from here on its time counts
    if not missing and look.left_s(here.min_duration) <= 0:
        return look.enter(index + 1)
    if missing and look.left_s(here.max_duration) <= 0:
        words = f"{look.named(index)} was not through after {here.max_duration}: {missing}"
        return look.abort(Reason.INCONCLUSIVE, words) if here.on_inconclusive == "Abort" else look.pause(Reason.INCONCLUSIVE, words)
    return look.stay(look.left_s(here.max_duration if missing else here.min_duration))


def _behind(look: Look) -> str:
    return f"it is not run by {look.seen.late}" if look.seen.pods else "no pod is ready"


def _missing(look: Look, here: Step) -> str:
    """Return what a step waits for besides its time, or nothing."""
    if not look.runs:
        return _behind(look)
    if here.approval is not None and look.asked.approved != look.progress.revision:
        return f"nobody has approved revision {look.progress.revision}"
    if here.approval is None and look.verdict.answer != evidence.Answer.PASS:
        return f"gates have not decided: {look.verdict.message}"
    return ""


def _paused(look: Look, here: Step) -> Move:
    """Return what follows while somebody has to decide; an approval that comes late is a decision."""
    late = look.progress.reason == Reason.INCONCLUSIVE and here.approval is not None
    return look.enter(look.progress.step + 1) if late and not _missing(look, here) else look.stay()


def _finalised(look: Look) -> Move:
    if look.runs:
        return look.promote()
    left_s = look.asked.deadline_s - look.progress.waited_s(look.now)
    if left_s > 0 and look.progress.reason != Reason.PROGRESS_DEADLINE_EXCEEDED:
        return look.stay(left_s)
    return look.wait(Reason.PROGRESS_DEADLINE_EXCEEDED, f"it gets every request, but {_behind(look)}")
