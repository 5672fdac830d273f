from datetime import UTC, datetime, timedelta
from typing import Any

from llm_operator.core.actions import EventDraft, Plan
from llm_operator.core.conditions import Condition, merge
from llm_operator.shell.execute import Refusal
from llm_operator.shell.refusal import refused, spared

NOW = datetime(2026, 1, 1, tzinfo=UTC)
QUOTA = Refusal("Deployment chat-x", "exceeded quota: gpus")


def observed(status: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"metadata": {"name": "chat", "generation": 3}, "status": status or {}}


def plan(phase: str = "Loading", now: datetime = NOW) -> Plan:
    conditions = [
        Condition("Stalled", "True" if phase == "Stalled" else "False", "NotStalled", "nothing"),
        Condition("Reconciling", "True", "Loading", "loads"),
        Condition("Ready", "True", "Serving", "serves"),
    ]
    status = {"phase": phase, "reason": phase, "message": "", "conditions": merge(conditions, {}, 3, now)}
    return Plan(status=status, events=(EventDraft("Normal", "NotStalled", "nothing"),))


def by_type(status: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["type"]: each for each in status["conditions"]}


def test_a_refusal_stalls_in_the_servers_words_and_leaves_what_serves() -> None:
    result = refused(plan(), observed(), QUOTA, NOW)
    conditions = by_type(result.status)
    assert (conditions["Stalled"]["status"], conditions["Stalled"]["reason"]) == ("True", "Refused")
    assert conditions["Stalled"]["message"].startswith("the API server refused Deployment chat-x: exceeded quota: gpus; it is tried again")
    assert conditions["Reconciling"]["status"] == "False"
    assert conditions["Ready"] == by_type(plan().status)["Ready"]
    assert (result.status["phase"], result.status["reason"]) == ("Stalled", "Refused")
    assert [(each.type, each.reason) for each in result.events] == [("Warning", "Refused")]


def test_the_same_refusal_again_changes_nothing() -> None:
    first = refused(plan(), observed(), QUOTA, NOW)
    later = NOW + timedelta(hours=1)
    again = refused(plan(now=later), observed(first.status), QUOTA, later)
    assert by_type(again.status)["Stalled"] == by_type(first.status)["Stalled"]
    assert again.events == ()


def test_what_the_user_has_to_repair_goes_first() -> None:
    stalled = plan("Stalled")
    assert refused(stalled, observed(), QUOTA, NOW) is stalled


def test_a_route_that_was_refused_is_told_of_and_stalls_nothing() -> None:
    pending = Condition("RouteAccepted", "Unknown", "RoutePending", "not there yet")
    before = plan()
    before.status["conditions"] += merge([pending], {}, 3, NOW)
    result = spared(before, observed(), Refusal("HTTPRoute chat", "no right"), NOW)
    said = by_type(result.status)
    assert (said["RouteAccepted"]["status"], said["RouteAccepted"]["reason"]) == ("False", "Refused")
    assert said["RouteAccepted"]["message"].startswith("the API server refused HTTPRoute chat: no right; it is tried again")
    assert {kind: said[kind] for kind in by_type(plan().status)} == by_type(plan().status)
    assert result.status["phase"] == "Loading"
    assert [(each.type, each.reason) for each in result.events] == [("Normal", "NotStalled"), ("Warning", "Refused")]
