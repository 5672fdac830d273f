"""The moves a rollout can make from one look to the next, and what they are decided from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from llm_operator.api.durations import parse_s
from llm_operator.api.rollout import Shadow, Step
from llm_operator.core.reasons import Reason
from llm_operator.core.rollout.evidence import Verdict
from llm_operator.core.rollout.progress import COMING, TRYING, Memory, Progress, State

WHOLE = 100
PREPARING = "it gets requests once every ready pod can serve it"
RATCHETING = "it gets every request pod by pod: one of its engine up, one of the other down"
NO_ROOM_YET = "its first pod starts once there is room for it"
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

    ``steps`` are None while nobody knows what the spec asks for, and empty where all requests move at once. ``verb`` is meant for this
    revision. ``undivided`` says that steps with a share were left out: the only accelerator there is serves one engine or the other.
    """

    revision: str
    steps: tuple[Step, ...] | None
    deadline_s: float
    approved: str = ""
    verb: Verb | None = None
    undivided: bool = False


@dataclass(frozen=True)
class Canary:
    """The engine that a rollout brings: ``usable`` of its pods can be given requests, and carry ``able`` percent of all of them.

    ``through`` says that they are as many as have to serve, ``asked`` that its Deployment may have a pod, and ``alone`` that it can have
    one only in place of the last one of stable. ``pending`` says that a pod waits for room, ``withheld`` that stable needs what it has, and
    ``loading`` that one which is asked for is not up yet. ``crashes`` is how often its engine was started again, ``reason`` and ``message``
    are what its pods are at. ``ending`` names the pods on their way out, of whatever engine, and ``lost`` says
    that none of its own is ready.
    """

    usable: int
    able: int
    through: bool
    asked: bool
    pending: bool
    alone: bool
    crashes: int
    reason: str
    message: str
    withheld: bool = False
    loading: bool = False
    ending: str = ""
    lost: bool = False

    @property
    def unreached(self) -> bool:
        """Return whether its pod is ready, and another one cannot be asked whether it reaches it, or does not."""
        return not (self.usable or self.lost or self.alone)


@dataclass(frozen=True)
class Seen:
    """What is there: ``weight`` is the percentage of the rollout that every ready pod runs, None while one of them does not know of it.

    ``sample`` is the percentage of requests that they copy to it. ``pods`` are those that serve. ``late`` says which of them do not follow,
    ``refused`` which one cannot, ``going`` what has to end before a rollout may begin, and ``previous`` which revision could be gone back
    to. There is a ``canary`` where another engine is brought.
    """

    stable: str
    pods: int
    weight: int | None
    replicas: int = 1
    late: str = ""
    refused: str = ""
    going: str = ""
    previous: str = ""
    canary: Canary | None = None
    sample: int = 0


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


