"""The verb refresh: asked for under an id and fenced by revision, then followed as far as wanted."""

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

VERB = "refresh"
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


def refresh(kube: Kube, name: str, identity: str, revision: str, deadline: Deadline, say: Callable[[str], None], *, wait: bool) -> Asked:
    """Ask for a refresh and return its answer; with ``wait`` only once what came of it serves. Without revision the latest is meant."""
    _ask(kube, name, identity, revision, deadline)
    answer = _answer(kube, name, identity, deadline, say)
    code = follow.ANSWERED[answer["outcome"]]
    if code != Exit.REACHED or not wait:
        return Asked(answer, code, answer["message"])
    return Asked(answer, *_followed(kube, name, answer["result"], deadline, say))


def _ask(kube: Kube, name: str, identity: str, revision: str, deadline: Deadline) -> None:
    """Write the annotation, unless this id has been asked for; another one that nobody has answered yet is waited for."""
    for _ in range(_TRIES):
        live = deadline.until(lambda: _free(kube.deployment(name), identity), lambda: _unanswered(kube.deployment(name)))
        status = live.get("status", {})
        if follow.action(status, identity) or _pending(live) == identity:
            return
        latest = revision or status.get("latestRevision")
        if not latest:
            raise CliError(f"{name} has no revision yet: {status.get('message', 'no operator has looked at it')}", Exit.REJECTED)
        body = json.dumps({"id": identity, "verb": VERB, "revision": latest})
        try:
            kube.annotate(name, {names.ANNOTATION_ACTION: body}, live["metadata"]["resourceVersion"])
        except ConflictError:
            continue  # changed since it was read: another verb may have come in between
        return
    raise CliError(f"{name} changes so fast that a verb could not be written; try again")


def _answer(kube: Kube, name: str, identity: str, deadline: Deadline, say: Callable[[str], None]) -> Mapping[str, Any]:
    def look() -> Mapping[str, Any] | None:
        found = follow.action(kube.deployment(name).get("status", {}), identity)
        if found is not None and found["outcome"] == "Running":
            say(found["message"])
        return found if found is not None and found["outcome"] in follow.ANSWERED else None

    def too_late() -> CliError:
        found = follow.action(kube.deployment(name).get("status", {}), identity)
        words = f"still runs: {found['message']}" if found else "has no answer: does an operator look after this namespace?"
        return CliError(f"{VERB} {identity} {words}", Exit.TIMED_OUT)

    return deadline.until(look, too_late)


def _followed(kube: Kube, name: str, revision: str, deadline: Deadline, say: Callable[[str], None]) -> tuple[Exit, str]:
    def look() -> tuple[Exit, str] | None:
        verdict = follow.reached(kube.deployment(name).get("status", {}), revision)
        if verdict.code is not None:
            return verdict.code, verdict.message
        say(verdict.message)
        return None

    def too_late() -> CliError:
        status = kube.deployment(name).get("status", {})
        return CliError(f"revision {revision} does not serve yet: {status.get('message', '')}", follow.late(status))

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
