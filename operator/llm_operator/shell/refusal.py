"""What a status says when the API server refused what a plan wanted."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from llm_operator.core.actions import EventDraft, Plan
from llm_operator.shell.errors import RejectedError

_STALLED = "Stalled"


def refused(plan: Plan, observed_status: dict[str, Any], refusal: RejectedError, now: datetime) -> Plan:
    """Return the plan with a status that is stalled for as long as the server refuses, in the server's own words.

    Nothing the operator can do by itself clears it, but a quota or a policy may change without the spec: it is tried again and again.
    """
    message = f"The API server refused {refusal.what}: {refusal.message}. It is tried again, at least every 5 minutes."
    reason = "Refused"
    known = {each["type"]: each for each in observed_status.get("conditions", [])}
    stalled = known.get(_STALLED, {})
    conditions = []
    for each in plan.status.get("conditions", []):
        condition = dict(each)
        if condition["type"] == _STALLED:
            since = stalled.get("lastTransitionTime") if stalled.get("status") == "True" else None
            stamp = since or now.strftime("%Y-%m-%dT%H:%M:%SZ")
            condition |= {"status": "True", "reason": reason, "message": message, "lastTransitionTime": stamp}
        conditions.append(condition)
    status = {**plan.status, "phase": _STALLED, "reason": reason, "message": message, "conditions": conditions}
    told = stalled.get("reason") == reason and stalled.get("status") == "True"
    events = plan.events if told else (*plan.events, EventDraft("Warning", reason, message))
    return replace(plan, status=status, events=events)
