"""The rollout machine with gates: what harm, doubt and missing evidence do, and what no look may do. The rest is in test_rollout.py."""

from dataclasses import replace

import pytest

from llm_operator.core.rollout.evidence import Verdict
from llm_operator.core.rollout.progress import Barred, Memory, Progress, State
from tests.unit.core.rollout.steps import HALF, HARM, NOW, ODD, STEPS, WAITING, asked, look, now_at, progress, seen

STEPPED = progress()
PREPARING = progress(State.PREPARING, weight=0, reason="Preparing")
FINALISING = progress(State.FINALISING, step=2, weight=100, reason="Finalising")
PAUSED = progress(State.PAUSED, reason="PauseRequested")
LAST = progress(step=2, weight=50)


# Evidence


@pytest.mark.parametrize("at", [STEPPED, PAUSED, FINALISING, progress(step=1, reason="ApprovalRequired")])
def test_harm_takes_all_requests_back_wherever_there_are_some(at: Progress) -> None:
    move = look(at, verdict=HARM)
    assert now_at(move) == ("Aborted", at.step, 0)
    assert [(each.revision, each.reason, each.message) for each in move.memory.barred] == [("b", HARM.reason, HARM.message)]


def test_harm_is_not_found_where_there_has_been_no_request() -> None:
    assert now_at(look(PREPARING, verdict=HARM)) == ("Stepping", 0, 5)


@pytest.mark.parametrize("verb", ["promote", "approve", "pause", "resume", "retry", "rollback"])
def test_harm_comes_before_every_verb_but_abort(verb: str) -> None:
    move = look(STEPPED, verb, HARM)
    assert (now_at(move)[0], move.answer) == ("Aborted", None)


def test_an_abort_that_comes_with_harm_is_the_reason_and_is_answered() -> None:
    move = look(STEPPED, "abort", HARM)
    assert (move.memory.barred[0].reason, move.answer and move.answer.done) == ("AbortRequested", True)


def test_without_a_pass_a_step_goes_on_until_its_time_is_over() -> None:
    early = look(STEPPED, verdict=WAITING, later_s=120)
    assert (early.memory.progress, early.turns, early.look_s) == (STEPPED, (), 480)
    late = look(STEPPED, verdict=WAITING, later_s=600)
    assert now_at(late) == ("Paused", 0, 5)
    assert late.memory.progress
    assert WAITING.message in late.memory.progress.message


def test_where_abort_is_asked_for_missing_evidence_ends_it() -> None:
    move = look(LAST, verdict=WAITING, later_s=600)
    assert (now_at(move), move.memory.barred[0].reason) == (("Aborted", 2, 0), "Inconclusive")


def test_a_pass_lets_a_step_end_only_when_its_time_is_over() -> None:
    assert look(STEPPED, later_s=59).look_s == 1
    assert now_at(look(STEPPED, later_s=60)) == ("Stepping", 1, 5)


def test_doubt_about_the_evidence_pauses_at_once_and_keeps_the_requests() -> None:
    move = look(STEPPED, verdict=ODD)
    assert (now_at(move), move.memory.progress and move.memory.progress.reason) == (("Paused", 0, 5), ODD.reason)


def test_doubt_that_lasts_pauses_again_after_a_resume_until_somebody_promotes() -> None:
    held = look(STEPPED, verdict=ODD).memory.progress
    resumed = look(held, "resume", ODD).memory.progress
    assert now_at(look(resumed, verdict=ODD)) == ("Paused", 0, 5)
    assert now_at(look(held, "promote", ODD)) == ("Finalising", 0, 100)


def test_an_approval_asks_no_gate() -> None:
    at = progress(step=1, reason="ApprovalRequired")
    assert now_at(look(at, verdict=WAITING, ask=asked(approved="b"))) == ("Stepping", 2, 50)


def test_a_rollback_is_not_judged() -> None:
    back = replace(FINALISING, revision="z", replaces="b", rollback=True)
    move = look(back, verdict=HARM, see=seen(100, stable="b"))
    assert now_at(move)[0] == "Promoted"


# What is delivered


def test_what_one_pod_cannot_serve_or_has_not_read_in_time_is_aborted_before_it_gets_a_request() -> None:
    assert look(PREPARING, see=seen(None, refused="pod-1: bad template")).memory.barred[0].reason == "BundleRefused"
    assert look(PREPARING, see=seen(None), later_s=599).look_s == 1
    assert look(PREPARING, see=seen(None), later_s=600).memory.barred[0].reason == "ProgressDeadlineExceeded"


def test_a_pod_that_refuses_later_takes_nothing_back() -> None:
    assert look(STEPPED, see=seen(5, refused="pod-1: bad template")).turns == ()


@pytest.mark.parametrize("weight", [None, 0])
def test_a_step_does_not_end_while_a_pod_runs_something_else(weight: int | None) -> None:
    assert now_at(look(STEPPED, later_s=300, see=seen(weight))) == ("Stepping", 0, 5)
    late = look(STEPPED, later_s=600, see=seen(weight))
    assert late.memory.progress
    assert (late.memory.progress.state, "not run by pod-1" in late.memory.progress.message) == ("Paused", True)


