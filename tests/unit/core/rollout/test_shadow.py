"""A step with copies: the engine on trial answers a sample of what stable has answered, and gets no request for it."""

from typing import Any

import pytest

from llm_operator.api.rollout import Step
from llm_operator.core.kinds import CONFIG_MAP
from llm_sidecar.table import TABLE_KEY, Shadow
from tests.unit.core.rollout.engines import OTHER, Watched, by_steps
from tests.unit.core.rollout.steps import FIVE, HARM, WAITING, asked, look, now_at, progress, seen

COPIES = {"shadow": {"samplePercent": 10, "maxInFlight": 3}, "minDuration": "30s"}
STEPS: list[dict[str, Any]] = [COPIES, {"weightPercent": 5, "minDuration": "30s"}]
SHADOW = Step.model_validate({**COPIES, "minDuration": "1m"})


def copying(*steps: dict[str, Any]) -> Watched:
    """A change of the engine at its first step."""
    one = Watched.serving(2, steps=list(steps) or STEPS)
    one.sim.edit(model=OTHER)
    one.until("Stepping")
    one.run(4)
    return one


def test_a_step_with_copies_gives_no_request_and_tells_every_sidecar_what_to_copy() -> None:
    one = copying()
    assert (one.state, one.share()) == (("Stepping", 1, 0), 0)
    assert one.table.shadow == Shadow(revision=one.rollout["revision"], sample=1_000, max_in_flight=3)
    assert one.rollout["message"] == "step 1 of 2: 10% of requests are copied to it, 0% of requests go to it"
    assert one.rollout["reason"] == "Stepping"
    before = one.status
    one.tick(5)
    made = one.look()
    assert (made.applies, made.nudges, made.status) == ((), (), before)


def test_it_ends_by_its_time_and_the_copies_with_it() -> None:
    one = copying()
    one.pass_time(30)
    assert (one.state, one.share(), one.table.shadow) == (("Stepping", 2, 5), 500, None)
    one.until("Promoted", 150)


def test_a_table_without_copies_is_what_it_was_before_there_were_any() -> None:
    one = Watched.serving(1)
    assert "shadow" not in one.sim.objects[CONFIG_MAP, "chat-snapshot"]["data"][TABLE_KEY]


def test_copies_come_beside_a_share_that_stays() -> None:
    one = copying({"weightPercent": 5, "minDuration": "2s"}, COPIES)
    one.run(6)
    assert (one.state, one.share()) == (("Stepping", 2, 5), 500)
    assert one.table.shadow is not None


@pytest.mark.covers
def test_another_sample_in_the_middle_is_another_table_and_the_time_goes_on() -> None:
    one = copying()
    since = one.rollout["since"]
    more = {**COPIES, "shadow": {"samplePercent": 20, "maxInFlight": 1}}
    one.sim.edit(rollout=by_steps([more, STEPS[1]]))
    one.run(4)
    assert one.table.shadow == Shadow(revision=one.rollout["revision"], sample=2_000, max_in_flight=1)
    assert (one.rollout["since"], one.rollout["message"].startswith("step 1 of 2: 20% of requests are copied")) == (since, True)


def test_a_pod_that_is_away_gets_no_copies_and_the_step_begins_anew() -> None:
    one = copying()
    one.healthy = False
    one.sim.crashed |= set(one.pods(old=False))
    one.run(3)
    assert (one.rollout["state"], one.table.shadow) == ("Warming", None)
    one.sim.crashed.clear()
    one.until("Stepping")
    one.run(3)
    assert one.table.shadow is not None


@pytest.mark.parametrize("verb", ["abort", "promote"])
def test_whatever_ends_the_step_ends_the_copies(verb: str) -> None:
    one = copying()
    assert one.ask(verb)["outcome"] == "Done"
    one.run(2)
    assert one.table.shadow is None


def test_a_pause_keeps_what_there_is_copies_included() -> None:
    one = copying()
    one.ask("pause")
    one.pass_time(60)
    assert (one.state, one.table.shadow is not None) == (("Paused", 1, 0), True)
    one.ask("resume")
    one.until("Stepping")
    one.run(3)
    one.pass_time(30)
    assert one.state == ("Stepping", 2, 5)


