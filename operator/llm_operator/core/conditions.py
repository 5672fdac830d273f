"""Conditions: each says one thing about now, keeps the time of its last change, and is stamped with the generation it is about."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from llm_operator.core.actions import EventDraft
from llm_operator.core.clock import stamp

ORDER = (
    "Stalled",
    "Reconciling",
    "Ready",
    "Progressing",
    "Resolved",
    "CapacityAvailable",
    "TableProgrammed",
    "RefreshAvailable",
    "UpdateAvailable",
    "ApprovalRequired",
    "SpecDiverged",
    "GatesPassing",
    "ScalingActive",
    "ScalingConflict",
    "RouteAccepted",
)
"""kstatus first: tools that read conditions one after the other find what decides at the top."""

GOOD = {"Stalled": "False", "Ready": "True", "Resolved": "True", "CapacityAvailable": "True", "RouteAccepted": "True"}
"""Conditions whose changes are worth an Event, and the status that is good news."""

MAX_MESSAGE = 4096


@dataclass(frozen=True)
class Condition:
    """One condition before it gets its time."""

    type: str
    status: str
    reason: str
    message: str


def condition(kind: str, reason: str, message: str, *, holds: bool | None) -> Condition:
    """Return a condition; None is unknown."""
    return Condition(kind, "Unknown" if holds is None else str(holds), str(reason), message[:MAX_MESSAGE])


def merge(
    conditions: Iterable[Condition], previous: Mapping[str, Mapping[str, Any]], generation: int, now: datetime
) -> list[dict[str, Any]]:
    """Return the conditions as status carries them; the time changes only with the status."""
    merged = []
    for each in sorted(conditions, key=lambda one: ORDER.index(one.type) if one.type in ORDER else len(ORDER)):
        last = previous.get(each.type, {})
        since = last["lastTransitionTime"] if last.get("status") == each.status else stamp(now)
        merged.append(
            {
                "type": each.type,
                "status": each.status,
                "reason": each.reason,
                "message": each.message,
                "lastTransitionTime": since,
                "observedGeneration": generation,
            }
        )
    return merged


def transitions(conditions: Iterable[Condition], previous: Mapping[str, Mapping[str, Any]]) -> tuple[EventDraft, ...]:
    """Return an Event for each condition that turned, and for each new reason to be stalled."""
    return tuple(event for each in conditions if (event := _event(each, previous.get(each.type, {}))) is not None)


def _event(now: Condition, before: Mapping[str, Any]) -> EventDraft | None:
    if now.type not in GOOD or now.status == "Unknown":
        return None
    turned = now.status != before.get("status")
    if now.status == GOOD[now.type]:
        return EventDraft("Normal", now.reason, now.message) if turned and before.get("status") in {"True", "False"} else None
    if now.type == "Ready" and before.get("status") != "True":
        return None  # what has never been ready has not stopped being so
    new_reason = now.type == "Stalled" and now.reason != before.get("reason")
    return EventDraft("Warning", now.reason, now.message) if turned or new_reason else None
