"""Gates of a rollout in a simulated world: what sidecars count decides whether a revision gets more requests."""

import math
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest

from llm_operator.api.config import OperatorConfig
from llm_operator.api.llmdeployment import LLMDeploymentSpec
from llm_operator.core.kinds import CONFIG_MAP
from llm_operator.core.rollout import gating
from llm_operator.core.telemetry.archive import unpack
from llm_sidecar import table
from llm_sidecar.statistics import Statistics
from tests.unit.core.builders import make_config, make_deployment, make_spec
from tests.unit.core.sim import Sim

EVIDENCE = (CONFIG_MAP, "chat-evidence")
GATES: list[dict[str, Any]] = [{"errors": {"ratio": 2}}, {"timeToFirstToken": {"marginPercent": 30}}]


@dataclass
class Traffic:
    """Requests of units nobody has seen before, spread over the pods and assigned as the pods' tables say."""

    sim: Sim
    slower: float = 1.0
    slower_all: float = 1.0
    fail_every: int = 0
    units: "count[int]" = field(default_factory=count)

    def is_tried(self, unit: bytes) -> bool:
        """Return whether a unit is assigned to the revision on its way."""
        live = self.sim.tables[min(self.sim.pods)]
        return table.assign(live, unit) != live.stable

    def count(self, unit: bytes) -> None:
        """Have a pod count a good request of a unit."""
        name = min(self.sim.pods)
        self.sim.counters[name].record(table.assign(self.sim.tables[name], unit), unit, failed=False, first_token_s=0.3, prompt_tokens=100)

    def serve(self, requests: int) -> None:
        pods = sorted(self.sim.pods)
        for name in pods:
            live = self.sim.tables[name]
            moving = any(route.slot is not None and route.weight for route in live.routes)
            self.sim.counters.setdefault(name, Statistics("chat")).assign(live.salt if moving else "")
        for number in (next(self.units) for _ in range(requests)):
            name, unit = pods[number % len(pods)], f"unit-{number}".encode()
            live = self.sim.tables[name]
            revision = table.assign(live, unit)
            canary = revision != live.stable
            failed = canary and bool(self.fail_every) and number % self.fail_every == 0
            first = 0.3 * math.exp(0.4 * math.sin(number * 1.7)) * self.slower_all * (self.slower if canary else 1.0)
            self.sim.counters[name].record(revision, unit, failed=failed, first_token_s=0.0 if failed else first, prompt_tokens=100)


def gated(
    gates: list[dict[str, Any]] | None = None, step: dict[str, Any] | None = None, config: OperatorConfig | None = None
) -> tuple[Sim, Traffic]:
    """A deployment whose first change has just been asked for."""
    steps = [{"weightPercent": 40, "minDuration": "2m", **(step or {})}]
    rollout = {"config": {"steps": steps}, "gates": GATES if gates is None else gates}
    sim = Sim(deployment=make_deployment(spec=make_spec(replicas=2, rollout=rollout)), config=config or make_config())
    sim.settle()
    traffic = Traffic(sim)
    sim.edit(limits={"queue": 1})
    for _ in range(5):
        traffic.serve(0)
        sim.look()
        sim.tick()
    return sim, traffic


def minutes(sim: Sim, traffic: Traffic, number: int, requests: int = 400) -> None:
    for _ in range(number):
        traffic.serve(requests)
        sim.tick(60)
        sim.look()


def finish(sim: Sim) -> None:
    for _ in range(8):
        sim.look()
        sim.tick()


def state(sim: Sim) -> str:
    return str(sim.deployment["status"]["rollout"]["state"])


def answers(sim: Sim) -> dict[str, str]:
    return {each["name"]: each["verdict"] for each in sim.deployment["status"].get("gates", [])}


def passing(sim: Sim) -> dict[str, Any]:
    return next(each for each in sim.deployment["status"]["conditions"] if each["type"] == "GatesPassing")


