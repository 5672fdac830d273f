"""The rollout machine: one look further, from what is asked for, what is there, and what gates have found.

A move follows from what status remembers and from what is seen now, and from nothing else; so a look that was lost is made again.
"""

from dataclasses import replace
from datetime import datetime

from llm_operator.api.rollout import Step
from llm_operator.core.reasons import Reason
from llm_operator.core.rollout import evidence
from llm_operator.core.rollout.commands import begin, heed
from llm_operator.core.rollout.evidence import Verdict
from llm_operator.core.rollout.moves import NO_ROOM_YET, RATCHETING, Asked, Canary, Look, Move, Seen, Verb
from llm_operator.core.rollout.progress import COMING, THROUGH, Memory, Progress, State

CRASHES = 3
"""How often the engine of a pod on trial may be started again, or the pod be lost at one step: it would begin its step for ever."""

OBSERVED_S = 900.0
"""How long a rollout waits to learn what it was like before: with too few requests for that its gates stay undecided."""


def step(asked: Asked, seen: Seen, verdict: Verdict, memory: Memory, now: datetime) -> Move:
    """Return the move of one look; the same look gives the same move."""
    progress = memory.progress
    if progress is None or not progress.is_active:
        return begin(asked, seen, memory, now)
    look = Look(asked, seen, verdict, memory, progress, now)
    why = _overtaken(progress, asked, seen)
    if why and seen.stable == progress.revision:
        return _stable_already(look)
    if why:
        over = progress.turned(State.SUPERSEDED, now, Reason.SUPERSEDED, why, weight=0)
        begun = begin(asked, seen, Memory(over, memory.barred), now)
        return Move(begun.memory, (over, *begun.turns), begun.look_s, begun.answer)
    return _ended(look) or heed(look) or _gone_on(look)


def _stable_already(look: Look) -> Move:
    """Return the end of a rollout whose revision took over when nothing was left of the stable one, be it on the last of its way."""
    if look.progress.state in THROUGH:
        return look.promote()
    return look.promote(Reason.STABLE_LOST, "it is stable, because nothing else could serve any more")


def _overtaken(progress: Progress, asked: Asked, seen: Seen) -> str:
    """Return why a rollout has lost its object: another revision is asked for, or another one has become stable under it."""
    follows = progress.replaces if progress.rollback else progress.revision
    if asked.revision != follows:
        return f"revision {asked.revision} is asked for instead of {progress.revision}"
    return f"revision {seen.stable} has become stable instead of {progress.replaces}" if seen.stable != progress.replaces else ""


def _ended(look: Look) -> Move | None:
    """Return that a rollout is over by harm or for lack of anybody to serve, or None. Somebody who asks for an abort comes first."""
    return None if look.asked.verb == Verb.ABORT else _harmed(look) or _pointless(look)


def _harmed(look: Look) -> Move | None:
    judged = look.progress.state not in COMING and not look.progress.rollback
    if judged and look.verdict.answer == evidence.Answer.HARM:
        return look.abort(look.verdict.reason, look.verdict.message)
    if look.seen.refused and look.progress.state in COMING:
        return look.abort(Reason.BUNDLE_REFUSED, f"it cannot be served by {look.seen.refused}")
    return None


def _pointless(look: Look) -> Move | None:
    """Return the end of a rollout that has nobody to serve, or nothing to be tried on; None while nobody knows what is asked for."""
    if look.asked.steps is None:
        return None
    if not look.seen.replicas and look.progress.state != State.FINALISING:
        words = "no replicas are asked for, so it becomes stable without steps"
        return look.finalise(Reason.SCALED_TO_ZERO, words)
    if look.asked.undivided and not look.asked.steps and look.progress.state not in THROUGH and not look.progress.rollback:
        words = "the only accelerator there is cannot be shared: capacity.mode is Replace and one replica is asked for"
        return look.abort(Reason.WEIGHT_CAPPED_BY_CAPACITY, words)
    return None