def test_a_step_does_not_end_while_no_pod_is_ready() -> None:
    assert now_at(look(STEPPED, later_s=300, see=seen(5, pods=0))) == ("Stepping", 0, 5)
    assert now_at(look(FINALISING, later_s=300, see=seen(100, pods=0))) == ("Finalising", 2, 100)


def test_what_becomes_stable_under_a_rollout_supersedes_it() -> None:
    move = look(STEPPED, see=seen(5, stable="c"))
    assert [each.state for each in move.turns] == ["Superseded", "Preparing"]


# Verbs


@pytest.mark.parametrize(
    ("at", "verb", "words"),
    [
        (PREPARING, "resume", "is Preparing; resume is not for that"),
        (PREPARING, "approve", "not at a step that waits for an approval"),
        (STEPPED, "approve", "not at a step that waits for an approval"),
        (STEPPED, "resume", "is Stepping; resume is not for that"),
        (STEPPED, "retry", "only what was aborted"),
        (STEPPED, "rollback", "abort takes its requests back"),
        (FINALISING, "pause", "is Finalising; pause is not for that"),
        (FINALISING, "promote", "is Finalising; promote is not for that"),
        (None, "rollback", "revision b is not stable; a is"),
    ],
)
def test_what_a_verb_is_not_for_is_said(at: Progress | None, verb: str, words: str) -> None:
    move = look(at, verb, ask=asked() if at else asked(steps=()))
    assert move.answer
    assert (move.answer.done, move.memory.progress, move.turns) == (False, at, ())
    assert words in move.answer.message


def test_nothing_is_promoted_that_a_pod_cannot_serve_yet() -> None:
    move = look(PREPARING, "promote", see=seen(None))
    assert move.answer
    assert "not every ready pod can serve it yet" in move.answer.message


@pytest.mark.parametrize(("at", "after"), [(PREPARING, "Preparing"), (STEPPED, "Stepping")])
def test_a_pause_goes_on_where_it_was(at: Progress, after: str) -> None:
    held = look(at, "pause").memory.progress
    assert held
    assert now_at(look(held, later_s=9_000, verdict=WAITING)) == ("Paused", at.step, at.weight)
    assert now_at(look(held, "resume", later_s=9_000))[0] == after


def test_a_verb_for_what_begins_just_now_is_answered_at_the_next_look() -> None:
    move = look(None, "abort")
    assert (now_at(move)[0], move.answer) == ("Preparing", None)
    assert now_at(look(move.memory.progress, "abort"))[0] == "Aborted"


def test_an_aborted_rollback_bars_nothing() -> None:
    back = progress(State.PREPARING, weight=0, revision="z", replaces="b", rollback=True)
    move = look(back, "abort", see=seen(None, stable="b"))
    assert (now_at(move)[0], move.memory.barred) == ("Aborted", ())


def test_a_retry_without_steps_only_frees_the_revision() -> None:
    barred = Memory(barred=(Barred("b", "AbortRequested", "words", NOW.isoformat()),))
    move = look(None, "retry", ask=asked(steps=()), barred=barred)
    assert (move.memory, move.turns, move.answer and move.answer.done) == (Memory(), (), True)


# Steps that change


@pytest.mark.parametrize(
    ("at", "steps", "after"),
    [
        (LAST, (HALF,), ("Stepping", 0, 50)),
        (STEPPED, (HALF, *STEPS), ("Stepping", 0, 50)),
        (STEPPED, (), ("Finalising", 0, 100)),
        (PAUSED, (), ("Paused", 0, 5)),
        (STEPPED, None, ("Stepping", 0, 5)),
    ],
)
def test_other_steps_are_taken_from_where_it_is(at: Progress, steps: tuple[object, ...] | None, after: tuple[str, int, int]) -> None:
    assert now_at(look(at, ask=asked(steps=steps))) == after


def test_resumed_with_fewer_steps_it_is_at_the_last_one() -> None:
    at = progress(State.PAUSED, step=2, weight=50, reason="PauseRequested")
    assert now_at(look(at, "resume", ask=asked(steps=(HALF,)))) == ("Stepping", 0, 50)


# What is remembered


def test_what_status_keeps_of_a_rollout_is_read_back_as_it_was() -> None:
    for at in (STEPPED, FINALISING, replace(PAUSED, rollback=True, losses=2)):
        barred = (Barred("c", "Harm", "words", "2026-11-22T12:00:00Z"),)
        status = {"rollout": at.entry(), "abortedRevisions": [vars(each) for each in barred]}
        assert Memory.read(status) == Memory(at, barred)
    assert Memory.read({}) == Memory()


def test_what_a_newer_operator_has_written_besides_is_left_out() -> None:
    assert Progress.read({**STEPPED.entry(), "novelty": 3}) == STEPPED


def test_the_last_ten_aborted_revisions_are_remembered_each_once() -> None:
    memory = Memory()
    for index in [*range(12), 11]:
        verdict = Verdict(HARM.answer, f"Harm{index}", "words")
        name = f"r{index}"
        memory = look(replace(STEPPED, revision=name), verdict=verdict, ask=asked(name), barred=memory).memory
    assert [each.revision for each in memory.barred] == [f"r{index}" for index in range(2, 12)]