def test_a_canary_as_good_as_stable_is_promoted_once_that_is_proven_and_its_evidence_goes() -> None:
    sim, traffic = gated()
    assert state(sim) == "Stepping"
    assert EVIDENCE in sim.objects
    minutes(sim, traffic, 1)
    assert answers(sim) == {"errors": "Undecided", "timeToFirstToken": "Undecided", "sampleRatio": "Pass"}
    (errors, *_) = sim.deployment["status"]["gates"]
    assert 0 < errors["needs"] < 400
    assert "needs about" in errors["message"]
    assert (passing(sim)["status"], passing(sim)["reason"]) == ("False", "MoreRequestsNeeded")
    minutes(sim, traffic, 12)
    finish(sim)
    assert state(sim) == "Promoted"
    assert set(answers(sim).values()) == {"Pass"}, "what they said last is kept"
    assert EVIDENCE not in sim.objects
    assert sim.log.count("delete ConfigMap chat-evidence") == 1
    assert not sim.asks


@pytest.mark.parametrize(
    ("how", "gate", "reason"), [({"fail_every": 5}, "errors", "ErrorsMore"), ({"slower": 2.0}, "timeToFirstToken", "Worse")]
)
def test_a_bad_canary_is_aborted_by_the_gate_that_has_found_it(how: dict[str, Any], gate: str, reason: str) -> None:
    sim, traffic = gated()
    vars(traffic).update(how)
    minutes(sim, traffic, 6)
    finish(sim)
    status = sim.deployment["status"]
    assert (state(sim), status["rollout"]["reason"]) == ("Aborted", reason)
    assert status["rollout"]["message"].startswith(f"{gate}: ")
    assert answers(sim)[gate] == "Harm"
    assert EVIDENCE not in sim.objects


def test_harm_may_pause_instead() -> None:
    sim, traffic = gated([{"errors": {"onHarm": "Pause"}}])
    traffic.fail_every = 3
    minutes(sim, traffic, 4)
    assert state(sim) == "Paused"
    assert EVIDENCE in sim.objects, "the rollout has not ended"


def test_without_requests_nothing_is_promoted_and_after_a_while_somebody_has_to_decide() -> None:
    sim, traffic = gated(step={"maxDuration": "6m"})
    minutes(sim, traffic, 4, requests=0)
    assert state(sim) == "Stepping"
    assert answers(sim)["errors"] == "Undecided"
    minutes(sim, traffic, 4, requests=0)
    assert (state(sim), sim.deployment["status"]["rollout"]["reason"]) == ("Paused", "Inconclusive")


@pytest.mark.covers
def test_a_pod_that_tells_nothing_keeps_the_others_from_passing() -> None:
    sim, traffic = gated([{"errors": {"limitPercent": 5}}], {"minDuration": "1h"})
    minutes(sim, traffic, 3)
    assert passing(sim)["status"] == "True"
    silent = sorted(sim.pods)[1]
    sim.silent.add(silent)
    sim.look()
    assert (passing(sim)["status"], passing(sim)["reason"]) == ("False", "EvidenceMissing")
    assert passing(sim)["message"] == f"pod {silent} has not told its statistics for 3 minutes"


def test_a_pod_that_never_tells_anything_does_not_keep_the_others_from_being_counted() -> None:
    sim, traffic = gated()
    sim.silent.add(sorted(sim.pods)[1])
    del sim.objects[EVIDENCE]
    sim.look()
    assert EVIDENCE not in sim.objects, "it is waited for"
    sim.tick(20)
    sim.look()
    minutes(sim, traffic, 2)
    record = unpack(sim.objects[EVIDENCE])
    assert record
    assert sum(record.evidence.stable.n) > 100
    assert record.evidence.units.stable == 0, "nobody knows by which weight they came"


