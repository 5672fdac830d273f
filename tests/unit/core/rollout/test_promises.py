"""Whatever happens in whatever order, a rollout keeps its promises; machines that are broken on purpose do not."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_operator.core.rollout.evidence import NO_GATES, Answer, Verdict
from llm_operator.core.rollout.machine import step
from llm_operator.core.rollout.moves import WHOLE, Asked, Canary, Move, Seen, Verb
from llm_operator.core.rollout.progress import COMING, Memory, Progress, State
from tests.properties import tried
from tests.unit.core.rollout.steps import HARM, NOW, ODD, STEPS, WAITING

Machine = Callable[[Asked, Seen, Verdict, Memory, datetime], Move]
Event = Mapping[str, Any]

CHOICES: Mapping[str, list[Any]] = {
    "revision": ["b"] * 18 + ["c", "a"],
    "approved": ["", "b", "c"],
    "steps": ["all"] * 14 + ["unreadable"],
    "verb": [None] * 20 + [*Verb, Verb.RESUME, Verb.RESUME],
    "verdict": [NO_GATES] * 10 + [WAITING, WAITING, HARM, ODD],
    "pods": [2] * 12 + [0],
    "replicas": [2] * 39 + [0],
    "late": [False] * 9 + [True],
    "refused": [""] * 19 + ["pod-1"],
    "killed": [False] * 7 + [True],
    "after_s": [1, 1, 30, 61, 61, 4_000],
    "usable": [1] * 9 + [0],
    "silent": [False] * 9 + [True],
    "able": [100, 100, 25],
    "through": [True, False],
    "asked": [True] * 9 + [False],
    "pending": [False, True],
}
HISTORIES = st.lists(st.fixed_dictionaries({name: st.sampled_from(values) for name, values in CHOICES.items()}), min_size=8, max_size=40)


@dataclass(frozen=True)
class Change:
    """What one look made of a rollout, and what it knew."""

    ask: Asked
    see: Seen
    verdict: Verdict
    memory: Memory
    now: datetime
    before: Progress
    after: Progress

    @property
    def goes_on(self) -> bool:
        """Whether the rollout before was still the one that is asked for."""
        follows = self.before.replaces if self.before.rollback else self.before.revision
        return self.before.is_active and self.ask.revision == follows and self.before.replaces == self.see.stable

    @property
    def empty(self) -> bool:
        """Whether the engine that is brought has no pod that could be given requests."""
        return self.see.canary is not None and not self.see.canary.usable

    @property
    def able(self) -> int:
        return WHOLE if self.see.canary is None else self.see.canary.able

    @property
    def begins(self) -> bool:
        return self.after.is_active and self.after.id != self.before.id

    @property
    def raises(self) -> bool:
        """Whether a step was over by itself: by no verb, and with somebody to serve."""
        by_hand = self.ask.verb in {Verb.PROMOTE, Verb.APPROVE} or not self.see.replicas or self.before.rollback
        further = (self.after.step, self.after.weight) > (self.before.step, self.before.weight)
        return self.goes_on and self.after.is_active and further and self.before.state == State.STEPPING and not by_hand

    @property
    def gone(self) -> bool:
        return self.after.state == State.ABORTED and not self.after.weight


def is_approval(change: Change) -> bool:
    return STEPS[change.before.step].approval is not None


def unproven(change: Change) -> bool:
    if is_approval(change):
        return change.ask.approved != change.before.revision
    return change.verdict.answer != Answer.PASS or change.before.waited_s(change.now) < 60


def blind(change: Change) -> bool:
    waits = change.before.state in {*COMING, State.PAUSED}
    return change.goes_on and change.after.weight > change.before.weight and waits and change.see.weight is None and change.see.replicas > 0


def carries_on(change: Change) -> bool:
    """Return whether a step goes on although the engine of the rollout has lost its pod."""
    undisturbed = change.goes_on and change.ask.verb is None and change.ask.steps is not None and change.see.replicas > 0
    lost = change.see.canary is not None and change.see.canary.lost
    return undisturbed and lost and change.before.state == change.after.state == State.STEPPING


def hurried(change: Change) -> bool:
    """Return whether a rollout is given up for the time it takes while there is no room for its pod."""
    late = (
        change.before.state != State.ABORTED and change.after.reason == "ProgressDeadlineExceeded" and change.after.state == State.ABORTED
    )
    return late and change.empty and change.see.canary is not None and change.see.canary.pending


def harmed(change: Change) -> bool:
    judged = change.before.state not in COMING and not change.before.rollback
    return change.goes_on and judged and change.verdict.answer == Answer.HARM


PROMISES: Mapping[str, Callable[[Change], bool]] = {
    "abort always wins": lambda one: one.goes_on and one.ask.verb == Verb.ABORT and not one.gone,
    "harm takes everything back": lambda one: harmed(one) and not one.gone,
    "a rollout begins without requests": lambda one: one.begins and one.after.weight > 0,
    "what was aborted begins again with a retry alone": lambda one: (
        one.begins and not one.after.rollback and one.memory.bar(one.after.revision) is not None and one.ask.verb != Verb.RETRY
    ),
    "requests go only where every ready pod has said that it serves them": blind,
    "stable is what every ready pod gives every request": lambda one: (
        one.before != one.after and one.after.state == State.PROMOTED and (one.before.state, one.see.weight) != (State.FINALISING, WHOLE)
    ),
    "stable is what has as many pods as must serve": lambda one: (
        one.before != one.after
        and one.after.state == State.PROMOTED
        and one.see.canary is not None
        and not one.see.canary.through
        and one.see.replicas > 0
    ),
    "a step does not go on without a pod": carries_on,
    "no time counts without room": hurried,
    "a spec that cannot be read moves nothing": lambda one: one.raises and one.ask.steps is None,
    "a step ends only by proof, in its time": lambda one: one.raises and unproven(one),
    "a step ends only when every ready pod has reached the engine": lambda one: one.raises and one.empty,
    "a step ends only when every ready pod runs it": lambda one: (
        one.raises and (one.see.weight != min(one.before.weight, one.able) or not one.see.pods)
    ),
}
NOBODY = Progress("", "", "", State.SUPERSEDED, NOW.isoformat(), "", "")


@dataclass
class World:
    """One deployment whose rollouts a machine runs: ``table`` is the rollout and weight that are written, ``runs`` what every pod runs."""

    machine: Machine
    memory: Memory
    engine: bool = False
    """Whether its rollouts bring another engine."""
    stable: str = "a"
    now: datetime = NOW
    table: tuple[str, int] = ("", 0)
    runs: tuple[str, int] = ("", 0)

    def look(self, event: Event) -> str:
        """Return the promise that a look breaks, or nothing."""
        self.now += timedelta(seconds=event["after_s"])
        before = self.memory.progress or NOBODY
        self.runs = self.runs if event["late"] else self.table
        ask = Asked(event["revision"], STEPS if event["steps"] == "all" else None, 600, event["approved"], event["verb"])
        usable = event["usable"] * (not event["silent"])
        able = event["able"] * usable
        words = ("LoadingWeights", "0 of 1 pods ready")
        through = event["through"] and able == WHOLE
        canary = Canary(usable, able, through, event["asked"], event["pending"], False, 0, *words, lost=not event["usable"])  # noqa: FBT003
        see = Seen(
            self.stable,
            event["pods"],
            self.runs[1] if self.table == self.runs and self.runs[0] == before.id else None,
            event["replicas"],
            "pod-1",
            event["refused"],
            previous=before.replaces if (before.state, before.revision) == (State.PROMOTED, self.stable) else "",
            canary=canary if self.engine else None,
        )
        move = self.machine(ask, see, event["verdict"], self.memory, self.now)
        after = move.memory.progress or NOBODY
        change = Change(ask, see, event["verdict"], self.memory, self.now, before, after)
        weight = min(before.weight, after.weight) if before.id == after.id else 0  # what rises is written once the status has it
        self.table = (after.id, min(weight, able) if self.engine else weight) if after.is_active else ("", 0)
        if not event["killed"]:  # else the table is written and the status is not
            self.memory = move.memory
            self.stable = after.revision if move.promotes else self.stable
        return next((promise for promise, breaks in PROMISES.items() if breaks(change)), "")


def broken(history: list[Event], machine: Machine, *, engine: bool = False) -> str:
    """Return the first promise that a machine breaks in a history, or nothing."""
    world = World(machine, Memory(), engine)
    return next((found for event in history if (found := world.look(event))), "")


@tried(15)
@given(history=HISTORIES, engine=st.booleans())
def test_no_history_breaks_a_promise(history: list[Event], *, engine: bool) -> None:
    assert broken(history, step, engine=engine) == ""


def random_history(seed: int) -> list[Event]:
    draw = Random(seed)  # noqa: S311  # it decides what is tried, nothing secret
    return [{name: draw.choice(values) for name, values in CHOICES.items()} for _ in range(40)]


def deaf_to_aborts(ask: Asked, see: Seen, verdict: Verdict, memory: Memory, now: datetime) -> Move:
    paused = memory.progress is not None and memory.progress.state == State.PAUSED
    return step(replace(ask, verb=None) if paused and ask.verb == Verb.ABORT else ask, see, verdict, memory, now)


def trusting(ask: Asked, see: Seen, verdict: Verdict, memory: Memory, now: datetime) -> Move:
    return step(ask, see, NO_GATES if verdict == WAITING else verdict, memory, now)


def hasty(ask: Asked, see: Seen, verdict: Verdict, memory: Memory, now: datetime) -> Move:
    return step(ask, replace(see, weight=memory.progress.weight if memory.progress else None), verdict, memory, now)


def forgetful(ask: Asked, see: Seen, verdict: Verdict, memory: Memory, now: datetime) -> Move:
    return step(ask, see, verdict, replace(memory, barred=()), now)


def generous(ask: Asked, see: Seen, verdict: Verdict, memory: Memory, now: datetime) -> Move:
    return step(replace(ask, approved=ask.revision), see, verdict, memory, now)


def impatient(ask: Asked, see: Seen, verdict: Verdict, memory: Memory, now: datetime) -> Move:
    return step(ask, see, verdict, memory, now + timedelta(seconds=45))


def optimistic(ask: Asked, see: Seen, verdict: Verdict, memory: Memory, now: datetime) -> Move:
    return step(ask, replace(see, canary=see.canary and replace(see.canary, usable=1, lost=False)), verdict, memory, now)


def presuming(ask: Asked, see: Seen, verdict: Verdict, memory: Memory, now: datetime) -> Move:
    silent = see.canary is not None and see.canary.unreached
    return step(ask, replace(see, canary=replace(see.canary, usable=1, able=WHOLE)) if see.canary and silent else see, verdict, memory, now)


def stern(ask: Asked, see: Seen, verdict: Verdict, memory: Memory, now: datetime) -> Move:
    return step(ask, replace(see, canary=see.canary and replace(see.canary, pending=False)), verdict, memory, now)


def content(ask: Asked, see: Seen, verdict: Verdict, memory: Memory, now: datetime) -> Move:
    return step(ask, replace(see, canary=see.canary and replace(see.canary, through=True)), verdict, memory, now)


@pytest.mark.component
@pytest.mark.parametrize(
    ("machine", "promise"),
    [
        (deaf_to_aborts, "abort always wins"),
        (trusting, "a step ends only by proof, in its time"),
        (hasty, "requests go only where every ready pod has said that it serves them"),
        (forgetful, "what was aborted begins again with a retry alone"),
        (generous, "a step ends only by proof, in its time"),
        (impatient, "a step ends only by proof, in its time"),
        (optimistic, "a step does not go on without a pod"),
        (presuming, "a step ends only when every ready pod has reached the engine"),
        (stern, "no time counts without room"),
        (content, "stable is what has as many pods as must serve"),
    ],
)
def test_each_broken_machine_is_found_out(machine: Machine, promise: str) -> None:
    assert promise in (broken(random_history(seed), machine, engine=seed % 2 > 0) for seed in range(400))


def test_the_histories_go_everywhere() -> None:
    """A property that never leaves the first state would hold of anything."""
    seen: set[tuple[State, State]] = set()
    for seed in range(80):
        world, states = World(step, Memory(), engine=seed % 2 > 0), list[State]()
        for event in random_history(seed):
            world.look(event)
            states += [world.memory.progress.state] if world.memory.progress else []
        seen |= set(pairwise(states))
    assert {after for _, after in seen} == set(State)
    assert {(State.PAUSED, State.STEPPING), (State.FINALISING, State.PROMOTED), (State.FINALISING, State.ABORTED)} <= seen