def _gone_on(look: Look) -> Move:
    if look.asked.steps is None:
        return look.stay()
    if look.progress.state in THROUGH:
        return _finalised(look)
    if (awaited := _awaited(look)) is not None:
        return awaited
    if look.progress.state in COMING:
        return _prepared(look)
    here = look.here
    if here is None:
        return look.finalise() if look.progress.state == State.STEPPING else look.stay()
    return _stepped(look, here) if look.progress.state == State.STEPPING else _paused(look, here)


def _prepared(look: Look) -> Move:
    """Return what follows while pods learn of a revision. The time in which none could does not count."""
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


def _awaited(look: Look) -> Move | None:
    """Return what a rollout waits for before it can have requests, or have them again; None when that is there.

    Without room for a pod of its engine no time counts. What somebody has paused waits for them alone.
    """
    canary, comes = look.seen.canary, look.progress.state in COMING
    if comes and look.seen.going:
        return look.wait(Reason.DRAINING, look.seen.going, State.PREPARING)
    there = canary is not None and (canary.usable and look.seen.weight is not None if comes else not canary.lost)
    known = canary is None or canary.alone or there  # at a step a sidecar that is silent takes nothing back: it delays the end
    if canary is not None and canary.withheld and look.progress.state != State.PAUSED:
        return look.wait(canary.reason, canary.message, State.WAITING_CAPACITY)
    if canary is None or known or look.progress.state == State.PAUSED:
        return None
    if canary.lost and look.progress.state == State.STEPPING:
        look = replace(look, progress=replace(look.progress, losses=look.progress.losses + 1))
    if not canary.usable and canary.pending and look.progress.losses < CRASHES:
        return look.wait(canary.reason, canary.message, State.WAITING_CAPACITY)
    if not canary.usable and not canary.asked:
        return look.wait(Reason.DRAINING, _no_room_yet(canary), State.PREPARING)
    return _warmed(look, canary)


def _no_room_yet(canary: Canary) -> str:
    """Return why no pod of an engine is asked for, with the way out where one never ends: nobody else deletes what a lost node ran."""
    if not canary.ending:
        return NO_ROOM_YET
    return f"{NO_ROOM_YET}: waiting for the end of {canary.ending} (delete it by force if its node is gone)"


def _warmed(look: Look, canary: Canary) -> Move:
    """Return what follows while the pod of an engine loads, or is reached by the others, or is not ready any more."""
    why = f"it is not run by {look.seen.late}" if canary.usable else canary.message
    if canary.crashes >= CRASHES:
        return look.abort(Reason.ENGINE_CRASHES, f"its engine was started again {canary.crashes} times: {why}")
    if look.progress.losses >= CRASHES:
        words = f"its pod was lost, or stopped being ready, {look.progress.losses} times at the same step: {why}"
        return look.abort(Reason.CANARY_LOST, words)
    begun = look.progress.state == State.WARMING and look.progress.reason == Reason.WARMING
    left_s = look.asked.deadline_s - (look.progress.waited_s(look.now) if begun else 0)
    if left_s <= 0:
        return look.abort(Reason.PROGRESS_DEADLINE_EXCEEDED, f"it could not be served within {look.asked.deadline_s:.0f}s: {why}")
    move = look.wait(Reason.WARMING, why, State.WARMING)
    return replace(move, look_s=left_s) if move.look_s is None else move


def _stepped(look: Look, here: Step) -> Move:
    progress = look.progress
    index = min(progress.step, len(look.steps) - 1)
    if (index, here.weight_percent or progress.weight) != (progress.step, progress.weight):
        return look.enter(index)  # the steps are others now
    if look.verdict.answer == evidence.Answer.INCONCLUSIVE:
        return look.pause(look.verdict.reason, f"{look.named(index)}: {look.verdict.message}")
    missing = _missing(look, here)
    if (counting := _counts(look, here, index)) is not None:
        return counting
    if not missing and look.left_s(here.min_duration) <= 0:
        return look.enter(index + 1)
    if missing and look.left_s(here.max_duration) <= 0:
        words = f"{look.named(index)} was not through after {here.max_duration}: {missing}"
        return look.abort(Reason.INCONCLUSIVE, words) if here.on_inconclusive == "Abort" else look.pause(Reason.INCONCLUSIVE, words)
    return look.stay(look.left_s(here.max_duration if missing else here.min_duration))