def test_evidence_is_written_once_a_minute_and_outlives_the_operator() -> None:
    sim, traffic = gated()
    minutes(sim, traffic, 2)
    before = sim.objects[EVIDENCE]
    sim.asks = frozenset()  # another operator has been asked for nothing yet
    writes = len([each for each in sim.log if "chat-evidence" in each])
    for _ in range(20):
        sim.look()
        sim.tick(1)
    assert sim.objects[EVIDENCE]["binaryData"] == before["binaryData"]
    assert len([each for each in sim.log if "chat-evidence" in each]) == writes
    record = unpack(before)
    assert record
    seen = sum(record.evidence.canary.n)
    minutes(sim, traffic, 1)
    after = unpack(sim.objects[EVIDENCE])
    assert after
    assert sum(after.evidence.canary.n) > seen


def test_evidence_that_somebody_has_broken_begins_anew() -> None:
    sim, traffic = gated()
    minutes(sim, traffic, 2)
    sim.objects[EVIDENCE]["binaryData"] = {"record": "AAAA"}
    sim.look()
    record = unpack(sim.objects[EVIDENCE])
    assert record
    assert not sum(record.evidence.canary.n)


def test_evidence_too_large_to_keep_is_said_and_promotes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    sim, traffic = gated()
    monkeypatch.setattr("llm_operator.core.telemetry.archive.SIZE_MAX", 10)
    minutes(sim, traffic, 1)
    assert passing(sim)["status"] == "False"
    assert sim.deployment["status"]["rollout"]["state"] == "Stepping"


def test_gates_taken_out_of_the_spec_are_not_asked_any_more() -> None:
    sim, traffic = gated()
    minutes(sim, traffic, 1)
    sim.edit(rollout={"config": {"steps": [{"weightPercent": 40, "minDuration": "1h"}]}})
    finish(sim)
    assert EVIDENCE not in sim.objects
    assert not answers(sim)


def test_a_spec_that_cannot_be_read_leaves_the_evidence_as_it_is() -> None:
    sim, traffic = gated()
    minutes(sim, traffic, 1)
    said = answers(sim)
    sim.edit(replicas="many")
    finish(sim)
    assert EVIDENCE in sim.objects
    assert answers(sim) == said
    assert state(sim) == "Stepping"


def test_a_subject_that_brings_most_of_the_load_keeps_its_revision_from_getting_more() -> None:
    sim, traffic = gated(step={"minDuration": "1s", "maxDuration": "1h"})
    minutes(sim, traffic, 2)
    heavy = next(unit for unit in (f"heavy-{number}".encode() for number in range(100)) if traffic.is_tried(unit))
    for _ in range(12):
        for _ in range(2_000):
            traffic.count(heavy)
        minutes(sim, traffic, 1)
    ratio = next(each for each in sim.deployment["status"]["gates"] if each["name"] == "sampleRatio")
    assert (state(sim), ratio["verdict"], ratio["reason"]) == ("Stepping", "Undecided", "LoadShareHigh")


def test_a_rollback_is_not_judged() -> None:
    sim, traffic = gated()
    minutes(sim, traffic, 13)
    finish(sim)
    sim.verb("rollback", "back")
    sim.look()
    assert not sim.asks
    finish(sim)
    assert state(sim) == "Promoted"


OWN: list[dict[str, Any]] = [{"stableTimeToFirstToken": {"marginPercent": 50, "onHarm": "Pause"}}]


def test_what_stable_was_like_before_is_observed_before_the_first_request_is_given() -> None:
    sim, traffic = gated(OWN, {"minDuration": "1h"})
    assert (state(sim), sim.deployment["status"]["rollout"]["reason"]) == ("Preparing", "Observing")
    minutes(sim, traffic, 4)
    assert state(sim) == "Preparing"
    minutes(sim, traffic, 2)
    assert state(sim) == "Stepping"
    traffic.slower_all = 3.0
    minutes(sim, traffic, 12)
    assert (state(sim), answers(sim)["stableTimeToFirstToken"]) == ("Paused", "Harm")


