"""A rollout within the plan: what one look makes of it, and what its move makes of the roles."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from llm_operator.api.durations import parse_s
from llm_operator.api.rollout import Step
from llm_operator.core import verbs
from llm_operator.core.actions import EventDraft
from llm_operator.core.clock import stamp
from llm_operator.core.loan import Loan
from llm_operator.core.removal import Warm
from llm_operator.core.roles import Roles, Trial, left_over, version_of
from llm_operator.core.rollout import told
from llm_operator.core.rollout.evidence import NO_GATES, Verdict
from llm_operator.core.rollout.machine import step
from llm_operator.core.rollout.moves import WHOLE, Answer, Move, Verb, shadow_of
from llm_operator.core.rollout.progress import THROUGH, TRYING, Barred, Memory, Progress, State
from llm_operator.core.rollout.told import brings_engine, leaving
from llm_operator.core.target import Target, Version
from llm_operator.core.verbs import Action, Outcome
from llm_operator.core.withholding import claimed, withhold
from llm_operator.core.world import World
from llm_sidecar.table import WHOLE as ALL_UNITS
from llm_sidecar.table import Shadow

HISTORY = 20
"""Lines of history that status keeps."""


@dataclass(frozen=True)
class Rollout:
    """What a look makes of the rollout.

    ``barred`` says why the revision that the spec asks for is not served, ``promotes`` that the one on its way becomes stable. The pod of
    an engine that was aborted stays ``warm`` for a while. There is a ``loan`` where a change may borrow a pod of stable.
    """

    move: Move
    barred: Barred | None = None
    promotes: bool = False
    warm: Warm | None = None
    loan: Loan | None = None

    @property
    def progress(self) -> Progress | None:
        """Return where the last rollout stands."""
        return self.move.memory.progress

    def status(self, before: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        """Return the part of the status that rollouts need; nothing before the first one."""
        lines = [{"at": stamp(now), **_line(each)} for each in self.move.turns]
        return {
            **({"rollout": self.progress.entry()} if self.progress else {}),
            "abortedRevisions": [dict(vars(each)) for each in self.move.memory.barred],
            "history": [*before.get("history", ()), *lines][-HISTORY:],
        }

    def events(self) -> tuple[EventDraft, ...]:
        """Return an Event for each change of state, step or weight."""
        return tuple(_event(each) for each in self.move.turns)


NONE = Rollout(Move(Memory()))
"""Before there is anything that could be rolled out."""


def follow(world: World, target: Target, roles: Roles, now: datetime, verdict: Verdict = NO_GATES) -> tuple[Target, Roles, Rollout]:
    """Return what the rollout does next, with the roles that follow and the verb answered that was asked of it."""
    memory, action = Memory.read(world.status), _action(target)
    if roles.stable is None or roles.latest is None:
        missing = Answer(done=False, message="no revision is stable yet, so there is nothing to roll out")
        return _answered(target, action, missing, now), roles, Rollout(Move(memory))
    latest, stable = roles.latest.revision.id, roles.stable.revision.id
    is_meant = action is not None and action.revision == latest
    goes_on = memory.progress is not None and memory.progress.is_active
    coming = _version(world, roles.latest, memory.progress) if memory.progress and goes_on else roles.latest
    loan = None
    if goes_on or memory.bar(latest) is None:
        tried, back = _tried(target, memory.progress), memory.progress is not None and goes_on and memory.progress.rollback
        loan, roles = withhold(world, target, roles, coming, now, tried=tried, by_steps=goes_on, back=back)
    asked = told.asked(target, roles, coming, Verb(action.verb) if action and is_meant else None)
    move = step(asked, told.seen(world, roles, coming, memory.progress, now), verdict, memory, now)
    answer = move.answer if is_meant or action is None else Answer(done=False, message=verbs.stale(action.revision, latest))
    progress = move.memory.progress
    promotes = move.promotes and progress is not None and progress.revision != stable
    after = progress.revision if promotes and progress else stable
    barred = move.memory.bar(latest) if latest != after else None
    rollout = Rollout(move, barred, promotes, _warm(world, target, roles, barred, now), loan)
    return _answered(target, action, answer, now), _cast(world, roles, rollout, memory.progress, asked.steps), rollout


def _tried(target: Target, progress: Progress | None) -> bool:
    """Return whether another engine that is asked for is tried on one pod now, or will be."""
    if progress is not None and progress.is_active:
        return progress.state not in THROUGH
    return target.spec is not None and target.spec.rollout.engine is not None


def _warm(world: World, target: Target, roles: Roles, barred: Barred | None, now: datetime) -> Warm | None:
    """Return which engine keeps its pod although it was aborted: one that is ready, and that stable does not need back."""
    asked = target.spec.rollout if target.spec is not None else None
    if barred is None or asked is None or asked.engine is None or roles.within or not roles.replicas:
        return None
    if roles.stable is None or roles.latest is None or not brings_engine(roles, roles.latest) or claimed(world, roles.stable, roles.latest):
        return None
    engine = roles.latest.engine.id
    until = datetime.fromisoformat(barred.at) + timedelta(seconds=parse_s(asked.abort.keep_canary_for))
    return Warm(engine, until) if now < until and world.ready_of(engine) else None


def _action(target: Target) -> Action | None:
    """Return the verb that is asked of a rollout."""
    action = verbs.running(target.actions)
    return action if action is not None and action.verb in set(Verb) else None


def _answered(target: Target, action: Action | None, answer: Answer | None, now: datetime) -> Target:
    if action is None or answer is None:
        return target
    turned = action.turned(Outcome.DONE if answer.done else Outcome.REJECTED, answer.message, now)
    return replace(target, actions=verbs.answered(target.actions, turned))


def _version(world: World, latest: Version, progress: Progress) -> Version | None:
    """Return the version of a rollout; the latest one need not be stored yet."""
    return latest if latest.revision.id == progress.revision else version_of(world, progress.revision)


def _weight(before: Progress | None, after: Progress | None) -> int:
    """Return the weight the table gets. One that is higher has to be in the status first: then no crash makes it fall again."""
    if before is None or after is None or before.id != after.id:
        return 0
    return min(before.weight, after.weight)


def _cast(world: World, roles: Roles, rollout: Rollout, before: Progress | None, steps: tuple[Step, ...] | None) -> Roles:
    """Return the roles of a look: what is on trial is the target, and what must not be served leaves it to stable."""
    progress = rollout.progress
    if progress is None or not (progress.is_active or rollout.promotes):
        target = roles.stable if rollout.barred else roles.target
        withdraws = progress is not None and world.table is not None and world.table.salt == progress.id
        return replace(roles, target=target, outgoing=left_over(world, roles.stable, target), withdraws=withdraws)
    version = _version(world, roles.latest, progress) if roles.latest else None
    if version is None:
        return replace(roles, target=roles.stable)
    weight = _weight(before, progress) * ALL_UNITS // WHOLE
    shadow = None if roles.withheld else _shadow(world, version, progress, steps)
    trial = Trial(version, weight, progress.id, pinned=not _through(before, progress), shadow=shadow)
    outgoing = leaving(world, roles, version, progress)
    return replace(roles, target=version, trial=trial, outgoing=outgoing, withdraws=brings_engine(roles, version))


def _shadow(world: World, version: Version, progress: Progress, steps: tuple[Step, ...] | None) -> Shadow | None:
    """Return what the table says of copies. While nobody can read the steps that stays as it is; a pod that is away gets none."""
    if progress.state not in TRYING or not world.ready_of(version.engine.id):
        return None
    if steps is None:
        return world.table.shadow if world.table is not None and world.table.salt == progress.id else None
    asked = shadow_of(progress, steps)
    if asked is None:
        return None
    return Shadow(revision=version.revision.id, sample=asked.sample_percent * ALL_UNITS // WHOLE, max_in_flight=asked.max_in_flight)


def _through(before: Progress | None, after: Progress) -> bool:
    """Return whether the last step is over; as for the weight, that has to be in the status first."""
    return before is not None and before.id == after.id and {before.state, after.state} <= THROUGH


def _line(turn: Progress) -> dict[str, Any]:
    entry = turn.entry()
    return {name: entry[name] for name in ("revision", "state", "step", "weight", "reason", "message")}


def _event(turn: Progress) -> EventDraft:
    kind = "Warning" if turn.state in {State.ABORTED, State.PAUSED} else "Normal"
    return EventDraft(kind, f"Rollout{turn.state}", f"revision {turn.revision}: {turn.message}")
