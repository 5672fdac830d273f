"""Gates whose answer is fetched: a query to Prometheus, a question to a webhook. Here is what is asked, and what the answer means."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf, isfinite
from string import Template
from typing import Any

from llm_operator.core.gates.verdict import STALE_AFTER, GateReason, OnHarm, Result, Verdict

PROMETHEUS = ""
"""Name of the server that is asked for numbers; webhooks have names of their own."""

_OK = 200
_MESSAGE_MAX = 512
_OPINIONS = {
    Verdict.PASS: GateReason.WEBHOOK_PASSED,
    Verdict.HARM: GateReason.WEBHOOK_REFUSED,
    Verdict.UNDECIDED: GateReason.WEBHOOK_UNDECIDED,
}


@dataclass(frozen=True)
class Subject:
    """What is asked about: a revision that has ``weight_percent`` of all requests and is to replace another."""

    namespace: str
    deployment: str
    revision: str
    stable: str
    weight_percent: int


@dataclass(frozen=True)
class Question:
    """What is asked of whom, again and again. Where any of it changes, earlier answers mean nothing; ``kept`` is how many are needed."""

    gate: str
    server: str
    text: str
    interval_s: float
    kept: int


@dataclass(frozen=True)
class Fetched:
    """The answer of a server. ``status`` is 0 where there was none, and ``body`` then says why."""

    at: datetime
    status: int
    body: str


@dataclass(frozen=True)
class PromqlGate:
    """A query that gives one number. ``$namespace``, ``$deployment``, ``$revision`` and ``$stable`` stand for what is asked about.

    It passes, or harms, when as many answers in a row as ``times`` says lie within its bounds, or beyond. That is a rule, not a proof.
    """

    name: str
    query: str
    minimum: float = -inf
    maximum: float = inf
    times: int = 3
    interval_s: float = 30.0
    on_harm: OnHarm = OnHarm.ABORT

    def question(self, subject: Subject) -> Question:
        """Return what is asked about a subject."""
        return Question(self.name, PROMETHEUS, Template(self.query).safe_substitute(vars(subject)), self.interval_s, self.times)

    def judge(self, answers: Sequence[Fetched], now: datetime) -> Result:
        """Answer from the last answers, oldest first."""
        patience = _patience(self.interval_s)
        try:
            if answers:
                _current(answers[-1], now, patience)
            values = [_number(_current(each, now, patience * self.times)) for each in answers[-self.times :]]
        except _UnusableError as error:
            return Result(self.name, Verdict.UNDECIDED, error.reason, str(error), on_harm=self.on_harm)
        said = f"the query gave {', '.join(f'{each:g}' for each in values) or 'nothing yet'}; {self._bounds} is asked for"
        value = values[-1] if values else None
        inside = {self.minimum <= each <= self.maximum for each in values}
        if len(values) < self.times or len(inside) > 1:
            message = f"{said}, {self.times} times in a row"
            return Result(self.name, Verdict.UNDECIDED, GateReason.EVIDENCE_MISSING, message, value, on_harm=self.on_harm)
        if inside == {True}:
            return Result(self.name, Verdict.PASS, GateReason.WITHIN_BOUNDS, said, value, on_harm=self.on_harm)
        return Result(self.name, Verdict.HARM, GateReason.OUT_OF_BOUNDS, said, value, on_harm=self.on_harm)

    @property
    def _bounds(self) -> str:
        if self.minimum == -inf:
            return f"at most {self.maximum:g}"
        return f"at least {self.minimum:g}" if self.maximum == inf else f"{self.minimum:g} to {self.maximum:g}"


@dataclass(frozen=True)
class WebhookGate:
    """A question to somebody else's service, which answers ``{"revision": …, "verdict": "Pass"|"Harm"|"Undecided", "message": …}``."""

    name: str
    server: str
    interval_s: float = 30.0
    on_harm: OnHarm = OnHarm.ABORT

    def question(self, subject: Subject) -> Question:
        """Return what is asked about a subject."""
        asked = {
            "gate": self.server,
            "namespace": subject.namespace,
            "deployment": subject.deployment,
            "revision": subject.revision,
            "stable": subject.stable,
            "weightPercent": subject.weight_percent,
        }
        return Question(self.name, self.server, json.dumps(asked), self.interval_s, kept=1)

    def judge(self, subject: Subject, answers: Sequence[Fetched], now: datetime) -> Result:
        """Answer what the webhook has answered last, if it speaks of this revision."""
        if not answers:
            message = f"webhook {self.server} has not answered yet"
            return Result(self.name, Verdict.UNDECIDED, GateReason.EVIDENCE_MISSING, message, on_harm=self.on_harm)
        try:
            verdict, message = _opinion(_object(_current(answers[-1], now, _patience(self.interval_s))), subject)
        except _UnusableError as error:
            return Result(self.name, Verdict.UNDECIDED, error.reason, str(error), on_harm=self.on_harm)
        return Result(self.name, verdict, _OPINIONS[verdict], message, on_harm=self.on_harm)


FetchedGate = PromqlGate | WebhookGate


def _patience(interval_s: float) -> timedelta:
    """Return how old an answer may be: one that was missed is no reason to start anew."""
    return max(STALE_AFTER, timedelta(seconds=3 * interval_s))


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
