"""What a rollout is told in tests: each names only what it is about."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from llm_operator.api.rollout import Step
from llm_operator.core.rollout.evidence import NO_GATES, Answer, Verdict
from llm_operator.core.rollout.machine import step
from llm_operator.core.rollout.moves import Asked, Move, Seen, Verb
from llm_operator.core.rollout.progress import Memory, Progress, State

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
FIVE = Step.model_validate({"weightPercent": 5, "minDuration": "1m", "maxDuration": "10m"})
APPROVAL = Step.model_validate({"approval": {}, "maxDuration": "1h"})
HALF = Step.model_validate({"weightPercent": 50, "minDuration": "1m", "maxDuration": "10m", "onInconclusive": "Abort"})
STEPS = (FIVE, APPROVAL, HALF)

WAITING = Verdict(Answer.WAITING, "MoreRequestsNeeded", "errors: needs about 40 more requests", ("errors",))
HARM = Verdict(Answer.HARM, "ErrorsMore", "errors: 4 times as many", ("errors",))
ODD = Verdict(Answer.INCONCLUSIVE, "SampleRatioMismatch", "the requests are not those that were assigned", ("errors",))


def asked(revision: str = "b", **changes: Any) -> Asked:
    return replace(Asked(revision, STEPS, 600.0), **changes)


def seen(weight: int | None = None, **changes: Any) -> Seen:
    return replace(Seen("a", 2, weight, late="pod-1"), **changes)


def progress(state: State = State.STEPPING, step: int = 0, weight: int = 5, reason: str = "Stepping", **changes: Any) -> Progress:
    """A rollout of b over a that came where it is at NOW, and has the requests it is meant to have."""
    return replace(Progress("salt", "b", "a", state, NOW.isoformat(), reason, "words", step, weight), **changes)


def look(
    at: Progress | None,
    verb: str | None = None,
    verdict: Verdict = NO_GATES,
    later_s: float = 0.0,
    ask: Asked | None = None,
    see: Seen | None = None,
    barred: Memory | None = None,
) -> Move:
    """Return what one look makes of a rollout; by default every ready pod does as it should."""
    memory = replace(barred or Memory(), progress=at)
    wanted = ask or asked()
    wanted = replace(wanted, verb=Verb(verb)) if verb else wanted
    return step(wanted, see or seen(at.weight if at else None), verdict, memory, NOW + timedelta(seconds=later_s))


def now_at(move: Move) -> tuple[str, int, int]:
    """Return state, step and weight after a move."""
    after = move.memory.progress
    assert after is not None
    return str(after.state), after.step, after.weight
