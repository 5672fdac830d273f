"""Verbs: what users and pipelines ask for by annotation, fenced by revision, and the answers in status.

A verb is done once per id. Its revision must be the latest one: who asks on the grounds of what is no longer so is told, not obeyed.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from llm_operator.core import names
from llm_operator.core.actions import EventDraft
from llm_operator.core.canonical import identity
from llm_operator.core.clock import stamp
from llm_operator.core.reasons import Reason

REFRESH = "refresh"
VERBS = (REFRESH, "abort", "approve", "pause", "promote", "resume", "retry", "rollback")
KEPT = 10
"""Answers that status keeps."""

MAX_TEXT = 1024
_MAX_MESSAGE = 1024
_FIELDS = ("id", "verb", "revision")
_WORD = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")
_WORD_IN_WORDS = "1 to 64 letters, digits, '.', '_' and '-', beginning and ending with a letter or digit"
_FIELD = f"metadata.annotations[{names.ANNOTATION_ACTION}]"


class Outcome(StrEnum):
    """What became of a verb; all but Running are final."""

    RUNNING = "Running"
    DONE = "Done"
    FAILED = "Failed"
    REJECTED = "Rejected"
    SUPERSEDED = "Superseded"


_REASONS = {
    Outcome.FAILED: Reason.ACTION_FAILED,
    Outcome.REJECTED: Reason.ACTION_REJECTED,
    Outcome.SUPERSEDED: Reason.ACTION_SUPERSEDED,
}


@dataclass(frozen=True)
class Action:
    """A verb with what became of it. ``result`` is the revision that is asked for since it was done."""

    id: str
    verb: str
    revision: str
    outcome: Outcome
    message: str
    at: str
    result: str = ""

    @classmethod
    def read(cls, entry: Mapping[str, Any]) -> "Action":
        """Read an entry of ``status.actions``."""
        texts = {name: entry.get(name, "") for name in ("id", "verb", "revision", "message", "at", "result")}
        return cls(**texts, outcome=Outcome(entry["outcome"]))

    def entry(self) -> dict[str, str]:
        """Return the entry of ``status.actions``."""
        return {name: str(value) for name, value in vars(self).items() if value}

    def turned(self, outcome: Outcome, message: str, now: datetime, result: str = "") -> "Action":
        """Return it with another outcome; the time is that of the last change of outcome."""
        at = self.at if outcome == self.outcome else stamp(now)
        return replace(self, outcome=outcome, message=message[:_MAX_MESSAGE], at=at, result=result)


def read(status: Mapping[str, Any]) -> tuple[Action, ...]:
    """Return the answers a status has, newest last."""
    return tuple(Action.read(each) for each in status.get("actions", ()))


def take(known: Sequence[Action], text: str | None, latest: str, now: datetime) -> tuple[Action, ...]:
    """Return the answers once the annotation is read: a new verb runs or is rejected, one that runs may be overtaken.

    ``latest`` is the latest revision there is, empty before the first.
    """
    log = [_overtaken(each, latest, now) for each in known]
    new = _parse(text, now) if text else None
    if new is not None and all(each.id != new.id for each in log):
        if new.outcome == Outcome.RUNNING and new.revision != latest:
            new = new.turned(Outcome.REJECTED, stale(new.revision, latest), now)
        if new.outcome == Outcome.RUNNING:
            log = [_replaced(each, new.id, now) for each in log]
        log.append(new)
    return tuple(log[-KEPT:])


def running(log: Iterable[Action]) -> Action | None:
    """Return the verb that is being done."""
    return next((each for each in log if each.outcome == Outcome.RUNNING), None)


def answered(log: Iterable[Action], action: Action) -> tuple[Action, ...]:
    """Return the answers with a newer one for the same id."""
    return tuple(action if each.id == action.id else each for each in log)


def events(log: Iterable[Action], before: Iterable[Action]) -> tuple[EventDraft, ...]:
    """Return an Event for each verb that was answered for good."""
    told = {(each.id, each.outcome) for each in before}
    new = [each for each in log if each.outcome != Outcome.RUNNING and (each.id, each.outcome) not in told]
    return tuple(_event(each) for each in new)


def _event(action: Action) -> EventDraft:
    words = f"{action.verb or 'action'} {action.id}: {action.message}"
    if action.outcome == Outcome.DONE:
        if action.verb != REFRESH:
            return EventDraft("Normal", Reason.ACTION_DONE, words)
        return EventDraft("Normal", Reason.NOTHING_TO_REFRESH if action.result == action.revision else Reason.REFRESHED, words)
    return EventDraft("Warning", _REASONS[action.outcome], words)


def _overtaken(action: Action, latest: str, now: datetime) -> Action:
    if action.outcome != Outcome.RUNNING or action.revision == latest:
        return action
    return action.turned(Outcome.SUPERSEDED, stale(action.revision, latest), now)


def _replaced(action: Action, by: str, now: datetime) -> Action:
    if action.outcome != Outcome.RUNNING:
        return action
    return action.turned(Outcome.SUPERSEDED, f"{by} was asked for before it was done", now)


def stale(revision: str, latest: str) -> str:
    """Return why a verb is not meant for what is asked for now."""
    if not latest:
        return f'revision: "{revision}" is not the latest revision: there is none yet'
    return f'revision: "{revision}" is not the latest revision, which is "{latest}"; look at status.latestRevision and ask again'


def _parse(text: str, now: datetime) -> Action:
    """Return what an annotation asks for, as running, or why that cannot be read, as rejected."""
    unreadable = Action(f"unreadable-{identity(text)}", "", "", Outcome.REJECTED, "", stamp(now))
    if len(text) > MAX_TEXT:
        return replace(unreadable, message=f"{_FIELD}: {len(text)} characters; at most {MAX_TEXT} are read")
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        return replace(unreadable, message=f'{_FIELD}: not a JSON object; write {{"id": …, "verb": …, "revision": …}}')
    known = {name: value for name in _FIELDS if isinstance(value := body.get(name), str) and _WORD.fullmatch(value)}
    action = replace(unreadable, id=known.get("id", unreadable.id), verb=known.get("verb", ""), revision=known.get("revision", ""))
    problem = _problem(body, known)
    if problem:
        return replace(action, message=f"{_FIELD}: {problem}"[:_MAX_MESSAGE])
    return replace(action, outcome=Outcome.RUNNING, message="begun")


def _problem(body: Mapping[str, Any], known: Mapping[str, str]) -> str:
    """Return what is wrong with an action, with the field in front."""
    for name in _FIELDS:
        if name not in body:
            return f"{name}: missing; id, verb and revision are needed"
        if name not in known:
            return f"{name}: not {_WORD_IN_WORDS}"
    if known["verb"] not in VERBS:
        return f'verb: there is no "{known["verb"]}"; valid are {", ".join(VERBS)}'
    if unknown := sorted(body.keys() - set(_FIELDS)):
        return f'"{unknown[0][:64]}": no such field; valid are {", ".join(_FIELDS)}'
    return ""
