"""What a status says about a revision somebody waits for. Pure: data in, verdict out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llm_operator.cli.exits import Exit

Status = Mapping[str, Any]


@dataclass(frozen=True)
class Verdict:
    """How the wait ends, or with no exit code how it goes; ``message`` is for people."""

    code: Exit | None
    message: str


ANSWERED = {"Done": Exit.REACHED, "Failed": Exit.ABORTED, "Rejected": Exit.REJECTED, "Superseded": Exit.SUPERSEDED}
"""Exit codes of final outcomes."""


def action(status: Status, identity: str) -> Mapping[str, Any] | None:
    """Return the answer to an action, running ones included."""
    return next((each for each in status.get("actions", []) if each["id"] == identity), None)


def condition(status: Status, kind: str) -> Mapping[str, Any]:
    """Return one condition, or an empty one."""
    return next((each for each in status.get("conditions", []) if each["type"] == kind), {})


def reached(status: Status, revision: str) -> Verdict:
    """Return how far a revision has come on its way to serve alone."""
    words = f"{status.get('phase', 'Pending')}: {status.get('message', '')}"
    if status.get("latestRevision") != revision:
        return Verdict(Exit.SUPERSEDED, f"revision {revision} was superseded by {status.get('latestRevision')}")
    if status.get("stable", {}).get("revision") == revision and condition(status, "Ready").get("status") == "True":
        return Verdict(Exit.REACHED, condition(status, "Ready").get("message", words))
    if condition(status, "Stalled").get("status") == "True":
        return Verdict(Exit.ABORTED, words)
    return Verdict(None, words)


def late(status: Status) -> Exit:
    """Return the exit code for running out of time in this status."""
    return Exit.NEEDS_CAPACITY if condition(status, "CapacityAvailable").get("status") == "False" else Exit.TIMED_OUT
