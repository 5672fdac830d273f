"""One operator's way to the API server: what passed on it, and the fault that waits on it."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.lab.faults.asked import Asked
from tests.lab.faults.plan import Action, Plan

_KEPT = 64


@dataclass(frozen=True)
class Call:
    """One request that was answered, or that was not (``status`` 0). ``body`` is kept of writes."""

    at: float
    step: str
    asked: Asked
    status: int
    body: dict[str, Any] | None = None


@dataclass(frozen=True)
class Line:
    """One event that a watch told of."""

    step: str
    resource: str
    event: str
    name: str


@dataclass(frozen=True)
class Recorded:
    """An answer to a read as it once was."""

    status: int
    content_type: str
    body: bytes


@dataclass
class Lane:
    """State of one way. ``kill`` ends the operator at once, ``cut`` what it waits for; ``step`` is what the workload is at."""

    kill: Callable[[], None] = lambda: None
    cut: Callable[[], None] = lambda: None
    step: str = ""
    plan: Plan | None = None
    seen: int = 0
    fired: int = 0
    cleared_at: float = 0.0
    calls: list[Call] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    away_until: float = 0.0
    silent_until: float = 0.0
    _reads: dict[str, list[Recorded]] = field(default_factory=dict)

    def arm(self, plan: Plan | None) -> None:
        """Let a plan's fault wait for its trigger from now on."""
        self.plan, self.seen, self.fired, self.cleared_at = plan, 0, 0, 0.0

    @property
    def is_away(self) -> bool:
        """Return whether nothing passes now."""
        return time.monotonic() < self.away_until

    def strikes(self, asked: Asked, *, name: str = "", event: str = "", url: str = "") -> Action | None:
        """Count a request or a line of a watch, and return what happens to it."""
        if event:
            self.lines.append(Line(self.step, asked.resource, event, name))
        plan = self.plan
        if plan is None or plan.action.do in {"none", "away"} or not plan.trigger.fits(asked, self.step, name, event):
            return None
        if bool(event) != (plan.trigger.verb == "watch" and plan.trigger.event != ""):
            return None
        if plan.action.do == "stale" and self.earlier(url) is None:
            return None
        self.seen += 1
        first = plan.trigger.nth
        if not first <= self.seen < first + plan.action.times:
            return None
        self.fired += 1
        self.cleared()
        return plan.action

    @property
    def silent_s(self) -> float:
        """Return for how long nothing comes through yet, in either direction, although nobody is told."""
        return max(0.0, self.silent_until - time.monotonic())

    def cleared(self) -> None:
        """Note that the fault is over as of now."""
        self.cleared_at = time.monotonic()

    def took(self, asked: Asked, status: int, body: bytes) -> None:
        """Note a request that is through."""
        kept = _object(body) if asked.writes else None
        self.calls.append(Call(time.monotonic(), self.step, asked, status, kept))

    def record(self, url: str, recorded: Recorded) -> None:
        """Keep an answer, to give it again when it is stale."""
        answers = self._reads.setdefault(url, [])
        if len(answers) < _KEPT:
            answers.append(recorded)

    def earlier(self, url: str) -> Recorded | None:
        """Return the first answer that was given at a URL, once there has been another one."""
        answers = self._reads.get(url, [])
        return answers[0] if len(answers) > 1 and answers[0].body != answers[-1].body else None

    def writes(self) -> list[Call]:
        """Return the writes that reached the API server, those of the Lease apart."""
        return [call for call in self.calls if call.asked.writes and call.status and call.asked.resource != "leases"]


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(body)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
