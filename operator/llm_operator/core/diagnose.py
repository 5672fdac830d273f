"""What the pods of one engine are doing, as phase, reason and sentence: only what the objects bear out."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from llm_operator.core import names
from llm_operator.core.kinds import DEPLOYMENT
from llm_operator.core.observed import Obj
from llm_operator.core.podstate import State, blocked, containers, last_crash
from llm_operator.core.reasons import QUOTA, Phase, Reason
from llm_operator.core.world import World, ready

_WORST_FIRST = (
    Phase.CRASHING,
    Phase.PULLING_IMAGE,
    Phase.UNSCHEDULABLE,
    Phase.WAITING_FOR_ACCELERATORS,
    Phase.NOT_READY,
    Phase.FETCHING,
    Phase.STARTING,
    Phase.LOADING,
)
_UNPLACED = frozenset({Phase.UNSCHEDULABLE, Phase.WAITING_FOR_ACCELERATORS})
_NO_MATCH = "node affinity/selector"
"""The scheduler's words for a pod whose node labels no node has; only accelerator profiles set any."""


@dataclass(frozen=True)
class Diagnosis:
    """One engine: how many pods it has, how many are ready, and what the others are at.

    ``refused`` says why one of those that are asked for cannot be created.
    """

    phase: Phase
    reason: str
    message: str
    pods: int
    ready: int
    unschedulable: str
    overdue: bool
    refused: str = ""

    @property
    def roomless(self) -> tuple[str, str] | None:
        """Return the reason and the sentence of a pod without room; None where there is room, whatever else a pod lacks."""
        if self.unschedulable:
            return Reason.UNSCHEDULABLE, self.unschedulable
        return (Reason.FAILED_CREATE, self.refused) if QUOTA in self.refused else None


NOTHING = Diagnosis(Phase.PENDING, Reason.STARTING, "nothing is there yet", pods=0, ready=0, unschedulable="", overdue=False)
"""Before there is any engine."""


def diagnose(world: World, engine: str, replicas: int) -> Diagnosis:
    """Return what the pods of an engine are doing."""
    pods = world.pods_of(engine)
    states = [(pod, _state(world, pod)) for pod in pods if not ready(pod)]
    count = len(pods) - len(states)
    stuck = _unschedulable([(pod, state) for pod, state in states if state.phase in _UNPLACED])
    refused = f"pods cannot be created: {words}" if len(pods) < replicas and (words := _failure(world, engine)) else ""
    state = _overall(replicas, len(pods), states, stuck, refused)
    overdue = count < replicas and _overdue(world, engine)
    return Diagnosis(state.phase, state.reason, state.message, len(pods), count, stuck, overdue, refused)


def _overall(replicas: int, pods: int, states: list[tuple[Obj, State]], stuck: str, refused: str) -> State:
    told = f"{pods - len(states)} of {replicas} pods ready"
    if not pods:
        return _without_pods(replicas, refused)
    if not states and pods >= replicas:
        return State(Phase.READY, Reason.READY, told)
    if not states:
        reason, words = (Reason.FAILED_CREATE, refused) if refused else (Reason.CREATING_PODS, "more are being created")
        return State(Phase.PENDING, reason, f"{told}; {words}")
    pod, state = min(states, key=lambda pair: _WORST_FIRST.index(pair[1].phase))
    words = stuck if state.phase in _UNPLACED else f"pod {pod['metadata']['name']}: {state.message}"
    return State(state.phase, state.reason, "; ".join(filter(None, (told, words, refused))))


def _without_pods(replicas: int, refused: str) -> State:
    if replicas == 0:
        return State(Phase.SCALED_TO_ZERO, Reason.SCALED_TO_ZERO, "no replicas are asked for")
    if refused:
        return State(Phase.PENDING, Reason.FAILED_CREATE, refused)
    return State(Phase.PENDING, Reason.CREATING_PODS, f"0 of {replicas} pods ready; they are being created")


def _failure(world: World, engine: str) -> str:
    """Return why the last pod of an engine could not be created, in the words of who refused it, or nothing."""
    failure = _condition(world, engine, "ReplicaFailure", "True")
    return str(failure.get("message") or "nobody says why") if failure is not None else ""


def refused_since(world: World, engine: str) -> str | None:
    """Return since when a pod of an engine cannot be created, as by a quota; None where none is refused."""
    failure = _condition(world, engine, "ReplicaFailure", "True")
    return failure.get("lastTransitionTime") if failure is not None else None