def shadow_of(progress: Progress, steps: Sequence[Step]) -> Shadow | None:
    """Return what a rollout copies where it is, or None."""
    if not steps or progress.state not in TRYING:
        return None
    return steps[min(progress.step, len(steps) - 1)].shadow


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
        """Return whether every ready pod gives it the requests and copies it is meant to have; without replicas nobody has to."""
        unreached = self.seen.canary is not None and self.seen.canary.unreached
        given = not unreached and (self.seen.weight, self.seen.sample) == (min(self.progress.weight, self.able), self.sample)
        return given and (self.seen.pods > 0 or not self.seen.replicas)

    @property
    def sample(self) -> int:
        """Return the percentage of requests that the step it is at copies."""
        shadow = shadow_of(self.progress, self.steps)
        return shadow.sample_percent if shadow is not None else 0

    @property
    def able(self) -> int:
        """Return the percentage of all requests that it can be given at most."""
        return WHOLE if self.seen.canary is None else self.seen.canary.able

    @property
    def capped(self) -> bool:
        """Return whether a step asks for more than the pods of its engine can carry."""
        return bool(self.seen.canary and self.seen.canary.usable) and self.able < self.progress.weight

    def stay(self, look_s: float | None = None) -> Move:
        """Return that nothing changes."""
        return Move(self.memory, look_s=look_s)

    def turn(self, progress: Progress) -> Move:
        """Return that it is somewhere else now, or waits for something else."""
        turns = (progress,) if progress.differs(self.progress) else ()
        return Move(replace(self.memory, progress=progress), turns, SOON_S)

    def wait(self, reason: str, message: str, state: State | None = None) -> Move:
        """Return that it waits where it is, or in another state; the time it waits counts from when the reason began."""
        there = state or self.progress.state
        if (self.progress.state, self.progress.reason, self.progress.message) == (there, reason, message):
            return self.stay()
        same = (self.progress.state, self.progress.reason) == (there, reason)
        weight = 0 if there in COMING else self.progress.weight
        waiting = self.progress.turned(there, self.now, reason, message, weight=weight)
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
        asked = (each.weight_percent for each in reversed(self.steps[: index + 1]) if each.weight_percent)
        weight = self.steps[index].weight_percent or self.progress.weight or next(asked, 0)
        losses = self.progress.losses if index == self.progress.step else 0
        changes = {"step": index, "weight": weight, "losses": losses}
        return self.turn(self.progress.turned(State.STEPPING, self.now, Reason.DELIVERING, self.words(index, weight), **changes))

    def words(self, index: int, weight: int) -> str:
        """Return what a step does, in words."""
        step = self.steps[index]
        until = " until somebody approves it" if step.approval is not None else ""
        copies = f"{step.shadow.sample_percent}% of requests are copied to it, " if step.shadow is not None else ""
        return f"{self.named(index)}: {copies}{weight}% of requests go to it{until}"

    def finalise(self, reason: Reason = Reason.FINALISING, message: str = "") -> Move:
        """Return that the revision gets every request, pod by pod where its engine needs more; once every ready pod knows, it is stable."""
        canary = self.seen.canary
        if canary is not None and not canary.through:
            return self.turn(self.progress.turned(State.RATCHETING, self.now, Reason.RATCHETING, RATCHETING, weight=WHOLE, losses=0))
        words = message or "it gets every request"
        return self.turn(self.progress.turned(State.FINALISING, self.now, reason, words, weight=WHOLE, losses=0))

    def pause(self, reason: str, message: str) -> Move:
        """Return that it keeps what it has until somebody decides."""
        words = f"{message}; {self.progress.weight}% of requests stay with it until resume, promote or abort"
        return self.turn(self.progress.turned(State.PAUSED, self.now, reason, words))

    def abort(self, reason: str, message: str) -> Move:
        """Return that it is over and has no request any more. It does not begin again; what a rollback left is not held against it."""
        ended = self.progress.turned(State.ABORTED, self.now, reason, message, weight=0)
        move = self.turn(ended)
        return move if ended.rollback else replace(move, memory=self.memory.barring(ended, ended.revision, message, self.now))

    def promote(self, reason: Reason = Reason.PROMOTED, words: str = "it is stable") -> Move:
        """Return that it is stable. What it was rolled back from does not begin again."""
        ended = self.progress.turned(State.PROMOTED, self.now, reason, words, weight=WHOLE)
        move = self.turn(ended)
        if not ended.rollback:
            return move
        back = replace(ended, reason=str(Reason.ROLLED_BACK), message=f"{words} again, instead of {ended.replaces}")
        why = f"it was rolled back to revision {ended.revision}"
        return Move(self.memory.barring(back, ended.replaces, why, self.now), (back,), SOON_S)

    def named(self, index: int) -> str:
        """Return the name of a step."""
        return f"step {index + 1} of {len(self.steps)}"

    def left_s(self, duration: str) -> float:
        """Return what is left of a duration."""
        return parse_s(duration) - self.progress.waited_s(self.now)
