import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_operator.core.verbs import Action, Outcome, answered, events, read, running, take
from tests.unit.core.builders import NOW

LATEST = "aaaaaaaaaa"
GOOD = {"id": "gh-1", "verb": "refresh", "revision": LATEST}


def asked(**changes: Any) -> str:
    return json.dumps({**GOOD, **changes})


def first(text: str, latest: str = LATEST) -> Action:
    (action,) = take((), text, latest, NOW)
    return action


def test_a_verb_that_names_the_latest_revision_runs() -> None:
    assert first(asked()) == Action("gh-1", "refresh", LATEST, Outcome.RUNNING, "begun", "2026-11-22T12:00:00Z")


def test_without_an_annotation_there_is_nothing_to_answer() -> None:
    assert take((), None, LATEST, NOW) == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", ["not a JSON object"]),
        ("[1]", ["not a JSON object"]),
        ("[" * 1024, ["not a JSON object"]),
        (" " * 1025, ["1025 characters; at most 1024"]),
        ('{"verb": "refresh", "revision": "a"}', ["id: missing", "id, verb and revision are needed"]),
        ('{"id": "1", "revision": "a"}', ["verb: missing"]),
        ('{"id": "1", "verb": "refresh"}', ["revision: missing"]),
        (asked(id=""), ["id: not 1 to 64 letters"]),
        (asked(id="x" * 65), ["id: not 1 to 64 letters"]),
        (asked(id=7), ["id: not 1 to 64 letters"]),
        (asked(id="a\n"), ["id: not 1 to 64 letters"]),
        (asked(verb="explode"), ['verb: there is no "explode"', "valid are refresh"]),
        (asked(verb=None), ["verb: not 1 to 64"]),
        (asked(upTo="Full"), ['"upTo": no such field', "valid are id, verb, revision"]),
        (asked(revision="bbbbbbbbbb"), ['"bbbbbbbbbb" is not the latest revision', f'"{LATEST}"']),
    ],
)
def test_what_cannot_be_done_is_rejected_with_a_sentence(text: str, words: list[str]) -> None:
    action = first(text)
    assert action.outcome == Outcome.REJECTED
    assert all(word in action.message for word in words), action.message


def test_before_the_first_revision_there_is_nothing_to_name() -> None:
    assert "there is none yet" in first(asked(), latest="").message


@pytest.mark.parametrize("text", ["{", asked(), asked(verb="explode"), asked(revision="b")])
def test_the_same_annotation_is_answered_once(text: str) -> None:
    once = take((), text, LATEST, NOW)
    assert take(once, text, LATEST, NOW) == once


def test_an_id_that_was_answered_is_not_done_again_under_another_verb_or_revision() -> None:
    done = answered(take((), asked(), LATEST, NOW), first(asked()).turned(Outcome.DONE, "done", NOW, LATEST))
    assert take(done, asked(revision="other"), "other", NOW) == done


def test_a_running_verb_is_overtaken_by_a_newer_revision_and_by_a_newer_verb() -> None:
    log = take((), asked(), LATEST, NOW)
    (overtaken,) = take(log, asked(), "bbbbbbbbbb", NOW)
    assert overtaken.outcome == Outcome.SUPERSEDED
    assert '"bbbbbbbbbb"' in overtaken.message
    replaced, newer = take(log, asked(id="gh-2"), LATEST, NOW)
    assert (replaced.outcome, replaced.message) == (Outcome.SUPERSEDED, "gh-2 was asked for before it was done")
    assert newer.outcome == Outcome.RUNNING


def test_a_rejected_verb_overtakes_nothing() -> None:
    log = take((), asked(), LATEST, NOW)
    still, rejected = take(log, asked(id="gh-2", verb="explode"), LATEST, NOW)
    assert (still.outcome, rejected.outcome) == (Outcome.RUNNING, Outcome.REJECTED)
    assert running((still, rejected)) == still


def test_only_the_last_ten_answers_are_kept_newest_last() -> None:
    log: tuple[Action, ...] = ()
    for number in range(12):
        log = take(log, asked(id=f"gh-{number}", verb="explode"), LATEST, NOW)
    assert [each.id for each in log] == [f"gh-{number}" for number in range(2, 12)]


def test_an_answer_is_read_back_as_it_was_written() -> None:
    log = (first(asked()).turned(Outcome.DONE, "done", NOW, "cccccccccc"), first("{"))
    assert read({"actions": [each.entry() for each in log]}) == log


def test_each_final_answer_is_one_event() -> None:
    begun = take((), asked(), LATEST, NOW)
    assert events(begun, ()) == ()
    same = answered(begun, begun[0].turned(Outcome.DONE, "Nothing to refresh", NOW, LATEST))
    other = answered(begun, begun[0].turned(Outcome.DONE, "new", NOW, "cccccccccc"))
    failed = answered(begun, begun[0].turned(Outcome.FAILED, "no luck", NOW))
    told = [(each.type, each.reason, each.message) for log in (same, other, failed) for each in events(log, begun)]
    assert told == [
        ("Normal", "NothingToRefresh", "refresh gh-1: Nothing to refresh"),
        ("Normal", "Refreshed", "refresh gh-1: new"),
        ("Warning", "ActionFailed", "refresh gh-1: no luck"),
    ]
    assert events(same, same) == ()
    (unreadable,) = events((first("{"),), ())
    assert unreadable.message.startswith("action unreadable-")


@given(st.text(max_size=40) | st.dictionaries(st.sampled_from(["id", "verb", "revision", "x"]), st.text() | st.integers()).map(json.dumps))
def test_whatever_is_written_every_text_of_the_answer_is_bounded(text: str) -> None:
    for each in take((), text, LATEST, NOW):
        entry = each.entry()
        assert 1 <= len(entry["id"]) <= 64
        assert all(len(entry.get(name, "")) <= 64 for name in ("verb", "revision"))
        assert len(entry["message"]) <= 1024
