"""`kubectl llm wait`: from the spec of now to a revision, and from a revision to its end."""

from collections.abc import Callable

import pytest

from llm_operator.cli.follow import OVER
from llm_operator.core.rollout.progress import ENDS
from tests.unit.cli.conftest import NEW, OLD, FakeKube, Object, Result, becomes, nothing, ready
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