def _counts(look: Look, here: Step, index: int) -> Move | None:
    """Return that the time of a step counts from now on, or goes on to count whatever its pods can carry meanwhile; else None."""
    if not look.runs:
        return None
    if look.progress.reason == Reason.DELIVERING:
        return look.wait(_counting(look, here), _share(look, index))
    if _recapped(look):
        return look.turn(replace(look.progress, reason=str(_counting(look, here)), message=_share(look, index)))
    return None


def _counting(look: Look, here: Step) -> Reason:
    """Return the reason under which the time of a step counts."""
    if here.approval is not None:
        return Reason.APPROVAL_REQUIRED
    return Reason.WEIGHT_CAPPED_BY_CAPACITY if look.capped else Reason.STEPPING


def _recapped(look: Look) -> bool:
    """Return whether a step has another share than before because its engine can carry more or less now."""
    return look.seen.canary is not None and look.progress.message != _share(look, look.progress.step)


def _share(look: Look, index: int) -> str:
    """Return what a step does, in words; the pods of the engine may carry less than it asks for."""
    words = look.words(index, look.progress.weight)
    return f"{words}, of which its pods can carry {look.able}%" if look.capped else words


def _behind(look: Look) -> str:
    if look.seen.canary is not None and look.seen.canary.unreached:
        return look.seen.canary.message
    return f"it is not run by {look.seen.late}" if look.seen.pods else "no pod is ready"


def _missing(look: Look, here: Step) -> str:
    """Return what a step waits for besides its time, or nothing."""
    if not look.runs:
        return _behind(look)
    if here.approval is not None and look.asked.approved != look.progress.revision:
        return f"nobody has approved revision {look.progress.revision}"
    if here.weight_percent is not None and look.verdict.answer != evidence.Answer.PASS:  # copies are no evidence
        return f"gates have not decided: {look.verdict.message}"
    return ""


def _paused(look: Look, here: Step) -> Move:
    """Return what follows while somebody has to decide; an approval that comes late is a decision."""
    late = look.progress.reason == Reason.INCONCLUSIVE and here.approval is not None
    return look.enter(look.progress.step + 1) if late and not _missing(look, here) else look.stay()


def _ratcheted(look: Look, canary: Canary) -> Move:
    """Return what follows while pods change hands: nothing is given up, but one that takes too long to come up is told of.

    Its time counts from when the one before had come up, and not while it waits for room, or for an old one to end.
    """
    if canary.pending:
        return look.wait(canary.reason, canary.message)
    if not canary.loading:
        return look.wait(Reason.RATCHETING, RATCHETING)
    words = f"{canary.usable} of its pods can have requests, and the next one is not up"
    told, late = f"{words} yet", f"{words} after {look.asked.deadline_s:.0f}s"
    if look.progress.message not in {told, late}:
        return look.turn(look.progress.turned(State.RATCHETING, look.now, Reason.WARMING, told))
    left_s = look.asked.deadline_s - look.progress.waited_s(look.now)
    if look.progress.message == told and left_s > 0:
        return look.stay(left_s)
    return look.wait(Reason.PROGRESS_DEADLINE_EXCEEDED, late)


def _finalised(look: Look) -> Move:
    through = look.seen.canary is None or look.seen.canary.through
    if look.progress.state == State.RATCHETING:
        return look.finalise() if through or look.seen.canary is None else _ratcheted(look, look.seen.canary)
    if look.runs and through:
        return look.promote()
    left_s = look.asked.deadline_s - look.progress.waited_s(look.now)
    if left_s > 0 and look.progress.reason != Reason.PROGRESS_DEADLINE_EXCEEDED:
        return look.stay(left_s)
    return look.wait(Reason.PROGRESS_DEADLINE_EXCEEDED, f"it gets every request, but {_behind(look)}")
