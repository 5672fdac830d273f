"""Why a deployment is where it is, what it waits for, and what somebody can do about it. Pure: data in, sentences out."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from llm_operator.cli.follow import OVER, condition, is_current
from llm_operator.core.reasons import QUOTA, Reason

Status = Mapping[str, Any]

UNSEEN = "No operator has looked at it yet. It serves only the namespaces its chart was given: `helm get notes` of its release names them."


@dataclass(frozen=True)
class Explanation:
    """Where it is, why, what it waits for and what to do: sentences, the most important first."""

    state: str
    because: tuple[str, ...] = ()
    waits_for: tuple[str, ...] = ()
    to_do: tuple[str, ...] = ()


def explain(live: Mapping[str, Any]) -> Explanation:
    """Return the explanation of a deployment."""
    status, metadata = live.get("status", {}), live["metadata"]
    if not status:
        return Explanation(UNSEEN)
    state = f"{status.get('phase', 'Pending')} ({status.get('reason', '')}): {status.get('message', '')}"
    waits = (*(() if is_current(live) else ("the operator has not looked at the newest spec yet",)), *_waits(status))
    return Explanation(state, tuple(_because(status)), waits, tuple(_to_do(status, metadata["name"])))


def _because(status: Status) -> Iterator[str]:
    ready = condition(status, "Ready")
    if ready.get("status") == "True":
        yield str(ready["message"])
    rollout = status.get("rollout", {})
    if rollout and rollout["state"] not in OVER:
        share = f"step {rollout['step']}, {rollout['weight']}% of requests"
        yield f"the rollout of revision {rollout['revision']} is {rollout['state']} since {rollout['since']}, {share}: {rollout['message']}"
    for each in status.get("autoscaling", {}).get("lastDecisions", [])[-1:]:
        would = "would ask" if status["autoscaling"]["mode"] == "Shadow" else "asks"
        yield f"autoscaling {would} for {each['replicas']} pods since {each['at']} ({each['reason']}): {each['message']}{_in_pods(each)}"
    counts = ready.get("status") != "True" or "autoscaling" in status
    if counts and (phases := status.get("startup", {}).get("phases")):
        *parts, whole = (f"{each['lastSeconds']} s" for each in phases)
        named = ", ".join(f"{each['name']} {took}" for each, took in zip(phases, parts, strict=False))
        yield f"the last pod took {whole} to start ({named}), the median is {phases[-1]['medianSeconds']} s"
    for each in status.get("abortedRevisions", []):
        if each["revision"] == status.get("latestRevision"):
            yield f"revision {each['revision']} was aborted at {each['at']} ({each['reason']}): {each['message']}"
    for each in status.get("actions", []):
        if each["outcome"] == "Running":
            yield f"{each.get('verb', 'a verb')} {each['id']} is being done: {each['message']}"


def _in_pods(decision: Mapping[str, Any]) -> str:
    """Return what a decision rests on, in pods, where the load was known."""
    need = decision.get("need")
    return f"; in pods: {', '.join(f'{need[each]} for {each}' for each in ('requests', 'prompts', 'backlog'))}" if need else ""


def _waits(status: Status) -> Iterator[str]:
    """Yield what is not as it should be, in the order in which it has to come right."""
    for kind, good in (("Resolved", "True"), ("CapacityAvailable", "True"), ("TableProgrammed", "True"), ("ApprovalRequired", "False")):
        found = condition(status, kind)
        if found and found["status"] != good and not (found["status"] == "Unknown" and kind in {"CapacityAvailable", "TableProgrammed"}):
            yield f"{kind} is {found['status']} ({found['reason']}): {found['message']}"


def _room(told: Mapping[str, Any], status: Status) -> str:
    """Return what makes room where accelerators that are free would not, by why there is none; else nothing."""
    if QUOTA in told["message"]:
        return "raise the quota, or free what it counts"
    if told["reason"] != "BorrowUnsafe":
        return ""
    others = "raise spec.replicas, or set spec.rollout.capacity.mode to Surge or Replace"
    return others if status.get("loan", {}).get("reason") == "OnlyReplica" else f"wait until the load allows it, {others}"


def _one_writer(reason: str) -> str:
    """Return how there is one again who sets the number of pods."""
    if reason == Reason.TARGETED_TOO:
        return "delete the one that targets it, or set spec.replicas to how many pods there are and then spec.autoscaling.mode to Disabled"
    return "leave spec.replicas as it was, or set spec.autoscaling.mode to Shadow and let whoever sets it decide"


def _to_do(status: Status, name: str) -> Iterator[str]:
    rollout, latest = status.get("rollout", {}), status.get("latestRevision")
    if condition(status, "ApprovalRequired").get("status") == "True":
        yield f"kubectl llm approve {name} --revision {latest}, or spec.rollout.approve.revision: {latest}"
    elif rollout.get("state") == "Paused":
        yield f"kubectl llm resume {name}, promote {name} or abort {name}"
    if any(each["revision"] == latest for each in status.get("abortedRevisions", [])):
        yield f"apply another spec, or kubectl llm retry {name} --revision {latest}"
    elif condition(status, "Stalled").get("status") == "True":
        yield "repair what the state names; nothing is tried again until then"
    capacity = condition(status, "CapacityAvailable")
    if rollout.get("state") == "WaitingCapacity":
        yield f"{_room(rollout, status) or 'free or add an accelerator'}, or give the change up: kubectl llm abort {name}"
    elif capacity.get("status") == "False":
        yield _room(capacity, status) or "free or add accelerators, or lower spec.replicas"
    if condition(status, "ScalingConflict").get("status") == "True":
        yield _one_writer(condition(status, "ScalingConflict")["reason"])
    if condition(status, "UpdateAvailable").get("status") == "True":
        yield f"kubectl llm refresh {name} serves what is newer, once; updatePolicy: Rollout does it by itself"
    elif condition(status, "RefreshAvailable").get("status") == "True":
        yield f"kubectl llm refresh {name} makes pods as they would be made now"