def _state(world: World, pod: Obj) -> State:
    """Return what a pod that is not ready is at."""
    state = blocked(pod)
    if state is not None:
        return _capacity(pod, state) if state.phase == Phase.WAITING_FOR_ACCELERATORS else state
    statuses = {each["name"]: each.get("state", {}) for each in containers(pod)}
    if "running" in statuses.get("fetch", {}):
        return State(Phase.FETCHING, Reason.FETCHING, _again(pod, "the weights are being fetched"))
    if "running" in statuses.get("engine", {}):
        return _not_ready(world, pod)
    waiting: dict[str, Any] = next((each["waiting"] for each in statuses.values() if "waiting" in each), {})
    return State(
        Phase.STARTING, waiting.get("reason") or Reason.SCHEDULED, "images are being pulled, volumes mounted and containers started"
    )


def _not_ready(world: World, pod: Obj) -> State:
    """Return what a running engine is at: a pod whose readiness ended after its engine had started was ready in between."""
    report = world.report(pod)
    if report is None:
        words = "its sidecar does not answer"
    elif report.ready:
        words = "its sidecar is ready, and the kubelet has not asked it yet"
    else:
        words = ": ".join(filter(None, (report.reason, report.error))) or "loading"
    started = next((each["state"]["running"].get("startedAt", "") for each in containers(pod) if each["name"] == "engine"), "")
    turned = next((each.get("lastTransitionTime", "") for each in pod["status"].get("conditions", []) if each["type"] == "Ready"), "")
    if started and turned > started:
        return State(Phase.NOT_READY, Reason.NOT_READY, f"the engine was ready and is not any more: {words}")
    return State(Phase.LOADING, Reason.LOADING, _again(pod, f"the engine is not ready: {words}"))


def _again(pod: Obj, words: str) -> str:
    """Return what a container is at, with how it had ended before where it runs again: why it will end once more, most likely."""
    crash = last_crash(pod)
    return f"{words}; before that, {crash}" if crash else words


def _capacity(pod: Obj, state: State) -> State:
    """Tell a lack of accelerators from a lack of anything else."""
    resource, _ = accelerators(pod)
    if resource and (resource in state.message or _NO_MATCH in state.message):
        return state
    return State(Phase.UNSCHEDULABLE, state.reason, state.message)


def _unschedulable(states: list[tuple[Obj, State]]) -> str:
    """Return how much is missing, and what the scheduler says of it."""
    if not states:
        return ""
    pod, state = states[0]
    resource, each = accelerators(pod)
    missing = f"{each * len(states)} more {resource}" if resource and state.phase == Phase.WAITING_FOR_ACCELERATORS else "a node with room"
    return f"{len(states)} {'pod waits' if len(states) == 1 else 'pods wait'} for {missing}: {state.message}"


def accelerators(pod: Obj) -> tuple[str, int]:
    """Return the accelerator resource an engine pod asks for and how many, or nothing and 0."""
    for container in pod.get("spec", {}).get("containers", []):
        for name, amount in container.get("resources", {}).get("limits", {}).items():
            if "/" in name:
                return name, int(amount)
    return "", 0


class Lack(NamedTuple):
    """An accelerator that a pod does not get, and why: for want of a node, or because a quota refuses the pod."""

    resource: str
    message: str
    quota: bool


def starved(world: World, engine: str) -> Lack | None:
    """Return what a pod of an engine lacks; None where all have their accelerators."""
    pods = [(pod, state) for pod in world.pods_of(engine) if (state := blocked(pod)) is not None]
    stuck = [(pod, found) for pod, state in pods if (found := _capacity(pod, state)).phase == Phase.WAITING_FOR_ACCELERATORS]
    if stuck:
        return Lack(accelerators(stuck[0][0])[0], _unschedulable(stuck), quota=False)
    live, words = world.live(DEPLOYMENT, names.child(world.owner.name, engine)), _failure(world, engine)
    resource = accelerators(live["spec"]["template"])[0] if live else ""
    refused = resource and QUOTA in words and resource in words
    return Lack(resource, f"a pod cannot be created: {words}", quota=True) if refused else None


def _overdue(world: World, engine: str) -> bool:
    condition = _condition(world, engine, "Progressing", "False")
    return condition is not None and condition.get("reason") == "ProgressDeadlineExceeded"


def _condition(world: World, engine: str, kind: str, status: str) -> dict[str, Any] | None:
    live = world.live(DEPLOYMENT, names.child(world.owner.name, engine)) or {}
    conditions = live.get("status", {}).get("conditions", [])
    return next((each for each in conditions if each["type"] == kind and each["status"] == status), None)
