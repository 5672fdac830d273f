"""Whether a model source still holds what was resolved: asked again now and then where ``spec.model.updatePolicy`` says so.

A check is a Job like the one that resolved. When the last one succeeded is in ``status.resolutions`` and names the next Job, so that
whoever looks after a crash goes on with the same one. It begins in the first moments of a turn of some minutes, and the turns of each
deployment begin at a time of its own: a thousand checks that are due at once, as after an outage, are spread over one.
"""

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from llm_operator.api.config import OperatorConfig
from llm_operator.api.llmdeployment import Model
from llm_operator.core.asking import ANSWERED_S, Failure, answer_of, pod_of, question
from llm_operator.core.clock import seconds_since, stamp
from llm_operator.core.kinds import JOB
from llm_operator.core.observed import Obj
from llm_operator.core.podstate import containers
from llm_operator.core.references import MODEL_FIELD, References, Resolution
from llm_operator.core.world import World

_TURN_S = 600
_BEGINS_S = 30.0
_LOOK_S = 10.0
_TIDY_S = 1.0
_CHANGED = "SourceChanged"
"""What the fetcher of a pod says that finds other files than were resolved."""


@dataclass(frozen=True)
class Check:
    """The digest to serve, the Job to have meanwhile, and when to look again."""

    digest: str
    jobs: tuple[Obj, ...] = ()
    look_s: float | None = None


def check_model(world: World, model: Model, config: OperatorConfig, references: References, now: datetime) -> Check:
    """Return which of what the source was seen to hold is to be served; only ``Rollout`` moves it, and only a check that succeeded."""
    known = references.current[MODEL_FIELD]
    if model.update_policy == "Pin":
        references.keep(replace(known, checked_at=None, available=None))
        return Check(known.digest)
    if references.carried(MODEL_FIELD, known.requested) is None:
        known = replace(known, checked_at=stamp(now))  # it was asked just now
    check, found = _check(world, model, config, references, known, now)
    references.keep(found)
    if found.available:
        way_out = (
            "it is asked once more, and what it then holds is served"
            if model.update_policy == "Rollout"
            else f"to serve what it holds run `kubectl llm refresh {world.owner.name}` or set spec.model.updatePolicy to Rollout"
        )
        references.newer_model = f"{found.requested} holds {found.available} now, and {found.digest} is served; {way_out}"
    return check


def _check(
    world: World, model: Model, config: OperatorConfig, references: References, known: Resolution, now: datetime
) -> tuple[Check, Resolution]:
    """Return how the check stands, and what is known of the source."""
    follows = model.update_policy == "Rollout"
    turn_s = min(_TURN_S, config.model_check_seconds)
    asked_for = follows and known.available is not None
    due_in_s = 0.0 if asked_for else _due_in_s(world, known, config, now)
    if due_in_s > 0:
        return Check(known.digest, look_s=due_in_s + _begins_in_s(world, turn_s, now + timedelta(seconds=due_in_s))), known
    references.unchecked = _carried(world)
    wanted = question(world, model, config, check=known.checked_at or "first")
    job = world.live(JOB, wanted["metadata"]["name"])
    begins_in_s = 0.0 if asked_for else _begins_in_s(world, turn_s, now)
    if job is None and begins_in_s > 0:
        return Check(known.digest, look_s=begins_in_s), known
    answer = answer_of(job, pod_of(world, job), known.requested) if job else None
    if isinstance(answer, Resolution):
        references.unchecked = None
        found = _found(known, answer, stamp(now), follows=follows)
        return Check(found.digest, (wanted,), ANSWERED_S), found  # the Job goes once the status says so
    if isinstance(answer, Failure):
        words = f"{known.requested} could not be asked what it holds now, and is asked again: {answer.message}"
        references.unchecked = (answer.reason, words)
        left_s = turn_s - seconds_since(answer.at, now)
        return (Check(known.digest, (wanted,), left_s) if left_s > 0 else Check(known.digest, look_s=_TIDY_S)), known
    return Check(known.digest, (wanted,), _LOOK_S), known


def _found(known: Resolution, answer: Resolution, at: str, *, follows: bool) -> Resolution:
    """Return what is known of the source after a check."""
    if answer.digest == known.digest:
        return replace(known, checked_at=at, available=None)
    return replace(answer, checked_at=at) if follows else replace(known, checked_at=at, available=answer.digest)


def _due_in_s(world: World, known: Resolution, config: OperatorConfig, now: datetime) -> float:
    """Return in how many seconds the source is to be asked again: sooner when a pod cannot start because it has moved."""
    if known.checked_at is None:
        return 0.0
    surprised = known.available is None and any(_finds_other_files(pod, known.digest) for pod in world.pods)
    every_s = min(_TURN_S, config.model_check_seconds) if surprised else config.model_check_seconds
    return every_s - seconds_since(known.checked_at, now)


def _finds_other_files(pod: Obj, digest: str) -> bool:
    """Return whether a pod that is to serve a digest has found another one in its place."""
    fetches = any(digest in each.get("args", ()) for each in pod["spec"].get("initContainers", ()) if each["name"] == "fetch")
    ends = (each.get(state, {}).get("terminated") or {} for each in containers(pod) for state in ("state", "lastState"))
    return fetches and any(_CHANGED in (each.get("message") or "") for each in ends)


def _begins_in_s(world: World, turn_s: int, at: datetime) -> float:
    """Return in how many seconds a check may begin: now in the first moments of a turn, else when the next one begins."""
    phase_s = int.from_bytes(hashlib.sha256(world.owner.uid.encode()).digest()[:4]) % turn_s
    into_s = (at.timestamp() + phase_s) % turn_s
    return 0.0 if into_s < _BEGINS_S else turn_s - into_s


def _carried(world: World) -> tuple[str, str] | None:
    """While the source is asked again, why it could not be asked last stays what is reported."""
    last = world.previous.get("UpdateAvailable", {})
    return (last["reason"], last["message"]) if last.get("status") == "Unknown" else None