@pytest.mark.covers
def test_without_requests_there_is_nothing_to_observe_and_it_goes_on_after_a_while() -> None:
    sim, traffic = gated(OWN)
    minutes(sim, traffic, 16, requests=0)
    assert state(sim) == "Stepping"
    own = sim.deployment["status"]["gates"][0]
    assert (own["verdict"], own["reason"]) == ("Undecided", "NoBaseline")


def test_every_kind_of_gate_has_its_figures() -> None:
    spec = make_deployment(
        spec=make_spec(
            rollout={
                "config": {"steps": [{"weightPercent": 5}]},
                "gates": [
                    {"errors": {"limitPercent": 2, "ratio": 3, "onHarm": "Pause"}},
                    {"timeToFirstToken": {}},
                    {"timePerOutputToken": {"marginPercent": 20, "harmMarginPercent": 0}},
                    {"promptTokens": {"onHarm": "Pause"}},
                    {"stableTimeToFirstToken": {}},
                ],
            }
        )
    )
    found = gating.asked(LLMDeploymentSpec.model_validate(spec["spec"]).rollout.gates or ())
    assert [vars(each) for each in found] == [
        {"name": "errors", "limit": 0.02, "ratio": 3.0, "on_harm": "Pause"},
        {"name": "timeToFirstToken", "metric": "ttft", "margin": 0.1, "harm_margin": None, "on_harm": "Abort"},
        {"name": "timePerOutputToken", "metric": "tpot", "margin": 0.2, "harm_margin": 0.0, "on_harm": "Abort"},
        {"name": "promptTokens", "metric": "promptTokens", "margin": 0.1, "harm_margin": None, "on_harm": "Pause"},
        {"name": "stableTimeToFirstToken", "metric": "selfTtft", "margin": 0.1, "harm_margin": None, "on_harm": "Abort"},
    ]


# Another engine


def tried() -> tuple[Sim, Traffic]:
    """A deployment whose other engine has its share."""
    rollout = {"engine": {"steps": [{"weightPercent": 40, "minDuration": "2m"}]}, "gates": GATES, "abort": {"keepCanaryFor": "0s"}}
    sim = Sim(deployment=make_deployment(spec=make_spec(replicas=2, rollout=rollout)))
    sim.settle()
    traffic = Traffic(sim)
    sim.edit(model={"source": "s3://models/other"})
    for _ in range(12):
        for name in sim.pods.keys() & sim.tables.keys():
            sim.counters.setdefault(name, Statistics("chat"))
        sim.look()
        sim.tick()
    traffic.serve(0)
    assert state(sim) == "Stepping"
    return sim, traffic


def test_another_engine_is_judged_as_another_prompt_is_and_only_its_own_pod_has_to_get_warm() -> None:
    sim, traffic = tried()
    record = unpack(sim.objects[EVIDENCE])
    assert record is not None
    assert record.evidence.warm_up == gating.WARM_UP_REQUESTS
    minutes(sim, traffic, 12)
    finish(sim)
    finish(sim)
    assert state(sim) == "Promoted"
    assert set(answers(sim).values()) == {"Pass"}


@pytest.mark.covers
def test_another_engine_that_fails_loses_all_requests_and_then_its_pod() -> None:
    sim, traffic = tried()
    old = sim.deployment["status"]["stable"]["engine"]
    traffic.fail_every = 3
    minutes(sim, traffic, 3)
    assert (state(sim), sim.deployment["status"]["rollout"]["reason"]) == ("Aborted", "ErrorsMore")
    finish(sim)
    assert sim.engines() == [old]


def test_a_pod_of_the_other_engine_that_tells_nothing_keeps_it_from_passing() -> None:
    sim, traffic = tried()
    (pod,) = [name for name in sim.pods if sim.deployment["status"]["canary"]["engine"] in name]
    counters = sim.counters
    for _ in range(12):
        traffic.serve(400)
        sim.counters = {name: each for name, each in counters.items() if name != pod}
        sim.tick(60)
        sim.look()
        sim.counters = counters
    assert state(sim) == "Stepping"
    assert pod in passing(sim)["message"]
