"""What an LLMDeployment says about a revision somebody waits for. Pure: data in, verdict out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from llm_operator.cli.exits import Exit

Status = Mapping[str, Any]


@dataclass(frozen=True)
class Verdict:
    """How the wait ends, or with no exit code how it goes; ``message`` is for people."""

    code: Exit | None
    message: str


Goal = Callable[[Mapping[str, Any], str], Verdict]
"""From an LLMDeployment and a revision to how far that has come."""

OVER = frozenset({"Promoted", "Aborted", "Superseded"})
"""States in which a rollout has ended, as core has them: what core imports takes too long for a command to start."""

ANSWERED = {"Done": Exit.REACHED, "Failed": Exit.ABORTED, "Rejected": Exit.REJECTED, "Superseded": Exit.SUPERSEDED}
"""Exit codes of final outcomes."""


def action(status: Status, identity: str) -> Mapping[str, Any] | None:
    """Return the answer to an action, running ones included."""
    return next((each for each in status.get("actions", []) if each["id"] == identity), None)


def condition(status: Status, kind: str) -> Mapping[str, Any]:
    """Return one condition, or an empty one."""
    return next((each for each in status.get("conditions", []) if each["type"] == kind), {})


def is_current(live: Mapping[str, Any]) -> bool:
    """Return whether the status is about the spec as it is now."""
    return bool(live.get("status", {}).get("observedGeneration") == live["metadata"].get("generation"))


def resolved(live: Mapping[str, Any], _revision: str) -> Verdict:
    """Return whether it is known which revision the spec of now is."""
    status = live.get("status", {})
    words = _words(status)
    if not is_current(live):
        return Verdict(None, "the operator has not looked at this spec yet")
    if condition(status, "Resolved").get("status") == "True":
        return Verdict(Exit.REACHED, str(status["latestRevision"]))
    return Verdict(Exit.ABORTED if _is(status, "Stalled") else None, words)


def promoted(live: Mapping[str, Any], revision: str) -> Verdict:
    """Return how far a revision has come on its way to be stable."""
    status = live.get("status", {})
    if status.get("stable", {}).get("revision") == revision and _is(status, "Ready") and not _rolls(status, revision):
        return Verdict(Exit.REACHED, str(condition(status, "Ready").get("message", _words(status))))
    rollout = status.get("rollout", {})
    if rollout.get("revision") == revision and rollout.get("state") == "Aborted":
        return Verdict(Exit.ABORTED, f"revision {revision} was aborted: {rollout['message']}")
    if status.get("latestRevision") != revision:
        return Verdict(Exit.SUPERSEDED, f"revision {revision} was superseded by {status.get('latestRevision')}")
    if _is(status, "Stalled"):
        return Verdict(Exit.ABORTED, _words(status))
    if _is(status, "ApprovalRequired"):
        return Verdict(Exit.NEEDS_APPROVAL, str(condition(status, "ApprovalRequired")["message"]))
    return Verdict(None, _words(status))


def withdrawn(live: Mapping[str, Any], revision: str) -> Verdict:
    """Return whether a revision that was aborted has lost its requests on every pod."""
    status = live.get("status", {})
    if _rolls(status, revision) or not _is(status, "TableProgrammed"):
        return Verdict(None, _words(status))
    return Verdict(Exit.REACHED, f"no pod gives a request to revision {revision}")


def rolled_back(live: Mapping[str, Any], revision: str) -> Verdict:
    """Return how far the way back from a revision has come."""
    status = live.get("status", {})
    rollout, stable = status.get("rollout", {}), status.get("stable", {}).get("revision")
    if stable != revision and not _rolls(status, str(rollout.get("revision"))):
        return Verdict(Exit.REACHED, f"revision {stable} is stable instead of {revision}")
    if status.get("latestRevision") != revision:
        return Verdict(Exit.SUPERSEDED, f"the way back from {revision} was superseded by {status.get('latestRevision')}")
    if rollout.get("state") == "Aborted":
        return Verdict(Exit.ABORTED, f"revision {revision} stays: {rollout['message']}")
    return Verdict(None, _words(status))


def late(status: Status) -> Exit:
    """Return the exit code for running out of time in this status."""
    if condition(status, "CapacityAvailable").get("status") == "False":
        return Exit.NEEDS_CAPACITY
    return Exit.NEEDS_APPROVAL if _is(status, "ApprovalRequired") or status.get("phase") == "Paused" else Exit.TIMED_OUT


def _is(status: Status, kind: str) -> bool:
    return condition(status, kind).get("status") == "True"


def _rolls(status: Status, revision: str) -> bool:
    """Return whether a rollout of a revision goes on."""
    rollout = status.get("rollout", {})
    return rollout.get("revision") == revision and rollout.get("state") not in {*OVER, None}


def _words(status: Status) -> str:
    return f"{status.get('phase', 'Pending')}: {status.get('message', '')}"
