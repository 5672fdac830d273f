"""What Argo CD shows of an LLMDeployment and offers for it: the Lua of the example, run as Argo CD runs it."""

import json
from pathlib import Path
from typing import Any

import lupa
import pytest
import yaml

Object = dict[str, Any]

DATA = yaml.safe_load((Path(__file__).resolve().parents[3] / "examples/gitops/argocd-cm.yaml").read_text())["data"]
HEALTH = DATA["resource.customizations.health.llmops.dev_LLMDeployment"]
ACTIONS = yaml.safe_load(DATA["resource.customizations.actions.llmops.dev_LLMDeployment"])
VERBS = {each["name"]: each["action.lua"] for each in ACTIONS["definitions"]}
REVISION = "bbbbbbbbbb"


def lua(code: str, live: Object) -> Object:
    """Run a script that is given an object as ``obj``."""
    runtime = lupa.LuaRuntime()
    runtime.globals().obj = runtime.table_from(live, recursive=True)
    return dict(_plain(runtime.execute(code)))


def _plain(value: Any) -> Any:
    return {key: _plain(item) for key, item in value.items()} if lupa.lua_type(value) == "table" else value


def live(phase: str = "Ready", *, rollout: str = "", generation: int = 1, **statuses: str) -> Object:
    conditions = [{"type": kind, "status": status} for kind, status in {"Ready": "True", **statuses}.items()]
    status: Object = {"phase": phase, "message": "words", "observedGeneration": 1, "latestRevision": REVISION, "conditions": conditions}
    if rollout:
        status["rollout"] = {"state": rollout, "revision": REVISION}
    return {"metadata": {"name": "chat", "generation": generation}, "status": status}


@pytest.mark.parametrize(
    ("found", "health"),
    [
        (live(), "Healthy"),
        (live("ScaledToZero", Ready="False"), "Healthy"),
        (live("Loading", Ready="False"), "Progressing"),
        (live("Updating", Reconciling="True"), "Progressing"),
        (live("Paused"), "Suspended"),
        (live("Stalled", Stalled="True"), "Degraded"),
        (live(generation=2, Stalled="True"), "Progressing"),
        ({"metadata": {"name": "chat", "generation": 1}}, "Progressing"),
    ],
)
def test_the_health_is_that_of_what_is_asked_for_now(found: Object, health: str) -> None:
    assert lua(HEALTH, found)["status"] == health


@pytest.mark.parametrize(
    ("found", "offered"),
    [
        (live(), {"refresh"}),
        (live(rollout="Preparing"), {"pause", "abort", "refresh"}),
        (live(rollout="WaitingCapacity"), {"pause", "abort", "refresh"}),
        (live(rollout="Warming"), {"pause", "abort", "refresh"}),
        (live(rollout="Stepping"), {"promote", "pause", "abort", "refresh"}),
        (live("Paused", rollout="Stepping", ApprovalRequired="True"), {"approve", "promote", "pause", "abort", "refresh"}),
        (live("Paused", rollout="Paused"), {"promote", "resume", "abort", "refresh"}),
        (live(rollout="Ratcheting"), {"abort", "refresh"}),
        (live(rollout="Finalising"), {"abort", "refresh"}),
        (live(rollout="Promoted"), {"rollback", "refresh"}),
        ({"metadata": {"name": "chat"}}, set()),
    ],
)
def test_a_verb_is_offered_while_it_fits(found: Object, offered: set[str]) -> None:
    actions = lua(ACTIONS["discovery.lua"], found)
    assert actions.keys() == VERBS.keys()
    assert {name for name, each in actions.items() if not each["disabled"]} == offered


def test_an_aborted_revision_may_be_tried_again() -> None:
    found = live("Stalled", rollout="Aborted", Stalled="True")
    found["status"]["abortedRevisions"] = [{"revision": REVISION}]
    assert not lua(ACTIONS["discovery.lua"], found)["retry"]["disabled"]


@pytest.mark.parametrize("verb", VERBS)
def test_an_action_asks_for_its_verb_and_changes_nothing_else(verb: str) -> None:
    before = live()
    after = lua(VERBS[verb], before)
    asked = json.loads(after["metadata"].pop("annotations")["llmops.dev/action"])
    assert (asked["verb"], asked["revision"]) == (verb, REVISION)
    assert after["metadata"] == before["metadata"]
