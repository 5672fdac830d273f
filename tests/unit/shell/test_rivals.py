"""Other scalers over a cluster in memory: read only where they matter, and what cannot be read is told and keeps nothing up."""

from collections.abc import Callable
from typing import Any

import pytest

from llm_operator.core import kinds
from llm_operator.shell import errors
from llm_operator.shell.ports import Manifest
from tests.fakes.cluster import Call, Fault
from tests.fakes.objects import llm_deployment
from tests.unit.shell.test_reconcile import CHAT, World, world
from tests.unit.shell.test_routes import FOR_EVER, surveyor

__all__ = ["world"]

ABSENT = errors.NotFoundError(404, "NotFound", "the server could not find the requested resource")
DENIED = errors.ForbiddenError(403, "Forbidden", "it is forbidden")


@pytest.fixture
def scaled(world: World) -> World:
    """A world with a deployment that is scaled by its load, whose operator may look for others that scale it."""
    world.reconciler.eye.optional = frozenset(kinds.SCALERS)
    world.cluster.put(llm_deployment(autoscaling={"mode": "BuiltIn", "maxReplicas": 3}))
    return world


def scaler(name: str = "other", target: str = "chat", kind: kinds.Kind = kinds.HORIZONTAL_POD_AUTOSCALER, **reference: Any) -> Manifest:
    to = {"apiVersion": "llmops.dev/v1alpha1", "kind": "LLMDeployment", "name": target, **reference}
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {"name": name, "namespace": "ns"},
        "spec": {"scaleTargetRef": to},
    }


def on_scalers(*kinds_of: str) -> Callable[[Call], bool]:
    return lambda call: call.verb == "list" and call.kind in kinds_of


def lists(world: World) -> int:
    return sum(on_scalers("HorizontalPodAutoscaler", "ScaledObject")(call) for call in world.cluster.calls)


@pytest.mark.parametrize("kind", kinds.SCALERS, ids=lambda each: each.kind)
async def test_one_that_targets_the_same_object_is_told_of_and_its_end_too(scaled: World, kind: kinds.Kind) -> None:
    scaled.cluster.put(scaler(kind=kind))
    await scaled.settle()
    said = scaled.condition("ScalingConflict")
    assert (said["status"], said["reason"]) == ("True", "TargetedByAutoscaler")
    assert said["message"].startswith(f"{kind.kind} other targets this object too")
    assert (await surveyor(scaled).survey("ns")).differ == []
    scaled.cluster.objects.pop((kind.kind, "ns", "other"))
    await scaled.settle(2)
    assert scaled.condition("ScalingConflict")["reason"] == "OneWriter"


@pytest.mark.parametrize(
    "other",
    [{"target": "support"}, {"kind_": "Deployment", "apiVersion": "apps/v1", "target": "chat-production"}],
    ids=["another object", "a Deployment that is called as a child could be"],
)
async def test_one_for_something_else_is_none_of_ours(scaled: World, other: dict[str, str]) -> None:
    reference = {"kind" if name == "kind_" else name: value for name, value in other.items() if name != "target"}
    found = scaler(target=other.get("target", "chat"))
    found["spec"]["scaleTargetRef"] |= reference
    scaled.cluster.put(found)
    await scaled.settle()
    assert scaled.condition("ScalingConflict")["reason"] == "OneWriter"


async def test_one_for_a_deployment_of_the_object_is_a_rival_too(scaled: World) -> None:
    await scaled.settle()
    (child,) = [name for kind, _, name in scaled.cluster.objects if kind == "Deployment"]
    found = scaler()
    found["spec"]["scaleTargetRef"] = {"apiVersion": "apps/v1", "kind": "Deployment", "name": child}
    scaled.cluster.put(found)
    assert [each.name for each in (await surveyor(scaled).survey("ns")).differ] == ["chat"]
    await scaled.settle(2)
    said = scaled.condition("ScalingConflict")
    assert (said["status"], said["reason"]) == ("True", "TargetedByAutoscaler")
    assert said["message"].startswith(f"HorizontalPodAutoscaler other (for Deployment {child}) targets this object too")


async def test_the_next_resync_notices_one_that_has_come(scaled: World) -> None:
    await scaled.settle()
    scaled.cluster.put(scaler())
    assert [each.name for each in (await surveyor(scaled).survey("ns")).differ] == ["chat"]


async def test_nobody_looks_for_others_where_the_load_decides_nothing(world: World) -> None:
    world.reconciler.eye.optional = frozenset(kinds.SCALERS)
    world.cluster.put(llm_deployment(autoscaling={"mode": "Shadow"}))
    await world.settle()
    await surveyor(world).survey("ns")
    assert lists(world) == 0


async def test_a_kind_that_the_cluster_does_not_have_is_no_rival_and_is_not_asked_for_at_each_look(scaled: World) -> None:
    scaled.cluster.faults.append(Fault(ABSENT, on_scalers("ScaledObject"), times=FOR_EVER))
    await scaled.settle()
    assert scaled.condition("ScalingConflict")["message"] == "nobody else sets the number of pods"
    scaled.cluster.calls.clear()
    for _ in range(3):
        await scaled.reconciler(CHAT)
    assert lists(scaled) == 0


async def test_whoever_sets_replicas_has_others_looked_for_at_once(scaled: World) -> None:
    await scaled.settle()
    scaled.cluster.put(scaler())
    scaled.cluster.edit(kinds.LLM_DEPLOYMENT, "chat", lambda live: live["spec"].update(replicas=2))
    scaled.reconciler.inbox.ask(CHAT, kinds.LLM_DEPLOYMENT)
    await scaled.reconciler(CHAT)
    assert scaled.condition("ScalingConflict")["reason"] == "TargetedByAutoscaler"


async def test_what_may_not_be_read_is_said(scaled: World) -> None:
    scaled.cluster.faults.append(Fault(DENIED, on_scalers("HorizontalPodAutoscaler", "ScaledObject"), times=FOR_EVER))
    result = await scaled.settle()
    assert not result.failed
    said = scaled.condition("ScalingConflict")
    assert said["status"] == "False"
    assert said["message"].endswith("no right to list horizontalpodautoscalers.autoscaling and scaledobjects.keda.sh")
    assert (await surveyor(scaled).survey("ns")).differ == []
