"""`kubectl llm explain` and `history`: why it is there, what it waits for, what can be done."""

from collections.abc import Callable
from typing import Any

import pytest

from llm_operator.cli.explain import explain
from tests.unit.cli.conftest import NEW, OLD, FakeKube, Object, Result, ready
from tests.unit.cli.test_verbs import conditions, rollout

Run = Callable[..., Result]


def found(**status: Any) -> Object:
    return {"metadata": {"name": "chat", "generation": 1}, "status": ready(OLD, latestRevision=NEW, **status)}


def test_one_that_is_well_has_a_reason_and_nothing_to_do() -> None:
    explained = explain({"metadata": {"name": "chat", "generation": 1}, "status": ready(OLD)})
    assert explained.because == (f"revision {OLD} serves from 1 pod",)
    assert (explained.waits_for, explained.to_do) == ((), ())


def test_how_long_pods_take_to_start_is_told_by_its_parts() -> None:
    took = {"Scheduled": 1, "Fetched": 20, "Image": 4, "Weights": 35, "Ready": 60}
    phases = [{"name": name, "lastSeconds": seconds, "medianSeconds": seconds + 5} for name, seconds in took.items()]
    words = "the last pod took 60 s to start (Scheduled 1 s, Fetched 20 s, Image 4 s, Weights 35 s), the median is 65 s"
    waits = found(startup={"phases": phases}, conditions=conditions(Ready="False"))
    scales = found(startup={"phases": phases}, autoscaling={"mode": "BuiltIn"})
    assert [words in explain(live).because for live in (waits, scales)] == [True, True]
    assert words not in explain(found(startup={"phases": phases})).because, "nobody waits, and nothing depends on it"


def test_a_newer_spec_is_waited_for_first() -> None:
    live = found(conditions=conditions(Resolved="Unknown", TableProgrammed="False"))
    live["metadata"]["generation"] = 2
    first, *rest = explain(live).waits_for
    assert "newest spec" in first
    assert [words.partition(" is ")[0] for words in rest] == ["Resolved", "TableProgrammed"]


@pytest.mark.parametrize(
    ("status", "because", "to_do"),
    [
        (
            {"rollout": rollout("Stepping"), "conditions": conditions(ApprovalRequired="True")},
            f"the rollout of revision {NEW} is Stepping since 2026-11-22T12:00:00Z, step 1, 5% of requests: it is Stepping",
            f"kubectl llm approve chat --revision {NEW}, or spec.rollout.approve.revision: {NEW}",
        ),
        ({"rollout": rollout("Paused")}, f"the rollout of revision {NEW} is Paused", "kubectl llm resume chat, promote chat or abort chat"),
        (
            {
                "rollout": rollout("Aborted"),
                "abortedRevisions": [{"revision": NEW, "reason": "Harm", "message": "too slow", "at": "then"}],
                "conditions": conditions(Stalled="True"),
            },
            f"revision {NEW} was aborted at then (Harm): too slow",
            f"apply another spec, or kubectl llm retry chat --revision {NEW}",
        ),
        ({"conditions": conditions(Stalled="True")}, "Ready is True", "repair what the state names"),
        (
            {"rollout": rollout("WaitingCapacity"), "conditions": conditions(CapacityAvailable="False")},
            f"the rollout of revision {NEW} is WaitingCapacity",
            "free or add an accelerator, or give the change up: kubectl llm abort chat",
        ),
        ({"conditions": conditions(CapacityAvailable="False")}, "Ready is True", "free or add accelerators"),
        ({"conditions": conditions(RefreshAvailable="True")}, "Ready is True", "kubectl llm refresh chat makes pods as they"),
        ({"conditions": conditions(RefreshAvailable="True", UpdateAvailable="True")}, "Ready is True", "kubectl llm refresh chat serves"),
        (
            {"actions": [{"id": "gh-1", "verb": "refresh", "outcome": "Running", "message": "asking"}], "conditions": []},
            "refresh gh-1 is being done: asking",
            "",
        ),
    ],
)
def test_each_state_says_why_and_what_to_do(status: Object, because: str, to_do: str) -> None:
    explained = explain(found(**status))
    assert any(words.startswith(because) for words in explained.because), explained.because
    assert [words[: len(to_do)] for words in explained.to_do] == [to_do] * bool(to_do)


