"""Gates whose answer is fetched: a query to Prometheus, a question to a webhook. Here is what is asked, and what the answer means."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf, isfinite
from string import Template
from typing import Any

from llm_operator.core.gates.verdict import GateReason, OnHarm, Result, Verdict

_OK = 200
_MESSAGE_MAX = 512
_OPINIONS = {
    Verdict.PASS: GateReason.WEBHOOK_PASSED,
    Verdict.HARM: GateReason.WEBHOOK_REFUSED,
    Verdict.UNDECIDED: GateReason.WEBHOOK_UNDECIDED,
}


@dataclass(frozen=True)
class Subject:
    """What is asked about."""

    namespace: str
    deployment: str
    revision: str
    stable: str


@dataclass(frozen=True)
class Fetched:
    """The answer of a server. ``status`` is 0 where there was none, and ``body`` then says why."""

    at: datetime
    status: int
    body: str


@dataclass(frozen=True)
class PromqlGate:
    """A query that gives one number. ``$namespace``, ``$deployment``, ``$revision`` and ``$stable`` stand for what is asked about.

    It passes, or harms, when ``looks`` answers in a row lie within its bounds, or outside. That is a rule, not a proof.
    """

    name: str
    query: str
    minimum: float = -inf
    maximum: float = inf
    looks: int = 3
    on_harm: OnHarm = OnHarm.ABORT

    def asked(self, subject: Subject) -> str:
        """Return the query about a subject."""
        return Template(self.query).safe_substitute(vars(subject))


@dataclass(frozen=True)
class WebhookGate:
    """A question to somebody else's service, which answers ``{"revision": …, "verdict": "Pass"|"Harm"|"Undecided", "message": …}``."""

    name: str
    url: str
    on_harm: OnHarm = OnHarm.ABORT

    def asked(self, subject: Subject) -> str:
        """Return the body of the question about a subject."""
        return json.dumps({"gate": self.name, **vars(subject)}, sort_keys=True)


def judge_promql(gate: PromqlGate, answers: tuple[Fetched, ...], now: datetime, stale_after: timedelta) -> Result:
    """Answer from the last answers, oldest first."""
    try:
        values = [_number(_current(each, now, stale_after * gate.looks)) for each in answers[-gate.looks :]]
        if answers:
            _current(answers[-1], now, stale_after)
    except _UnusableError as error:
        return Result(gate.name, Verdict.UNDECIDED, error.reason, str(error), on_harm=gate.on_harm)
    inside = {gate.minimum <= each <= gate.maximum for each in values}
    said = f"the query gave {', '.join(f'{each:g}' for each in values) or 'nothing yet'}; {gate.minimum:g} to {gate.maximum:g} is asked for"
    value = values[-1] if values else None
    if len(values) < gate.looks or len(inside) > 1:
        message = f"{said}, {gate.looks} times in a row"
        return Result(gate.name, Verdict.UNDECIDED, GateReason.EVIDENCE_MISSING, message, value, on_harm=gate.on_harm)
    if inside == {True}:
        return Result(gate.name, Verdict.PASS, GateReason.WITHIN_BOUNDS, said, value, on_harm=gate.on_harm)
    return Result(gate.name, Verdict.HARM, GateReason.OUT_OF_BOUNDS, said, value, on_harm=gate.on_harm)


def judge_webhook(gate: WebhookGate, subject: Subject, answer: Fetched | None, now: datetime, stale_after: timedelta) -> Result:
    """Answer what the webhook answers, if it speaks of this revision."""
    if answer is None:
        message = "the webhook has not answered yet"
        return Result(gate.name, Verdict.UNDECIDED, GateReason.EVIDENCE_MISSING, message, on_harm=gate.on_harm)
    try:
        verdict, message = _opinion(_object(_current(answer, now, stale_after)), subject)
    except _UnusableError as error:
        return Result(gate.name, Verdict.UNDECIDED, error.reason, str(error), on_harm=gate.on_harm)
    return Result(gate.name, verdict, _OPINIONS[verdict], message, on_harm=gate.on_harm)


class _UnusableError(Exception):
    """An answer that says nothing."""

    def __init__(self, reason: GateReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def _current(answer: Fetched, now: datetime, stale_after: timedelta) -> str:
    if not timedelta() <= now - answer.at <= stale_after:
        raise _UnusableError(GateReason.EVIDENCE_STALE, f"the answer is of {answer.at:%H:%M:%S}, too long ago")
    if answer.status != _OK:
        said = f"status {answer.status}" if answer.status else "no answer"
        raise _UnusableError(GateReason.EVIDENCE_MISSING, f"{said}: {answer.body[:_MESSAGE_MAX]}")
    return answer.body


def _object(body: str) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _UnusableError(GateReason.EVIDENCE_INVALID, f"the answer is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise _UnusableError(GateReason.EVIDENCE_INVALID, "the answer is not a JSON object")
    return found


def _opinion(body: dict[str, Any], subject: Subject) -> tuple[Verdict, str]:
    """Return the verdict of a webhook and its words; one about another revision, or none at all, is no verdict."""
    if body.get("revision") != subject.revision:
        raise _UnusableError(GateReason.EVIDENCE_INVALID, f"the webhook did not answer about revision {subject.revision}")
    verdict = next((each for each in Verdict if each == body.get("verdict")), None)
    if verdict is None:
        raise _UnusableError(GateReason.EVIDENCE_INVALID, "the webhook's verdict is none of Pass, Harm and Undecided")
    return verdict, str(body.get("message") or f"the webhook says {verdict}")[:_MESSAGE_MAX]


def _number(body: str) -> float:
    """Return the one number of an answer of Prometheus: a scalar, or a vector of one series."""
    found = _object(body)
    try:
        data = found["data"]
        sample = data["result"] if data["resultType"] == "scalar" else _only(data["result"])
        value = float(sample[1])
    except (LookupError, TypeError, ValueError) as error:
        raise _UnusableError(GateReason.EVIDENCE_INVALID, f"the answer has no number: {error}") from error
    if found.get("status") != "success" or not isfinite(value):
        raise _UnusableError(GateReason.EVIDENCE_INVALID, f"the answer has no number: {found.get('status')}, {value:g}")
    return value


def _only(series: list[dict[str, Any]]) -> Any:
    if len(series) != 1:
        raise _UnusableError(
            GateReason.EVIDENCE_INVALID if series else GateReason.EVIDENCE_MISSING,
            f"the query gives {len(series)} series, one is asked for",
        )
    return series[0]["value"]
