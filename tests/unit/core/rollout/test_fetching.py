"""Gates that Prometheus and webhooks answer, in a simulated world."""

import json
from datetime import timedelta
from typing import Any

import pytest

from llm_operator.core.gates.fetched import Fetched
from tests.unit.core.builders import make_config
from tests.unit.core.rollout.test_gating import Traffic, answers, finish, gated, minutes, state
from tests.unit.core.sim import Sim

COST = "promql/cost"
JUDGE = "webhook/judge"
GATES: list[dict[str, Any]] = [
    {"promql": {"name": "cost", "query": 'cost{llm_revision="$revision"}', "maxValue": 2, "times": 2}},
    {"webhook": {"name": "judge", "onHarm": "Pause"}},
]
SERVERS = {"prometheus": {"url": "http://prometheus:9090"}, "webhooks": {"judge": {"url": "http://judge"}}}


def asked(step: dict[str, Any] | None = None) -> tuple[Sim, Traffic]:
    return gated(GATES, step, make_config(gates=SERVERS))


def number(sim: Sim, *values: float) -> None:
    """Let Prometheus answer, a second from one answer to the next, the last one now."""
    bodies = (json.dumps({"status": "success", "data": {"resultType": "scalar", "result": [0, str(each)]}}) for each in values)
    found = tuple(Fetched(sim.now - timedelta(seconds=len(values) - 1 - at), 200, body) for at, body in enumerate(bodies))
    sim.answers[COST] = found


def opinion(sim: Sim, verdict: str) -> None:
    revision = sim.deployment["status"]["rollout"]["revision"]
    sim.answers[JUDGE] = (Fetched(sim.now, 200, json.dumps({"revision": revision, "verdict": verdict, "message": f"it is {verdict}"})),)


def test_prometheus_and_a_webhook_are_asked_about_the_revision_that_has_requests() -> None:
    sim, _ = asked()
    rollout = sim.deployment["status"]["rollout"]
    query, question = sim.questions
    assert (query.gate, query.server, query.text, query.kept) == (COST, "", f'cost{{llm_revision="{rollout["revision"]}"}}', 2)
    assert (question.gate, question.server, json.loads(question.text)["weightPercent"]) == (JUDGE, "judge", 40)


@pytest.mark.covers
def test_a_revision_that_all_of_them_pass_is_promoted() -> None:
    sim, traffic = asked()
    minutes(sim, traffic, 2)
    assert answers(sim) == {"sampleRatio": "Pass", COST: "Undecided", JUDGE: "Undecided"}
    number(sim, 1.5, 1.6)
    sim.look()
    assert state(sim) == "Stepping", "the webhook has not answered"
    opinion(sim, "Pass")
    finish(sim)
    assert state(sim) == "Promoted"
    assert answers(sim) == {"sampleRatio": "Pass", COST: "Pass", JUDGE: "Pass"}
    assert not sim.questions


def test_a_figure_out_of_bounds_aborts() -> None:
    sim, _ = asked()
    sim.tick(5)
    number(sim, 2.5, 2.6)
    finish(sim)
    rollout = sim.deployment["status"]["rollout"]
    assert (rollout["state"], rollout["reason"]) == ("Aborted", "OutOfBounds")
    assert rollout["message"] == f"{COST}: the query gave 2.5, 2.6; at most 2 is asked for"


def test_harm_that_a_webhook_finds_pauses_where_that_was_asked_for() -> None:
    sim, _ = asked()
    sim.tick(5)
    opinion(sim, "Harm")
    sim.look()
    rollout = sim.deployment["status"]["rollout"]
    assert (rollout["state"], rollout["reason"]) == ("Paused", "WebhookRefused")
    assert f"{JUDGE}: it is Harm" in rollout["message"]
    assert sim.questions, "somebody who has to decide wants to know"


def test_what_was_answered_before_the_step_had_its_share_says_nothing_of_it() -> None:
    sim, traffic = asked({"minDuration": "1s"})
    minutes(sim, traffic, 2)
    number(sim, 1, 1)
    opinion(sim, "Pass")
    sim.edit(rollout={**sim.deployment["spec"]["rollout"], "config": {"steps": [{"weightPercent": 60, "minDuration": "1s"}]}})
    for _ in range(4):
        sim.look()
        sim.tick(0.5)
    assert sim.deployment["status"]["rollout"]["weight"] == 60
    sim.tick(5)
    sim.look()
    assert (state(sim), answers(sim)[COST], answers(sim)[JUDGE]) == ("Stepping", "Undecided", "Undecided")
    assert json.loads(sim.questions[1].text)["weightPercent"] == 60
    number(sim, 1, 1)
    opinion(sim, "Pass")
    finish(sim)
    assert state(sim) == "Promoted"


def test_the_next_answer_is_looked_at_when_it_is_due() -> None:
    sim, traffic = asked()
    minutes(sim, traffic, 1)
    made = sim.plan()
    assert made.next_look_s is not None
    assert made.next_look_s <= 30


def test_a_gate_that_nobody_answers_any_more_stops_the_spec_and_keeps_what_serves() -> None:
    sim, _ = asked()
    sim.config = make_config()
    finish(sim)
    conditions = {each["type"]: each for each in sim.deployment["status"]["conditions"]}
    assert (conditions["Stalled"]["status"], conditions["Stalled"]["reason"]) == ("True", "GateUnknown")
    assert state(sim) == "Stepping", "nothing is decided without it"
