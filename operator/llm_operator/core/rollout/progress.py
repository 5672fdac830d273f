"""Where a rollout stands: what status keeps of it, and what is remembered of those before."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from llm_operator.core.canonical import identity
from llm_operator.core.clock import seconds_since, stamp
from llm_operator.core.reasons import Reason

KEPT = 10
"""Aborted revisions that status keeps."""


class State(StrEnum):
    """What a rollout is doing; the last three are ends."""

    PREPARING = "Preparing"
    WAITING_CAPACITY = "WaitingCapacity"
    WARMING = "Warming"
    STEPPING = "Stepping"
    PAUSED = "Paused"
    RATCHETING = "Ratcheting"
    FINALISING = "Finalising"
    PROMOTED = "Promoted"
    ABORTED = "Aborted"
    SUPERSEDED = "Superseded"


ENDS = frozenset({State.PROMOTED, State.ABORTED, State.SUPERSEDED})
COMING = frozenset({State.PREPARING, State.WAITING_CAPACITY, State.WARMING})
"""States without a request."""
TRYING = frozenset({State.STEPPING, State.PAUSED})
"""States in which it is at a step."""
THROUGH = frozenset({State.RATCHETING, State.FINALISING, State.PROMOTED})
"""States in which every request is meant for it."""


_RARE = frozenset({"rollback", "losses"})
"""What status says only where there is any."""


@dataclass(frozen=True)
class Progress:
    """One rollout: ``revision`` is on its way to replace ``replaces``, and has ``weight`` percent of all requests.

    ``step`` counts from 0. ``since`` is when it came into its state or step, or when what it waits for there changed. ``id`` is also the
    salt of its assignment. A ``rollback`` goes back to a revision without steps. ``losses`` is how often the pod on trial was lost at this
    step.
    """

    id: str
    revision: str
    replaces: str
    state: State
    since: str
    reason: str
    message: str
    step: int = 0
    weight: int = 0
    rollback: bool = False
    losses: int = 0

    @classmethod
    def begun(cls, revision: str, replaces: str, before: "Progress | None", now: datetime, message: str, *, rollback: bool) -> "Progress":
        """Return a rollout at its beginning. Its id follows from the one before: begun again after a crash, it is the same."""
        name = identity([revision, replaces, before.id if before else ""])
        return cls(name, revision, replaces, State.PREPARING, stamp(now), str(Reason.PREPARING), message, rollback=rollback)

    @classmethod
    def read(cls, entry: Mapping[str, Any]) -> "Progress":
        """Read ``status.rollout``; what a newer operator has written into it besides is left out."""
        known = {name: value for name, value in entry.items() if name in cls.__dataclass_fields__}
        return cls(**{**known, "state": State(entry["state"]), "step": entry["step"] - 1})

    def entry(self) -> dict[str, Any]:
        """Return ``status.rollout``."""
        entry = {name: value for name, value in vars(self).items() if name not in _RARE or value}
        return {**entry, "state": str(self.state), "step": self.step + 1}

    @property
    def is_active(self) -> bool:
        """Return whether it has not come to an end."""
        return self.state not in ENDS

    def waited_s(self, now: datetime) -> float:
        """Return how long it has been where it is."""
        return seconds_since(self.since, now)

    def replaced_by(self, stable: str) -> str:
        """Return the revision that the stable one has replaced by this rollout, or nothing."""
        return self.replaces if self.state == State.PROMOTED and self.revision == stable else ""

    def turned(self, state: State, now: datetime, reason: str, message: str, **changes: Any) -> "Progress":
        """Return it in another state or step, or waiting for something else."""
        return replace(self, state=state, since=stamp(now), reason=str(reason), message=message, **changes)

    def differs(self, other: "Progress") -> bool:
        """Return whether a user has to be told that it is not where it was."""
        return (self.id, self.state, self.step, self.weight) != (other.id, other.state, other.step, other.weight)


@dataclass(frozen=True)
class Barred:
    """A revision that was aborted or rolled back, and why: it is not served again until somebody asks for a retry."""

    revision: str
    reason: str
    message: str
    at: str

    @classmethod
    def read(cls, entry: Mapping[str, str]) -> "Barred":
        """Read an entry of ``status.abortedRevisions``."""
        return cls(**{name: entry[name] for name in ("revision", "reason", "message", "at")})


@dataclass(frozen=True)
class Memory:
    """What a look leaves to the next one: the last rollout, and what must not begin again."""

    progress: Progress | None = None
    barred: tuple[Barred, ...] = ()

    @classmethod
    def read(cls, status: Mapping[str, Any]) -> "Memory":
        """Read a status."""
        entry = status.get("rollout")
        barred = tuple(Barred.read(each) for each in status.get("abortedRevisions", ()))
        return cls(Progress.read(entry) if entry else None, barred)

    def bar(self, revision: str) -> Barred | None:
        """Return why a revision must not be served."""
        return next((each for each in self.barred if each.revision == revision), None)

    def barring(self, progress: Progress, revision: str, why: str, now: datetime) -> "Memory":
        """Return it with one more revision that must not be served, for the reason the rollout ended and why in words."""
        new = Barred(revision, progress.reason, why, stamp(now))
        return Memory(progress, (*self.freeing(revision).barred, new)[-KEPT:])

    def freeing(self, revision: str) -> "Memory":
        """Return it without a word against a revision."""
        return replace(self, barred=tuple(each for each in self.barred if each.revision != revision))
