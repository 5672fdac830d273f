"""Verbs: asked for under an id and fenced by revision, then followed as far as wanted."""

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from llm_operator.cli import follow
from llm_operator.cli.exits import CliError, Exit
from llm_operator.cli.kube import ConflictError, Kube
from llm_operator.cli.waiting import Deadline
from llm_operator.core import names

_TRIES = 10


@dataclass(frozen=True)
class Asked:
    """The answer to a verb, and the exit code it stands for."""

    answer: Mapping[str, Any]
    code: Exit
    message: str


def new_id() -> str:
    """Return an id nobody else uses."""
    return f"cli-{uuid.uuid4().hex[:12]}"


@dataclass(frozen=True)
class Verb:
    """A verb as it is asked for. Without revision the latest is meant; with a goal it is followed until that is reached."""

    name: str
    identity: str
    revision: str = ""
    goal: follow.Goal | None = None


def ask(kube: Kube, name: str, verb: Verb, deadline: Deadline, say: Callable[[str], None]) -> Asked:
    """Ask for a verb and return its answer, and how what came of it ended if that is waited for."""
    _ask(kube, name, verb, deadline)
    answer = _answer(kube, name, verb, deadline, say)
    code = follow.ANSWERED[answer["outcome"]]
    if code != Exit.REACHED or verb.goal is None:
        return Asked(answer, code, answer["message"])
    return Asked(answer, *reach(kube, name, answer.get("result") or answer["revision"], verb.goal, deadline, say))


def reach(kube: Kube, name: str, revision: str, goal: follow.Goal, deadline: Deadline, say: Callable[[str], None]) -> tuple[Exit, str]:
    """Follow a revision until it reaches a goal, or cannot, or there is no time left."""

    def look() -> tuple[Exit, str] | None:
        verdict = goal(kube.deployment(name), revision)
        if verdict.code is not None:
            return verdict.code, verdict.message
        say(verdict.message)
        return None

    def too_late() -> CliError:
        status = kube.deployment(name).get("status", {})
        return CliError(f"revision {revision} is not there yet: {status.get('message', '')}", follow.late(status))

    return deadline.until(look, too_late)


def _ask(kube: Kube, name: str, verb: Verb, deadline: Deadline) -> None:
    """Write the annotation, unless this id has been asked for; another one that nobody has answered yet is waited for."""
    for _ in range(_TRIES):
        live = deadline.until(lambda: _free(kube.deployment(name), verb.identity), lambda: _unanswered(kube.deployment(name)))
        status = live.get("status", {})
        if follow.action(status, verb.identity) or _pending(live) == verb.identity:
            return
        latest = verb.revision or status.get("latestRevision")
        if not latest:
            raise CliError(f"{name} has no revision yet: {status.get('message', 'no operator has looked at it')}", Exit.REJECTED)
        body = json.dumps({"id": verb.identity, "verb": verb.name, "revision": latest})
        try:
            kube.annotate(name, {names.ANNOTATION_ACTION: body}, live["metadata"]["resourceVersion"])
        except ConflictError:
            continue  # changed since it was read: another verb may have come in between
        return
    raise CliError(f"{name} changes so fast that a verb could not be written; try again")


def _answer(kube: Kube, name: str, verb: Verb, deadline: Deadline, say: Callable[[str], None]) -> Mapping[str, Any]:
    def look() -> Mapping[str, Any] | None:
        found = follow.action(kube.deployment(name).get("status", {}), verb.identity)
        if found is not None and found["outcome"] == "Running":
            say(found["message"])
        return found if found is not None and found["outcome"] in follow.ANSWERED else None

    def too_late() -> CliError:
        found = follow.action(kube.deployment(name).get("status", {}), verb.identity)
        words = f"still runs: {found['message']}" if found else "has no answer: does an operator look after this namespace?"
        return CliError(f"{verb.name} {verb.identity} {words}", Exit.TIMED_OUT)

    return deadline.until(look, too_late)


def _pending(live: Mapping[str, Any]) -> str:
    """Return the id of the action in the annotation, if it can be read and has no answer."""
    try:
        identity = str(json.loads(live["metadata"]["annotations"][names.ANNOTATION_ACTION])["id"])
    except (KeyError, TypeError, ValueError):
        return ""
    return "" if follow.action(live.get("status", {}), identity) else identity


def _free(live: dict[str, Any], identity: str) -> dict[str, Any] | None:
    return live if _pending(live) in {"", identity} else None


def _unanswered(live: Mapping[str, Any]) -> CliError:
    words = f"action {_pending(live)} has not been answered; does an operator look after this namespace?"
    return CliError(words, Exit.TIMED_OUT)
