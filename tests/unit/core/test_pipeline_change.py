"""A pipeline is part of the bundle: a change of it is served by the pods that are there, unless their sidecar is too old for it."""

from tests.unit.core.builders import make_config
from tests.unit.core.sim import Sim

OLD, NEW = "example.org/llm-sidecar:1", "example.org/llm-sidecar:2"
TRIM = {"request": [{"stage": "trim"}]}


def test_stages_come_and_go_without_a_new_pod() -> None:
    sim = Sim(schemas={OLD: 2})
    sim.settle()
    pods, revisions = set(sim.pods), {sim.deployment["status"]["stable"]["revision"]}
    for pipeline in (TRIM, {"response": [{"stage": "pii", "entities": ["email"]}]}, {}):
        sim.edit(pipeline=pipeline)
        sim.settle()
        revisions.add(sim.deployment["status"]["stable"]["revision"])
    assert set(sim.pods) == pods
    assert len(revisions) == 3, "without stages it is the revision it was"


def test_a_sidecar_that_knows_no_stages_is_replaced_by_one_that_does() -> None:
    sim = Sim(schemas={OLD: 1, NEW: 2})
    sim.settle()
    (old,) = sim.engines()
    sim.config = make_config(images={"sidecar": NEW, "fetcher": "example.org/llm-fetcher:2"})
    sim.edit(pipeline=TRIM)
    sim.settle()
    (new,) = sim.engines()
    assert new != old


def test_keys_are_asked_for_and_not_without_a_new_pod() -> None:
    sim = Sim(schemas={OLD: 3})
    sim.settle()
    pods, revision = set(sim.pods), sim.deployment["status"]["stable"]["revision"]
    sim.edit(auth={"apiKeys": "Required"})
    sim.settle()
    assert sim.deployment["status"]["stable"]["revision"] != revision
    sim.edit(auth={"apiKeys": "Disabled"})
    sim.settle()
    assert sim.deployment["status"]["stable"]["revision"] == revision
    assert set(sim.pods) == pods


def test_a_pipeline_that_cannot_work_leaves_what_serves_alone() -> None:
    sim = Sim(schemas={OLD: 2})
    sim.settle()
    before = sim.deployment["status"]["stable"]
    sim.edit(pipeline={"request": [{"stage": "blocklist", "patterns": [{"name": "a", "re2": "("}]}]})
    sim.settle()
    assert sim.deployment["status"]["stable"] == before
    stalled = next(each for each in sim.deployment["status"]["conditions"] if each["type"] == "Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "PipelineInvalid")
    assert "spec.pipeline.request[0].patterns[0].re2" in stalled["message"]
