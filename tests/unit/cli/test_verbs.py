"""The verbs of rollouts: each asks under its name, and with `--wait` says how that ended."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.cli.conftest import NEW, OLD, FakeKube, Object, Result, answers, becomes, nothing, ready

Run = Callable[..., Result]

VERBS = ("refresh", "approve", "promote", "pause", "resume", "abort", "retry", "rollback")


def rollout(state: str, *, revision: str = NEW, replaces: str = OLD, **more: Any) -> Object:
    where = {"step": 1, "weight": 5, "since": "2026-11-22T12:00:00Z", "reason": state, "message": f"it is {state}"}
    return {"id": "r", "revision": revision, "replaces": replaces, "state": state, **where, **more}


def conditions(**statuses: str) -> list[Object]:
    base = {"Ready": "True", "TableProgrammed": "True", **statuses}
    return [{"type": kind, "status": status, "reason": "Because", "message": f"{kind} is {status}"} for kind, status in base.items()]


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_is_asked_for_with_the_latest_revision(kube: FakeKube, run: Run, verb: str) -> None:
    kube.then = [nothing, answers("Done", message="so be it")]
    done = run(verb, "llm/chat", "--id", "gh-1")
    assert (done.code, done.out) == (0, "Done: so be it\n")
    assert kube.written == [{"id": "gh-1", "verb": verb, "revision": OLD}]


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_that_does_not_fit_is_rejected(kube: FakeKube, run: Run, verb: str) -> None:
    kube.then = [nothing, answers("Rejected", message="revision a is not being rolled out")]
    assert run(verb, "chat", "-o", "json").json["exitCode"] == 7


@pytest.mark.parametrize(
    ("verb", "status", "code", "words"),
    [
        ("promote", ready(NEW, rollout=rollout("Promoted", weight=100)), 0, f"revision {NEW} serves"),
        ("promote", ready(OLD, latestRevision=NEW, rollout=rollout("Aborted", message="too slow")), 2, "was aborted: too slow"),
        ("approve", ready(OLD, latestRevision=NEW, rollout=rollout("Stepping"), conditions=conditions(ApprovalRequired="True")), 5, "App"),
        ("retry", ready(OLD, latestRevision="cccccccccc", rollout=rollout("Superseded")), 4, "superseded by cccccccccc"),
        ("resume", ready(OLD, latestRevision=NEW, conditions=conditions(Stalled="True")), 2, "all is well"),
        ("abort", ready(OLD, latestRevision=NEW, rollout=rollout("Aborted"), conditions=conditions()), 0, "no pod gives a request"),
        ("rollback", ready(OLD, latestRevision=NEW, rollout=rollout("Promoted", revision=OLD, replaces=NEW, rollback=True)), 0, "instead"),
        ("rollback", ready(NEW, rollout=rollout("Aborted", revision=OLD, replaces=NEW, message="no")), 2, f"revision {NEW} stays: no"),
        ("rollback", ready(NEW, latestRevision="cccccccccc", rollout=rollout("Superseded")), 4, "superseded by cccccccccc"),
    ],
)
def test_with_wait_a_verb_says_how_it_ended(kube: FakeKube, run: Run, verb: str, status: Object, code: int, words: str) -> None:
    kube.live["status"]["latestRevision"] = NEW
    kube.then = [nothing, answers("Done"), becomes(**status)]
    done = run(verb, "chat", "--wait", "--timeout", "20s")
    assert (done.code, words in done.out) == (code, True), done.out + done.err


@pytest.mark.parametrize(
    ("verb", "status"),
    [
        ("promote", ready(NEW, rollout=rollout("Finalising", weight=100))),
        ("promote", ready(OLD, latestRevision=NEW, rollout=rollout("Stepping"))),
        ("abort", ready(OLD, latestRevision=NEW, rollout=rollout("Aborted"), conditions=conditions(TableProgrammed="False"))),
        ("rollback", ready(NEW, rollout=rollout("Preparing", revision=OLD, replaces=NEW, rollback=True))),
    ],
)
def test_what_is_still_on_its_way_is_waited_for(kube: FakeKube, run: Run, verb: str, status: Object) -> None:
    kube.live["status"]["latestRevision"] = NEW
    kube.then = [nothing, answers("Done"), becomes(**status)]
    assert run(verb, "chat", "--wait", "--timeout", "5s").code == 3