QUOTA = "raise the quota, or free what it counts"
OTHERS = "raise spec.replicas, or set spec.rollout.capacity.mode to Surge or Replace"


@pytest.mark.parametrize(
    ("why", "loan", "to_do"),
    [
        ({"reason": "BorrowUnsafe", "message": "285 requests are there"}, "LoadHigh", f"wait until the load allows it, {OTHERS}"),
        ({"reason": "BorrowUnsafe", "message": "the only replica cannot be lent"}, "OnlyReplica", OTHERS),
        ({"reason": "FailedCreate", "message": "exceeded quota: gpus"}, "", QUOTA),
        (
            {"reason": "CanaryPreempted", "message": "stable comes first: exceeded quota: gpus"},
            "",
            QUOTA,
        ),
    ],
)
def test_what_makes_room_depends_on_why_there_is_none(why: Object, loan: str, to_do: str) -> None:
    lent: Object = {"loan": {"lent": False, "reason": loan}} if loan else {}
    waits = explain(found(rollout=rollout("WaitingCapacity", **why), **lent))
    assert waits.to_do == (f"{to_do}, or give the change up: kubectl llm abort chat",)
    capacity = {"type": "CapacityAvailable", "status": "False", **why}
    assert explain(found(rollout=rollout("Ratcheting"), conditions=[capacity], **lent)).to_do == (to_do,)


def test_the_explanation_is_a_tree_or_an_object(kube: FakeKube, run: Run) -> None:
    kube.live["status"] = found(rollout=rollout("Paused"))["status"]
    shown = run("explain", "chat")
    assert shown.code == 0
    assert "to do" in shown.out
    assert "waits for" not in shown.out
    told = run("explain", "chat", "-o", "json").json
    assert set(told) == {"state", "because", "waitsFor", "toDo"}


def test_one_that_nobody_has_looked_at_is_said_to_be_one(kube: FakeKube, run: Run) -> None:
    del kube.live["status"]
    assert "No operator has looked at it yet" in run("explain", "chat").out


def test_the_history_is_shown_line_by_line(kube: FakeKube, run: Run) -> None:
    assert "no rollout by steps" in run("history", "chat").out
    line = {name: rollout("Stepping")[name] for name in ("revision", "state", "step", "weight", "reason", "message")}
    kube.live["status"]["history"] = [{"at": "2026-11-22T12:00:00Z", **line}]
    assert f"{NEW}  Stepping" in run("history", "chat").out
    assert run("history", "chat", "-o", "json").json == {"history": kube.live["status"]["history"]}


def test_what_autoscaling_does_is_told_and_what_it_would_do() -> None:
    last = {"at": "2026-11-22T12:00:00Z", "replicas": 4, "reason": "LoadGrew", "message": "4 are needed, 2 are there or coming"}
    words = "for 4 pods since 2026-11-22T12:00:00Z (LoadGrew): 4 are needed, 2 are there or coming"
    for mode, does in (("BuiltIn", "asks"), ("Shadow", "would ask")):
        status = {"phase": "Ready", "autoscaling": {"mode": mode, "replicas": 4, "lastDecisions": [last]}}
        found = explain({"metadata": {"name": "chat", "generation": 1}, "status": status})
        assert f"autoscaling {does} {words}" in found.because
        last |= {"need": {"requests": "3.10", "prompts": "1.20", "backlog": "0.40"}}
        told = explain({"metadata": {"name": "chat", "generation": 1}, "status": status})
        assert f"autoscaling {does} {words}; in pods: 3.10 for requests, 1.20 for prompts, 0.40 for backlog" in told.because
        del last["need"]


def test_two_who_set_the_number_of_pods_are_told_what_to_do() -> None:
    conflict = {"type": "ScalingConflict", "status": "True", "reason": "ReplicasChanged", "message": "spec.replicas was set"}
    found = explain({"metadata": {"name": "chat", "generation": 1}, "status": {"phase": "Ready", "conditions": [conflict]}})
    assert found.to_do == ("leave spec.replicas as it was, or set spec.autoscaling.mode to Shadow and let whoever sets it decide",)
    conflict["reason"] = "TargetedByAutoscaler"
    found = explain({"metadata": {"name": "chat", "generation": 1}, "status": {"phase": "Ready", "conditions": [conflict]}})
    assert found.to_do == (
        "delete the one that targets it, or set spec.replicas to how many pods there are and then spec.autoscaling.mode to Disabled",
    )
