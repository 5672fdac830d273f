from datetime import timedelta
from typing import Any

import pytest

from llm_operator.core.actions import EventDraft
from llm_operator.core.conditions import MAX_MESSAGE, ORDER, condition, merge, transitions
from tests.unit.core.builders import NOW


def previous(kind: str, status: str, reason: str = "Before") -> dict[str, dict[str, Any]]:
    return {kind: {"type": kind, "status": status, "reason": reason, "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}}


def test_what_decides_comes_first_and_strangers_last() -> None:
    given = [condition(kind, "R", "m", holds=True) for kind in ("Other", *reversed(ORDER))]
    assert [each["type"] for each in merge(given, {}, 1, NOW)] == [*ORDER, "Other"]


@pytest.mark.parametrize(("before", "since"), [("True", "2026-01-01T00:00:00Z"), ("False", "2026-11-22T12:00:00Z")])
def test_the_time_is_of_the_last_change_of_the_status(before: str, since: str) -> None:
    (merged,) = merge([condition("Ready", "New", "new", holds=True)], previous("Ready", before), 7, NOW + timedelta(milliseconds=5))
    assert merged == {
        "type": "Ready",
        "status": "True",
        "reason": "New",
        "message": "new",
        "lastTransitionTime": since,
        "observedGeneration": 7,
    }


def test_unknown_is_a_status_and_long_messages_are_cut() -> None:
    made = condition("Resolved", "R", "x" * 9999, holds=None)
    assert (made.status, len(made.message)) == ("Unknown", MAX_MESSAGE)


@pytest.mark.parametrize(
    ("kind", "before", "now", "event"),
    [
        ("Ready", None, "False", None),
        ("Ready", None, "True", None),
        ("Ready", "False", "True", "Normal"),
        ("Ready", "True", "False", "Warning"),
        ("Ready", "False", "False", None),
        ("Stalled", None, "True", "Warning"),
        ("Stalled", None, "False", None),
        ("Stalled", "False", "True", "Warning"),
        ("Stalled", "True", "True", "Warning"),
        ("Stalled", "True", "False", "Normal"),
        ("Resolved", "Unknown", "True", None),
        ("Resolved", "True", "Unknown", None),
        ("Resolved", "False", "False", None),
        ("CapacityAvailable", "True", "False", "Warning"),
        ("Progressing", "True", "False", None),
    ],
)
def test_an_event_is_told_when_a_condition_turns_or_a_stall_has_a_new_reason(
    kind: str, before: str | None, now: str, event: str | None
) -> None:
    holds = {"True": True, "False": False, "Unknown": None}[now]
    told = transitions([condition(kind, "Now", "words", holds=holds)], previous(kind, before) if before else {})
    assert told == ((EventDraft(event, "Now", "words"),) if event else ())


def test_the_same_stall_is_told_once() -> None:
    assert transitions([condition("Stalled", "Before", "words", holds=True)], previous("Stalled", "True")) == ()
