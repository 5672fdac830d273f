"""A bundle that needs a newer schema than a sidecar knows: what is a Config change otherwise becomes an Engine change."""

from typing import Any

import pytest

from llm_sidecar import bundle
from tests.unit.core.builders import SOURCE, make_config
from tests.unit.core.sim import Sim

OLD, NEW = "example.org/llm-sidecar:1", "example.org/llm-sidecar:2"
NEWER = make_config(images={"sidecar": NEW, "fetcher": "example.org/llm-fetcher:2"})


@pytest.fixture(autouse=True)
def second_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue limit 7 came with schema 2."""
    monkeypatch.setattr(bundle, "SCHEMA_VERSION", 2)
    monkeypatch.setattr(bundle, "SINCE", ((2, lambda each: each.limits.queue == 7),))


def serving() -> Sim:
    sim = Sim(schemas={NEW: 2})
    sim.settle()
    return sim


def condition(sim: Sim, kind: str) -> dict[str, Any]:
    return next(each for each in sim.deployment["status"]["conditions"] if each["type"] == kind)


def test_an_upgraded_operator_gives_an_old_bundle_its_old_revision() -> None:
    sim = serving()
    before = sim.deployment["status"]["stable"]
    sim.config = NEWER
    sim.settle()
    assert sim.deployment["status"]["stable"] == before


def test_a_bundle_an_old_sidecar_cannot_run_gets_a_new_engine_and_the_pod_is_named() -> None:
    sim = serving()
    (old,), (pod,) = sim.engines(), sim.pods
    sim.config = NEWER
    sim.edit(limits={"queue": 7})
    sim.look()
    assert sim.deployment["status"]["canary"]["diffClass"] == "Engine"
    progressing = condition(sim, "Progressing")
    assert progressing["reason"] == "SidecarTooOld"
    assert f"bundle schema 2 is needed, and the sidecar of pod {pod} knows only 1" in progressing["message"]
    sim.settle()
    (new,) = sim.engines()
    assert new != old
    assert condition(sim, "Progressing")["reason"] == "Complete"


def test_the_new_engine_stays_the_one_of_the_spec_once_the_bundle_needs_less() -> None:
    sim = serving()
    sim.config = NEWER
    sim.edit(limits={"queue": 7})
    sim.settle()
    engines = sim.engines()
    sim.edit(limits={"queue": 3})
    sim.settle()
    assert sim.engines() == engines


@pytest.mark.covers
def test_while_it_stops_a_spec_nobody_asks_what_the_source_holds() -> None:
    sim = serving()
    sim.edit(limits={"queue": 7}, model={"source": SOURCE, "updatePolicy": "Notify"})
    sim.look()
    sim.tick(7 * 3600)
    sim.log.clear()
    assert sim.settle().next_look_s is None
    assert sim.log == []


def test_when_a_new_pod_would_know_no_more_it_is_said_and_what_serves_goes_on() -> None:
    sim = serving()
    engines = sim.engines()
    sim.edit(limits={"queue": 7})
    sim.settle()
    stalled = condition(sim, "Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "SidecarTooOld")
    assert f"upgrade the sidecar image {OLD}" in stalled["message"]
    assert condition(sim, "Ready")["status"] == "True"
    assert sim.engines() == engines
    sim.config = NEWER
    sim.settle()
    assert condition(sim, "Stalled")["status"] == "False"
