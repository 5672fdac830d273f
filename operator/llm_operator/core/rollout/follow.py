"""A rollout within the plan: what the machine is told of one look, and what its move makes of the roles."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from llm_operator.api.durations import parse_s
from llm_operator.api.rollout import PROGRESS_DEADLINE
from llm_operator.core import verbs
from llm_operator.core.actions import EventDraft
from llm_operator.core.clock import stamp
from llm_operator.core.delivery import NOTHING as NO_DELIVERY
from llm_operator.core.delivery import deliver
from llm_operator.core.removal import listed
from llm_operator.core.roles import Roles, Trial, ready_of, version_of
from llm_operator.core.rollout.evidence import NO_GATES, Verdict
from llm_operator.core.rollout.machine import step
from llm_operator.core.rollout.moves import WHOLE, Answer, Asked, Move, Seen, Verb
from llm_operator.core.rollout.progress import Barred, Memory, Progress, State
from llm_operator.core.target import Target, Version
from llm_operator.core.verbs import Action, Outcome
from llm_operator.core.world import World
from llm_sidecar.table import WHOLE as ALL_UNITS

HISTORY = 20
"""Lines of history that status keeps."""


@dataclass(frozen=True)
class Rollout:
    """What a look makes of the rollout. ``barred`` says why the revision that the spec asks for is not served."""

    move: Move
    barred: Barred | None = None

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
    asked = _asked(target, roles.latest, roles.stable, Verb(action.verb) if action and is_meant else None)
    move = step(asked, _seen(world, roles, memory.progress, now), verdict, memory, now)
    answer = move.answer if is_meant or action is None else Answer(done=False, message=verbs.stale(action.revision, latest))
    after = move.memory.progress.revision if move.promotes and move.memory.progress else stable
    barred = move.memory.bar(latest) if latest != after else None
    weight = _weight(memory.progress, move.memory.progress)
    return _answered(target, action, answer, now), _cast(world, roles, move, barred, weight), Rollout(move, barred)


def _action(target: Target) -> Action | None:
    """Return the verb that is asked of a rollout."""
    action = verbs.running(target.actions)
    return action if action is not None and action.verb in set(Verb) else None


def _answered(target: Target, action: Action | None, answer: Answer | None, now: datetime) -> Target:
    if action is None or answer is None:
        return target
    turned = action.turned(Outcome.DONE if answer.done else Outcome.REJECTED, answer.message, now)
    return replace(target, actions=verbs.answered(target.actions, turned))


def _asked(target: Target, latest: Version, stable: Version, verb: Verb | None) -> Asked:
    """Return what is asked for. What needs another engine has no steps of its own."""
    rollout = target.spec.rollout if target.spec is not None else None
    if rollout is None:
        return Asked(latest.revision.id, None, parse_s(PROGRESS_DEADLINE), verb=verb)
    config = rollout.config if latest.engine.id == stable.engine.id else None
    deadline_s = parse_s(config.progress_deadline if config else PROGRESS_DEADLINE)
    return Asked(latest.revision.id, config.steps if config else (), deadline_s, rollout.approve.revision, verb)


def _seen(world: World, roles: Roles, progress: Progress | None, now: datetime) -> Seen:
    """Return what the machine has to know: above all what every ready pod runs of this rollout."""
    stable, live = roles.stable, world.table
    engine, revision = (stable.engine.id, stable.revision.id) if stable else ("", "")
    delivery = deliver(world, live.generation, now, is_live=True) if live else NO_DELIVERY
    mine = [route for route in live.routes if route.slot is not None and progress and route.revision == progress.revision] if live else []
    known = bool(mine) and live is not None and progress is not None and live.salt == progress.id
    going = f"the change to revision {roles.outgoing.revision.id} is taken back first" if roles.outgoing else ""
    return Seen(
        stable=revision,
        pods=ready_of(world, engine),
        weight=mine[0].weight * WHOLE // ALL_UNITS if known and not delivery.late else None,
        replicas=roles.replicas,
        late=listed(world, tuple(name for name, _ in delivery.late)) or "pods that are coming up",
        refused=delivery.refused if known else "",
        going=going,
        previous=_previous(world, stable, progress),
    )


def _previous(world: World, stable: Version | None, progress: Progress | None) -> str:
    """Return the revision that the last rollout has replaced, if it can be served by the pods there are."""
    if progress is None or stable is None or progress.state != State.PROMOTED or progress.revision != stable.revision.id:
        return ""
    before = version_of(world, progress.replaces)
    return progress.replaces if before is not None and before.engine.id == stable.engine.id else ""


def _weight(before: Progress | None, after: Progress | None) -> int:
    """Return the weight the table gets. One that is higher has to be in the status first: then no crash makes it fall again."""
    if before is None or after is None or before.id != after.id:
        return 0
    return min(before.weight, after.weight)


def _cast(world: World, roles: Roles, move: Move, barred: Barred | None, weight: int) -> Roles:
    """Return the roles of a look: what is on trial is the target, and what must not be served leaves it to stable."""
    progress, latest = move.memory.progress, roles.latest
    if progress is not None and (progress.is_active or move.promotes):
        version = latest if latest and latest.revision.id == progress.revision else version_of(world, progress.revision)
        if version is not None:
            return replace(roles, target=version, trial=Trial(version, weight * ALL_UNITS // WHOLE, progress.id))
        return replace(roles, target=roles.stable)
    return replace(roles, target=roles.stable) if barred else roles


def _line(turn: Progress) -> dict[str, Any]:
    entry = turn.entry()
    return {name: entry[name] for name in ("revision", "state", "step", "weight", "reason", "message")}


def _event(turn: Progress) -> EventDraft:
    kind = "Warning" if turn.state in {State.ABORTED, State.PAUSED} else "Normal"
    return EventDraft(kind, f"Rollout{turn.state}", f"revision {turn.revision}: {turn.message}")
