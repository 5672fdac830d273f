"""What a verb does to a rollout, or why it cannot be done now."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime

from llm_operator.core.reasons import Reason
from llm_operator.core.rollout.moves import PREPARING, SOON_S, Answer, Asked, Look, Move, Seen, Verb
from llm_operator.core.rollout.progress import COMING, Memory, Progress, State


def heed(look: Look) -> Move | None:
    """Return what the verb leads to in a rollout that has not ended, or None when there is none."""
    verb = look.asked.verb
    if verb is None:
        return None
    move = _HEEDED[verb](look) if verb in _HEEDED else None
    return move or replace(look.stay(SOON_S), answer=Answer(done=False, message=_why_not(look, verb)))


def _abort(look: Look) -> Move:
    return look.abort(Reason.ABORT_REQUESTED, "somebody asked for it").answering(f"revision {look.progress.revision} gets no requests")


def _pause(look: Look) -> Move | None:
    if look.progress.state not in {*COMING, State.STEPPING}:
        return None
    return look.pause(Reason.PAUSE_REQUESTED, "somebody asked for it").answering("paused")


def _resume(look: Look) -> Move | None:
    """Return that a step begins again; what has had no request has to be known to every pod first."""
    if look.progress.state != State.PAUSED or look.asked.steps is None:
        return None
    return (look.again() if look.progress.weight else look.prepare()).answering("resumed")


def _promote(look: Look) -> Move | None:
    return look.finalise().answering(f"revision {look.progress.revision} gets every request") if _may_have_more(look) else None


def _approve(look: Look) -> Move | None:
    if not _may_have_more(look) or look.here is None or look.here.approval is None:
        return None
    return look.enter(look.progress.step + 1).answering(f"{look.named(look.progress.step)} is approved")


_HEEDED: Mapping[Verb, Callable[[Look], Move | None]] = {
    Verb.ABORT: _abort,
    Verb.APPROVE: _approve,
    Verb.PAUSE: _pause,
    Verb.PROMOTE: _promote,
    Verb.RESUME: _resume,
}


def _may_have_more(look: Look) -> bool:
    """Return whether the revision may get more requests: every ready pod has to know of it, and a spec to say what is asked for."""
    progress = look.progress
    known = progress.state == State.STEPPING or (progress.state == State.PAUSED and look.seen.weight is not None)
    return known and look.asked.steps is not None


def _why_not(look: Look, verb: Verb) -> str:
    state = f"revision {look.progress.revision} is {look.progress.state}"
    if look.asked.steps is None:
        return f"{state}, and nobody knows yet what the spec asks for instead: status.message says why; repair the spec, or abort"
    empty = look.seen.canary is not None and not look.seen.canary.usable
    if verb == Verb.PROMOTE and (look.seen.weight is None or empty):
        who = "no pod of its engine" if empty else "not every ready pod"
        return f"{state}, and {who} can serve it yet; ask again when it is Stepping"
    if verb == Verb.ROLLBACK:
        return f"{state}, not stable yet; abort takes its requests back"
    if verb == Verb.RETRY:
        return f"{state}; only what was aborted can be tried again"
    if verb == Verb.APPROVE:
        return f"{state} and not at a step that waits for an approval"
    return f"{state}; {verb} is not for that"


def begin(asked: Asked, seen: Seen, memory: Memory, now: datetime) -> Move:
    """Return what begins where no rollout is going on: what the spec asks for, or what a verb does."""
    if asked.verb == Verb.ROLLBACK:
        return _back(asked, seen, memory, now)
    if asked.verb == Verb.RETRY and memory.bar(asked.revision):
        freed = _first(asked, seen, memory.freeing(asked.revision), now)
        return replace(freed, look_s=SOON_S).answering(f"revision {asked.revision} may be served again")
    move = _first(asked, seen, memory, now)
    if asked.verb is None or move.turns:
        return move  # a verb for what begins just now is answered at the next look
    words = f"revision {asked.revision} is {'aborted; retry lets it in again' if memory.bar(asked.revision) else 'not being rolled out'}"
    return replace(move, look_s=SOON_S, answer=Answer(done=False, message=words))


def _first(asked: Asked, seen: Seen, memory: Memory, now: datetime) -> Move:
    if asked.revision == seen.stable or not asked.steps or memory.bar(asked.revision):
        return Move(memory)
    return _begun(memory, Progress.begun(asked.revision, seen.stable, memory.progress, now, PREPARING, rollback=False))


def _back(asked: Asked, seen: Seen, memory: Memory, now: datetime) -> Move:
    if asked.revision != seen.stable:
        return Move(memory, look_s=SOON_S, answer=Answer(done=False, message=f"revision {asked.revision} is not stable; {seen.stable} is"))
    if not seen.previous:
        lost = memory.progress.replaced_by(seen.stable) if memory.progress else ""
        words = f"no rollout has brought {asked.revision} to the pods that serve; apply the spec that is wanted"
        words = f"revision {lost} is not stored any more; apply its spec" if lost else words
        return Move(memory, look_s=SOON_S, answer=Answer(done=False, message=words))
    back = Progress.begun(seen.previous, seen.stable, memory.progress, now, f"{PREPARING} again", rollback=True)
    return _begun(memory, back).answering(f"going back to revision {seen.previous}")


def _begun(memory: Memory, progress: Progress) -> Move:
    return Move(replace(memory, progress=progress), (progress,), SOON_S)
