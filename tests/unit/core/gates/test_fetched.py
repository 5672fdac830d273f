"""Answers of Prometheus and of webhooks: only a fresh, plain one passes."""

import json
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Any

import pytest

from llm_operator.core.gates.fetched import Fetched, PromqlGate, Subject, WebhookGate
from llm_operator.core.gates.verdict import GateReason, Verdict

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SUBJECT = Subject("team-a", "chat", "canary1", "stable1", 20)
PROMQL = PromqlGate("promql/slo", 'rate(x{revision=~"$revision$"}[5m])', maximum=0.5, times=2)
WEBHOOK = WebhookGate("webhook/evaluation", "evaluation")


def vector(*values: object) -> str:
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": [{"value": [0, str(each)]} for each in values]}})


def answers(*bodies: str, status: int = 200, age: timedelta = timedelta()) -> tuple[Fetched, ...]:
    return tuple(Fetched(NOW - age, status, each) for each in bodies)


def test_what_is_asked_names_the_revision() -> None:
    assert PROMQL.question(SUBJECT).text == 'rate(x{revision=~"canary1$"}[5m])', "an anchor stays one"
    assert json.loads(WEBHOOK.question(SUBJECT).text) == {
        "gate": "evaluation",
        "namespace": "team-a",
        "deployment": "chat",
        "revision": "canary1",
        "stable": "stable1",
        "weightPercent": 20,
    }


@pytest.mark.parametrize(
    ("bounds", "words"),
    [((-inf, 0.5), "at most 0.5"), ((2.0, inf), "at least 2"), ((0.0, 1.0), "0 to 1")],
)
def test_the_bounds_are_said(bounds: tuple[float, float], words: str) -> None:
    gate = PromqlGate("promql/slo", "up", *bounds, times=1)
    assert f"; {words} is asked for" in gate.judge(answers(vector(0.2)), NOW).message


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ((0.1, 0.2), Verdict.PASS),
        ((0.9, 0.2, 0.2), Verdict.PASS),
        ((0.9, 0.8), Verdict.HARM),
        ((0.1, 0.8), Verdict.UNDECIDED),
        ((0.1,), Verdict.UNDECIDED),
        ((), Verdict.UNDECIDED),
    ],
)
def test_a_query_answers_when_it_says_the_same_often_enough(values: tuple[float, ...], verdict: Verdict) -> None:
    assert PROMQL.judge(answers(*(vector(each) for each in values)), NOW).verdict is verdict


def test_a_scalar_is_a_number_too() -> None:
    body = json.dumps({"status": "success", "data": {"resultType": "scalar", "result": [0, "0.1"]}})
    assert PROMQL.judge(answers(body, body), NOW).verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (vector("NaN"), GateReason.EVIDENCE_INVALID),
        (vector("+Inf"), GateReason.EVIDENCE_INVALID),
        (vector(), GateReason.EVIDENCE_MISSING),
        (vector(1, 2), GateReason.EVIDENCE_INVALID),
        (vector("many"), GateReason.EVIDENCE_INVALID),
        ("no JSON", GateReason.EVIDENCE_INVALID),
        ("[]", GateReason.EVIDENCE_INVALID),
        (vector(0.1).replace("success", "error"), GateReason.EVIDENCE_INVALID),
    ],
)
def test_an_answer_that_is_no_number_passes_nothing(body: str, reason: GateReason) -> None:
    result = PROMQL.judge(answers(body, body), NOW)
    assert (result.verdict, result.reason) == (Verdict.UNDECIDED, reason)


@pytest.mark.parametrize(
    ("fetched", "reason"),
    [
        (answers(vector(0.1), vector(0.1), age=timedelta(minutes=4)), GateReason.EVIDENCE_STALE),
        (answers(vector(0.1), vector(0.1), age=timedelta(minutes=-1)), GateReason.EVIDENCE_STALE),
        (answers("down", "down", status=503), GateReason.EVIDENCE_MISSING),
        (answers("refused", "refused", status=0), GateReason.EVIDENCE_MISSING),
    ],
)
def test_no_answer_and_an_old_one_pass_nothing(fetched: tuple[Fetched, ...], reason: GateReason) -> None:
    result = PROMQL.judge(fetched, NOW)
    assert (result.verdict, result.reason) == (Verdict.UNDECIDED, reason)


@pytest.mark.parametrize("verdict", list(Verdict))
def test_a_webhook_is_believed(verdict: Verdict) -> None:
    (answer,) = answers(json.dumps({"revision": "canary1", "verdict": verdict}))
    assert WEBHOOK.judge(SUBJECT, (answer,), NOW).verdict is verdict


@pytest.mark.parametrize(
    "body", [{"revision": "other", "verdict": "Pass"}, {"revision": "canary1", "verdict": "pass"}, {"verdict": "Pass"}]
)
def test_a_webhook_that_speaks_of_something_else_passes_nothing(body: dict[str, Any]) -> None:
    (answer,) = answers(json.dumps(body))
    assert WEBHOOK.judge(SUBJECT, (answer,), NOW).verdict is Verdict.UNDECIDED


def test_a_webhook_that_was_not_asked_passes_nothing() -> None:
    assert WEBHOOK.judge(SUBJECT, (), NOW).verdict is Verdict.UNDECIDED


def test_an_answer_that_comes_seldom_may_be_as_old_as_three_of_them() -> None:
    seldom = WebhookGate("webhook/evaluation", "evaluation", interval_s=600)
    body = json.dumps({"revision": "canary1", "verdict": "Pass"})
    assert seldom.judge(SUBJECT, answers(body, age=timedelta(minutes=29)), NOW).verdict is Verdict.PASS
    assert seldom.judge(SUBJECT, answers(body, age=timedelta(minutes=31)), NOW).reason is GateReason.EVIDENCE_STALE
