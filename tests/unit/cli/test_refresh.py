"""`kubectl llm refresh`: what it writes, what it waits for, and how it ends."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from llm_operator.core import names
from tests.unit.cli.conftest import NEW, OLD, FakeKube, Result, answers, becomes, nothing, ready

Run = Callable[..., Result]


def test_it_asks_for_the_latest_revision_under_a_new_id_and_prints_the_answer(kube: FakeKube, run: Run) -> None:
    kube.then = [nothing, nothing, answers("Running", message="asking"), answers("Done", NEW, "revision b on the new engine")]
    done = run("refresh", "chat")
    assert (done.code, done.out, done.err) == (0, "Done: revision b on the new engine\n", "asking\n")
    (asked,) = kube.written
    assert (asked["verb"], asked["revision"]) == ("refresh", OLD)
    assert asked["id"].startswith("cli-")


@pytest.mark.parametrize(("outcome", "code"), [("Done", 0), ("Failed", 2), ("Superseded", 4), ("Rejected", 7)])
def test_each_outcome_has_its_exit_code(kube: FakeKube, run: Run, outcome: str, code: int) -> None:
    kube.then = [nothing, answers(outcome)]
    done = run("refresh", "chat", "-o", "json", "--id", "gh-1")
    assert (done.code, done.json["exitCode"], done.json["outcome"], done.json["id"]) == (code, code, outcome, "gh-1")


def test_it_waits_until_the_new_revision_serves(kube: FakeKube, run: Run) -> None:
    kube.then = [nothing, answers("Done", NEW), becomes(phase="Updating", message="on its way"), becomes(**ready(NEW))]
    done = run("refresh", "llm/chat", "--wait")
    assert done.code == 0
    assert "Updating: on its way" in done.err
    assert f"revision {NEW} serves from 1 pod" in done.out


def test_with_nothing_to_refresh_there_is_nothing_to_wait_for(kube: FakeKube, run: Run) -> None:
    kube.then = [nothing, answers("Done", OLD, "Nothing to refresh")]
    assert run("refresh", "chat", "--wait").code == 0


STALLED = {"conditions": [{"type": "Stalled", "status": "True", "reason": "x", "message": "y"}]}
FULL = {"conditions": [{"type": "CapacityAvailable", "status": "False", "reason": "Unschedulable", "message": "no GPU"}]}


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (STALLED, 2, "Updating"),
        ({"conditions": []}, 3, "is not there yet"),
        ({"latestRevision": "cccccccccc"}, 4, "superseded by cccccccccc"),
        (FULL, 6, "is not there yet"),
    ],
)
def test_a_wait_that_does_not_reach_its_goal_says_how_it_ended(
    kube: FakeKube, run: Run, status: dict[str, Any], code: int, words: str
) -> None:
    kube.then = [nothing, answers("Done", NEW), becomes(phase="Updating", message="on its way", **status)]
    done = run("refresh", "chat", "--wait", "--timeout", "5s")
    assert done.code == code
    assert words in done.out + done.err


def test_without_an_operator_the_wait_ends_with_a_hint(run: Run) -> None:
    done = run("refresh", "chat", "--timeout", "2s", "-o", "json")
    assert done.code == done.json["exitCode"] == 3
    assert "does an operator look after this namespace?" in done.err


def test_a_refresh_that_runs_too_long_says_what_it_does(kube: FakeKube, run: Run) -> None:
    kube.then = [nothing, answers("Running", message="asking what s3://m holds")]
    done = run("refresh", "chat", "--timeout", "2s")
    assert done.code == 3
    assert "still runs: asking what s3://m holds" in done.err


def test_a_conflicting_write_is_tried_again(kube: FakeKube, run: Run) -> None:
    kube.conflicts = 2
    kube.then = [nothing, nothing, nothing, answers("Done", OLD)]
    assert run("refresh", "chat").code == 0


def test_it_does_not_try_for_ever(kube: FakeKube, run: Run) -> None:
    kube.conflicts = 100
    done = run("refresh", "chat")
    assert done.code == 1
    assert "try again" in done.err


def waiting_for_gh_1(kube: FakeKube) -> None:
    kube.live["metadata"]["annotations"] = {names.ANNOTATION_ACTION: '{"id":"gh-1","verb":"refresh","revision":"a"}'}


def test_an_action_nobody_has_answered_is_waited_for_and_then_followed_by_ours(kube: FakeKube, run: Run) -> None:
    waiting_for_gh_1(kube)
    kube.then = [nothing, answers("Done"), answers("Done")]
    assert run("refresh", "chat", "--id", "gh-2").code == 0
    assert [each["id"] for each in kube.written] == ["gh-2"]


def test_an_action_nobody_answers_is_not_overwritten(kube: FakeKube, run: Run) -> None:
    waiting_for_gh_1(kube)
    done = run("refresh", "chat", "--timeout", "1s")
    assert (done.code, kube.written) == (3, [])
    assert "action gh-1 has not been answered" in done.err


@pytest.mark.parametrize("text", ["{", "[]", '{"verb": 1}'])
def test_an_annotation_that_cannot_be_read_is_in_nobodys_way(kube: FakeKube, run: Run, text: str) -> None:
    kube.live["metadata"]["annotations"] = {names.ANNOTATION_ACTION: text}
    kube.then = [nothing, answers("Done", OLD)]
    assert run("refresh", "chat").code == 0


@pytest.mark.parametrize("is_answered", [True, False])
def test_the_same_id_is_asked_for_once(kube: FakeKube, run: Run, *, is_answered: bool) -> None:
    body = {"id": "gh-1", "verb": "refresh", "revision": OLD}
    kube.live["metadata"]["annotations"] = {names.ANNOTATION_ACTION: json.dumps(body)}
    kube.then = [answers("Done", OLD)] if is_answered else [nothing, answers("Done", OLD)]
    done = run("refresh", "chat", "--id", "gh-1")
    assert (done.code, kube.written) == (0, [])


def test_a_deployment_without_a_revision_has_nothing_to_refresh(kube: FakeKube, run: Run) -> None:
    kube.live["status"] = {}
    done = run("refresh", "chat")
    assert done.code == 7
    assert "no revision yet" in done.err


def test_a_pipeline_may_fence_by_a_revision_of_its_own(kube: FakeKube, run: Run) -> None:
    kube.then = [nothing, answers("Rejected")]
    assert run("refresh", "chat", "--revision", "cccccccccc").code == 7
    assert kube.written[0]["revision"] == "cccccccccc"


@pytest.mark.parametrize("timeout", ["", "soon", "5", "90s", "1h30m", "5x", "m", "5m3"])
def test_durations_are_read_as_kubectl_users_write_them(kube: FakeKube, run: Run, timeout: str) -> None:
    kube.then = [nothing, answers("Done", OLD)]
    done = run("refresh", "chat", f"--timeout={timeout}")
    assert done.code == (0 if timeout in {"5", "90s", "1h30m"} else 1)
    assert done.code == 0 or "is not a duration" in done.err
