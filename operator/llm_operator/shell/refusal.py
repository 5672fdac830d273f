"""What a plan becomes when the API server refuses a part of it."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from llm_operator.core import gateway
from llm_operator.core.actions import EventDraft, Plan
from llm_operator.core.conditions import Condition, condition, merge, transitions
from llm_operator.shell.execute import Refusal

REASON = "Refused"
_STALLED = "Stalled"


def refused(plan: Plan, observed: Mapping[str, Any], refusal: Refusal, now: datetime) -> Plan:
    """Return the plan with a status that is stalled for as long as the server refuses, in the server's own words.

    The operator cannot clear it, but a quota, a policy or a right may change without the spec, so it tries again and again. What the
    plan itself found to be wrong goes first: it is what the user can repair.
    """
    if plan.status.get("phase") == _STALLED:
        return plan
    message = f"the API server refused {refusal.what}: {refusal.message}; it is tried again, at least every 5 minutes"
    overruled = {
        _STALLED: condition(_STALLED, REASON, message, holds=True),
        "Reconciling": condition("Reconciling", REASON, message, holds=False),
        "Progressing": condition("Progressing", REASON, message, holds=False),
    }
    decided = [_condition(each) for each in plan.status.get("conditions", [])]
    conditions = [overruled.get(each.type, each) for each in decided]
    status = {**plan.status, "phase": _STALLED, "reason": REASON, "message": overruled[_STALLED].message}
    return replace(_with(replace(plan, status=status), observed, conditions, now), events=_turned(observed, conditions))


def spared(plan: Plan, observed: Mapping[str, Any], refusal: Refusal, now: datetime) -> Plan:
    """Return the plan with a status that says, in the server's own words, which route there is not; everything else goes on."""
    message = f"the API server refused {refusal.what}: {refusal.message}; it is tried again, at least every 5 minutes"
    overruled = condition(gateway.CONDITION, REASON, message, holds=False)
    decided = [_condition(each) for each in plan.status.get("conditions", [])]
    found = _with(plan, observed, [overruled if each.type == overruled.type else each for each in decided], now)
    return replace(found, events=(*plan.events, *_turned(observed, [overruled])))


def _with(plan: Plan, observed: Mapping[str, Any], conditions: list[Condition], now: datetime) -> Plan:
    merged = merge(conditions, _previous(observed), observed["metadata"]["generation"], now)
    return replace(plan, status={**plan.status, "conditions": merged})


def _turned(observed: Mapping[str, Any], conditions: list[Condition]) -> tuple[EventDraft, ...]:
    return transitions(conditions, _previous(observed))


def _previous(observed: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["type"]: each for each in (observed.get("status") or {}).get("conditions", [])}


def _condition(written: Mapping[str, Any]) -> Condition:
    return Condition(written["type"], written["status"], written["reason"], written["message"])
