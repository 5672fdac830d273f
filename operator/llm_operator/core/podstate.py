"""What one pod is doing or stuck at, from its status alone."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from llm_operator.core.observed import Obj
from llm_operator.core.reasons import Phase, Reason

_CONFIG = frozenset({"CreateContainerConfigError", "CreateContainerError", "InvalidImageName", "RunContainerError"})
_PULL = frozenset({"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "ImageInspectError", "RegistryUnavailable"})
_NEVER_END = frozenset({"engine", "sidecar"})
_LAST_LINE_MAX = 300


@dataclass(frozen=True)
class State:
    """What a pod is at: the phase it puts the deployment in, a reason for machines and a sentence."""

    phase: Phase
    reason: str
    message: str


def blocked(pod: Obj) -> State | None:
    """Return what keeps a pod from running that will not go by waiting a moment, or None."""
    for check in (_unschedulable, _crashed, _waiting):
        state = check(pod)
        if state is not None:
            return state
    return None


def _unschedulable(pod: Obj) -> State | None:
    conditions = pod.get("status", {}).get("conditions", [])
    told = next((each for each in conditions if each["type"] == "PodScheduled" and each["status"] == "False"), None)
    if told is None:
        return None
    return State(
        Phase.WAITING_FOR_ACCELERATORS,
        told.get("reason") or Reason.UNSCHEDULABLE,
        told.get("message") or "the scheduler has found no node yet",
    )


def _crashed(pod: Obj) -> State | None:
    for status in containers(pod):
        state, last = status.get("state", {}), status.get("lastState", {})
        ended = _failed(status, state) or (_failed(status, last) if "waiting" in state else None)
        if ended is not None:
            return State(Phase.CRASHING, ended.get("reason") or "Error", _end_of(status["name"], ended, status.get("restartCount", 0)))
    return None


def _waiting(pod: Obj) -> State | None:
    for status in containers(pod):
        waiting = status.get("state", {}).get("waiting")
        reason = waiting.get("reason", "") if waiting else ""
        words = (waiting or {}).get("message") or ""
        if reason in _PULL:
            return State(
                Phase.PULLING_IMAGE, reason, f"image {status.get('image', '')} of container {status['name']} cannot be pulled: {words}"
            )
        if reason in _CONFIG:
            return State(Phase.CRASHING, reason, f"container {status['name']} cannot be created: {words}")
    return None


def containers(pod: Obj) -> Iterator[dict[str, Any]]:
    """Yield the statuses of a pod's containers in the order they start."""
    status = pod.get("status", {})
    yield from status.get("initContainerStatuses", [])
    yield from status.get("containerStatuses", [])


def _failed(status: dict[str, Any], state: dict[str, Any]) -> dict[str, Any] | None:
    """Return how a container ended that should not have: an engine that loses its core exits with 0, and so may an init container."""
    ended: dict[str, Any] | None = state.get("terminated")
    return ended if ended and (ended.get("exitCode") != 0 or status["name"] in _NEVER_END) else None


def _end_of(name: str, ended: dict[str, Any], restarts: int) -> str:
    again = f", {restarts} {'restart' if restarts == 1 else 'restarts'}" if restarts else ""
    line = last_line(ended.get("message") or "")
    words = f"; its last line: {line}" if line else ""
    return f"container {name} ended with exit code {ended.get('exitCode')} ({ended.get('reason') or 'Error'}){again}{words}"


def restarts(pod: Obj) -> int:
    """Return how often the engine of a pod has been started again."""
    return max((int(each.get("restartCount", 0)) for each in containers(pod) if each["name"] == "engine"), default=0)


def last_line(text: str) -> str:
    """Return the last line of a log that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][-_LAST_LINE_MAX:] if lines else ""


def last_crash(pod: Obj) -> str:
    """Return how a container that runs again ended before, or nothing."""
    for status in containers(pod):
        ended = _failed(status, status.get("lastState", {}))
        if ended is not None:
            return _end_of(status["name"], ended, status.get("restartCount", 0))
    return ""