def test_a_spec_that_cannot_be_read_keeps_the_copies() -> None:
    one = copying()
    before = one.table
    one.sim.edit(accelerator={})
    one.pass_time(60)
    assert (one.table, one.state) == (before, ("Stepping", 1, 0))


@pytest.mark.covers
def test_with_one_accelerator_in_all_nothing_is_copied() -> None:
    one = Watched.serving(1, "Replace", [COPIES, {"approval": {}}])
    one.sim.edit(model=OTHER)
    one.until("Stepping")
    one.run(4)
    assert (one.rollout["reason"], one.table.shadow) == ("ApprovalRequired", None)


def test_gates_have_nothing_to_judge_in_copies() -> None:
    ask, here = asked(steps=(SHADOW, FIVE)), progress(weight=0)
    see = seen(0, sample=10)
    assert now_at(look(here, verdict=WAITING, later_s=59, ask=ask, see=see)) == ("Stepping", 0, 0)
    assert now_at(look(here, verdict=WAITING, later_s=60, ask=ask, see=see)) == ("Stepping", 1, 5)
    assert now_at(look(here, verdict=HARM, ask=ask, see=see))[0] == "Aborted", "what they know all the same counts"


def test_its_time_counts_from_when_every_pod_copies() -> None:
    ask, here = asked(steps=(SHADOW, FIVE)), progress(weight=0, reason="Delivering")
    waits = look(here, later_s=300, ask=ask, see=seen(0, sample=0))
    assert now_at(waits) == ("Stepping", 0, 0)
    begun = look(here, later_s=300, ask=ask, see=seen(0, sample=10)).memory.progress
    assert begun is not None
    assert (begun.reason, begun.since > here.since) == ("Stepping", True)


@pytest.mark.parametrize(("who", "trouble"), [("stable", "silent"), ("canary", "silent"), ("stable", "lonely")])
def test_a_sidecar_that_misses_a_question_only_delays_the_end_of_copies(who: str, trouble: str) -> None:
    one = copying()
    before, at, pod = one.table, one.rollout, min(one.pods(old=who == "stable"))
    getattr(one.sim, trouble).add(pod)
    one.run(2)
    assert (one.table, one.rollout) == (before, at)
    one.pass_time(30)
    assert (one.table.shadow, one.rollout["since"]) == (before.shadow, at["since"])
    getattr(one.sim, trouble).clear()
    one.run(3)
    assert (one.state, one.share()) == (("Stepping", 2, 5), 500)
    assert "Warming" not in [each["state"] for each in one.status["history"][-2:]]


def test_copies_that_a_silent_sidecar_does_not_let_end_are_given_up_in_time_and_it_is_named() -> None:
    one = copying({**COPIES, "maxDuration": "2m"})
    pod = min(one.pods(old=True))
    one.sim.silent.add(pod)
    one.run(6, 30)
    assert (one.rollout["state"], one.rollout["reason"]) == ("Paused", "Inconclusive")
    assert f"its engine is ready, but pod {pod} cannot be asked" in one.rollout["message"]


def test_a_sidecar_that_misses_a_question_at_an_approval_leaves_it_at_that() -> None:
    one = copying({"approval": {}}, {"weightPercent": 5, "minDuration": "30s"})
    at, pod = one.rollout, min(one.pods(old=True))
    assert at["reason"] == "ApprovalRequired"
    one.sim.silent.add(pod)
    one.run(3)
    assert (one.rollout, one.condition("ApprovalRequired")["status"]) == (at, "True")
    assert one.ask("approve")["outcome"] == "Done"
    one.run(3, 60)
    assert (one.state, one.share(), one.rollout["reason"]) == (("Stepping", 2, 5), 0, "Delivering"), "its time has not begun"
    one.sim.silent.clear()
    one.run(4)
    assert (one.state, one.share()) == (("Stepping", 2, 5), 500)
