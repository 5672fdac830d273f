"""The moves a rollout can make from one look to the next, and what they are decided from."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from llm_operator.api.durations import parse_s
from llm_operator.api.rollout import Step
from llm_operator.core.reasons import Reason
from llm_operator.core.rollout.evidence import Verdict
from llm_operator.core.rollout.progress import Memory, Progress, State

WHOLE = 100
PREPARING = "it gets requests once every ready pod can serve it"
SOON_S = 0.1
"""When to look again after a move: what it leads to may be there already."""


class Verb(StrEnum):
    """What somebody may ask of a rollout."""

    ABORT = "abort"
    APPROVE = "approve"
    PAUSE = "pause"
    PROMOTE = "promote"
    RESUME = "resume"
    RETRY = "retry"
    ROLLBACK = "rollback"


@dataclass(frozen=True)
class Asked:
    """What is asked for: the revision of the spec, and how it is let in.

    ``steps`` are None while the spec cannot be read, and empty where all requests move at once. ``verb`` is meant for this revision.
    """

    revision: str
    steps: tuple[Step, ...] | None
    deadline_s: float
    approved: str = ""
    verb: Verb | None = None


@dataclass(frozen=True)
class Seen:
    """What is there: ``weight`` is the percentage of the rollout that every ready pod runs, None while one of them does not know of it.

    ``late`` says which pods do not follow, ``refused`` which one cannot, ``going`` what has to end before a rollout may begin, and
    ``previous`` which revision could be gone back to.
    """

    stable: str
    pods: int
    weight: int | None
    replicas: int = 1
    late: str = ""
    refused: str = ""
    going: str = ""
    previous: str = ""


@dataclass(frozen=True)
class Answer:
    """What a verb is answered."""

    done: bool
    message: str


@dataclass(frozen=True)
class Move:
    """What a look leads to: ``turns`` are what users are told of, ``look_s`` is when time alone changes something."""

    memory: Memory
    turns: tuple[Progress, ...] = ()
    look_s: float | None = None
    answer: Answer | None = None

    @property
    def promotes(self) -> bool:
        """Return whether the revision of the rollout becomes stable by it."""
        return any(each.state == State.PROMOTED for each in self.turns)

    def answering(self, message: str) -> "Move":
        """Return it as what a verb has led to."""
        return replace(self, answer=Answer(done=True, message=message))


@dataclass(frozen=True)
class Look:
    """One look at a rollout that has not ended, and the moves it may make."""

    asked: Asked
    seen: Seen
    verdict: Verdict
    memory: Memory
    progress: Progress
    now: datetime

    @property
    def steps(self) -> tuple[Step, ...]:
        """Return the steps; going back needs none."""
        return () if self.progress.rollback else self.asked.steps or ()

    @property
    def here(self) -> Step | None:
        """Return the step it is at; when the list has become shorter it is the last one."""
        return self.steps[min(self.progress.step, len(self.steps) - 1)] if self.steps else None

    @property
    def runs(self) -> bool:
        """Return whether every ready pod gives it the requests it is meant to have; without replicas nobody has to."""
        return self.seen.weight == self.progress.weight and (self.seen.pods > 0 or not self.seen.replicas)

    def stay(self, look_s: float | None = None) -> Move:
        """Return that nothing changes."""
        return Move(self.memory, look_s=look_s)

    def turn(self, progress: Progress) -> Move:
        """Return that it is somewhere else now, or waits for something else."""
        turns = (progress,) if progress.differs(self.progress) else ()
        return Move(replace(self.memory, progress=progress), turns, SOON_S)

    def wait(self, reason: Reason, message: str) -> Move:
        """Return that it waits where it is; the time it waits counts from when the reason began."""
        if (self.progress.reason, self.progress.message) == (reason, message):
            return self.stay()
        same = self.progress.reason == reason
        waiting = self.progress.turned(self.progress.state, self.now, reason, message)
        return self.turn(replace(waiting, since=self.progress.since) if same else waiting)

    def prepare(self) -> Move:
        """Return that every pod has to know of it before it gets a request."""
        return self.turn(self.progress.turned(State.PREPARING, self.now, Reason.PREPARING, PREPARING, weight=0))

    def again(self) -> Move:
        """Return that the step it is at begins again."""
        return self.enter(min(self.progress.step, max(len(self.steps) - 1, 0)))

    def enter(self, index: int) -> Move:
        """Return that a step begins; behind the last one the revision gets every request."""
        if index >= len(self.steps):
            return self.finalise()
        weight = self.steps[index].weight_percent or self.progress.weight
        words = f"{self.named(index)}: {weight}% of requests go to it"
        words += " until somebody approves it" if self.steps[index].approval is not None else ""
        return self.turn(self.progress.turned(State.STEPPING, self.now, Reason.DELIVERING, words, step=index, weight=weight))

    def finalise(self, reason: Reason = Reason.FINALISING, message: str = "") -> Move:
        """Return that the revision gets every request; once every ready pod knows, it is stable."""
        words = message or "it gets every request"
        return self.turn(self.progress.turned(State.FINALISING, self.now, reason, words, weight=WHOLE))

    def pause(self, reason: str, message: str) -> Move:
        """Return that it keeps what it has until somebody decides."""
        words = f"{message}; {self.progress.weight}% of requests stay with it until resume, promote or abort"
        return self.turn(self.progress.turned(State.PAUSED, self.now, reason, words))

    def abort(self, reason: str, message: str) -> Move:
        """Return that it is over and has no request any more. It does not begin again; what a rollback left is not held against it."""
        ended = self.progress.turned(State.ABORTED, self.now, reason, message, weight=0)
        move = self.turn(ended)
        return move if ended.rollback else replace(move, memory=self.memory.barring(ended, ended.revision, self.now))

    def promote(self) -> Move:
        """Return that it is stable. What it was rolled back from does not begin again."""
        words = "it is stable"
        ended = self.progress.turned(State.PROMOTED, self.now, Reason.PROMOTED, words)
        move = self.turn(ended)
        if not ended.rollback:
            return move
        back = replace(ended, reason=str(Reason.ROLLED_BACK), message=f"{words} again, instead of {ended.replaces}")
        return Move(self.memory.barring(back, ended.replaces, self.now), (back,), SOON_S)

    def named(self, index: int) -> str:
        """Return the name of a step."""
        return f"step {index + 1} of {len(self.steps)}"

    def left_s(self, duration: str) -> float:
        """Return what is left of a duration."""
        return parse_s(duration) - self.progress.waited_s(self.now)
