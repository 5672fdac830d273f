"""`kubectl llm wait`: from the spec of now to a revision, and from a revision to its end."""

from collections.abc import Callable

import pytest

from llm_operator.cli.follow import OVER
from llm_operator.core.rollout.progress import ENDS
from tests.unit.cli.conftest import NEW, OLD, FakeKube, Object, Result, away, becomes, nothing, ready
from tests.unit.cli.test_verbs import conditions, rollout

Run = Callable[..., Result]

RESOLVED = conditions(Resolved="True")


def test_the_revision_that_a_new_spec_becomes_is_printed_and_nothing_else(kube: FakeKube, run: Run) -> None:
    kube.live["metadata"]["generation"] = 2
    kube.then = [nothing, nothing, becomes(observedGeneration=2, latestRevision=NEW, conditions=RESOLVED)]
    done = run("wait", "chat", "--for=resolved")
    assert (done.code, done.out) == (0, f"{NEW}\n")
    assert "has not looked at this spec yet" in done.err


def test_a_spec_that_cannot_be_used_ends_the_wait(kube: FakeKube, run: Run) -> None:
    kube.then = [becomes(phase="Stalled", message="no such profile", conditions=conditions(Stalled="True", Resolved="False"))]
    done = run("wait", "chat")
    assert (done.code, "no such profile" in done.out) == (2, True)


def test_without_a_revision_that_of_the_spec_of_now_is_followed(kube: FakeKube, run: Run) -> None:
    kube.live["metadata"]["generation"] = 2
    coming = becomes(observedGeneration=2, latestRevision=NEW, rollout=rollout("Stepping"), conditions=RESOLVED)
    kube.then = [nothing, coming, nothing, becomes(**ready(NEW, observedGeneration=2, rollout=rollout("Promoted")))]
    done = run("wait", "chat", "-o", "json")
    assert (done.code, done.json["revision"]) == (0, NEW)


def test_a_rollout_has_ended_for_a_pipeline_when_it_has_for_the_operator() -> None:
    assert OVER == ENDS


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (ready(OLD), 0),
        (ready(OLD, conditions=conditions(ApprovalRequired="True"), stable={}), 5),
        (ready(OLD, conditions=conditions(CapacityAvailable="False"), stable={}), 6),
        (ready(OLD, phase="Paused", stable={}), 5),
        (ready(OLD, stable={}), 3),
        (ready(NEW), 4),
    ],
)
def test_a_revision_is_followed_to_its_end(kube: FakeKube, run: Run, status: Object, code: int) -> None:
    kube.then = [becomes(**status)]
    assert run("wait", "chat", "--revision", OLD, "--timeout", "5s").code == code


def test_an_api_server_that_is_away_for_a_while_ends_no_wait(kube: FakeKube, run: Run) -> None:
    stepping = becomes(**ready(OLD, stable={}, rollout=rollout("Stepping")))
    kube.then = [stepping, away, away, nothing, becomes(**ready(OLD))]
    done = run("wait", "chat", "--revision", OLD)
    assert done.code == 0
    assert done.err.count("connection refused; asking again") == 1


def test_an_api_server_that_was_never_reached_ends_it_at_once(kube: FakeKube, run: Run) -> None:
    kube.then = [away]
    done = run("wait", "chat", "--revision", OLD)
    assert (done.code, done.err) == (1, "error: Unable to connect to the server: connection refused\n")


def test_one_that_stays_away_until_the_time_is_over_is_the_reason(kube: FakeKube, run: Run) -> None:
    kube.then = [becomes(**ready(OLD, stable={}, rollout=rollout("Stepping"))), *[away] * 100]
    done = run("wait", "chat", "--revision", OLD, "--timeout", "30s")
    assert (done.code, done.err.splitlines()[-1]) == (3, "error: Unable to connect to the server: connection refused")


def test_no_call_takes_longer_than_there_is_time(kube: FakeKube, run: Run) -> None:
    left: list[float] = []
    kube.then = [becomes(**ready(OLD, stable={})), *[lambda _: left.append(kube.left_s())] * 100]
    assert run("wait", "chat", "--revision", OLD, "--timeout", "5s").code == 3
    assert left == sorted(left, reverse=True)
    assert (left[0] > 4, left[-1] < 2) == (True, True)
