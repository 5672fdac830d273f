from datetime import UTC, datetime
from typing import Any

from llm_operator.core.actions import EventDraft
from llm_operator.shell.events import event

NOW = datetime(2026, 1, 1, 12, 0, 0, 5, tzinfo=UTC)
ABOUT: dict[str, Any] = {
    "apiVersion": "llmops.dev/v1alpha1",
    "kind": "LLMDeployment",
    "metadata": {"name": "chat", "namespace": "ns", "uid": "u-1", "resourceVersion": "7"},
}
DRAFT = EventDraft("Warning", "UnknownProfile", "there is no such profile")


def test_an_event_says_what_about_whom_and_who_says_so() -> None:
    made = event(ABOUT, DRAFT, "operator-1", NOW)
    assert made["regarding"] == {
        "apiVersion": "llmops.dev/v1alpha1",
        "kind": "LLMDeployment",
        "namespace": "ns",
        "name": "chat",
        "uid": "u-1",
    }
    assert (made["type"], made["reason"], made["note"]) == ("Warning", "UnknownProfile", "there is no such profile")
    assert (made["reportingController"], made["reportingInstance"]) == ("llmops.dev/llm-operator", "operator-1")
    assert made["eventTime"] == "2026-01-01T12:00:00.000005Z"
    assert made["metadata"]["name"].startswith("chat.")


def test_the_same_words_about_the_same_state_are_the_same_event() -> None:
    later = {**ABOUT, "metadata": {**ABOUT["metadata"], "resourceVersion": "8"}}
    assert event(ABOUT, DRAFT, "a", NOW)["metadata"]["name"] == event(ABOUT, DRAFT, "b", NOW)["metadata"]["name"]
    assert event(ABOUT, DRAFT, "a", NOW)["metadata"]["name"] != event(later, DRAFT, "a", NOW)["metadata"]["name"]


def test_a_note_is_cut_to_what_the_api_takes() -> None:
    assert len(event(ABOUT, EventDraft("Normal", "R", "x" * 5000), "a", NOW)["note"]) == 1024


def test_a_note_in_any_script_is_cut_to_as_many_bytes_and_no_half_character() -> None:
    note = event(ABOUT, EventDraft("Normal", "R", "日本" * 600), "a", NOW)["note"]
    assert note == "日本" * 170 + "日"
