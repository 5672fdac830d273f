"""A plan: one fault, when it strikes and during which workload. Plain data, so that a plan is its file and its id is its content."""

import hashlib
import json
import re
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal, Self

from tests.lab.faults.asked import Asked

Phase = Literal["before", "after", "during"]
Deed = Literal["none", "kill", "status", "reset", "delay", "hang", "stale", "drop", "duplicate", "gap", "outage", "away"]

_IDENTITY = re.compile(r"(?<=-)[a-z2-7]{10}(?=-|$)")
"""Identities in names are hashes of content: they change with the product, so triggers leave them open."""

_HASH = re.compile(r"[a-z2-7]{10}|[bcdfghjklmnpqrstvwxz2456789]{1,10}")
"""An identity, or the hash of a ReplicaSet's template: a number of 32 bits, whose digits are such letters, so now and then it is short."""


@dataclass(frozen=True)
class Trigger:
    """Which request, or which line of a watch, the fault strikes: the ``nth`` that fits while the workload is at ``step``.

    ``phase`` says whether it strikes before the API server has heard of the request, after it has answered, or while it works.
    """

    verb: str = "*"
    resource: str = "*"
    subresource: str = ""
    name: str = "*"
    event: str = "*"
    nth: int = 1
    phase: Phase = "before"
    step: str = "*"
    agent: str = "*"

    def fits(self, asked: Asked, step: str, name: str = "", event: str = "") -> bool:
        """Return whether a request, or a line of its answer about an object of a name, is one to count."""
        return (
            fnmatchcase(asked.verb, self.verb)
            and fnmatchcase(asked.resource, self.resource)
            and asked.subresource == self.subresource
            and fnmatchcase(name or asked.name, self.name)
            and fnmatchcase(event, self.event)
            and fnmatchcase(step, self.step)
            and fnmatchcase(asked.agent, self.agent)
        )


@dataclass(frozen=True)
class Action:
    """What happens. ``times`` is how many fitting requests in a row it happens to; ``seconds`` is how long it lasts."""

    do: Deed
    code: int = 0
    reason: str = ""
    retry_after_s: int = 0
    seconds: float = 0.0
    times: int = 1


@dataclass(frozen=True)
class Plan:
    """One fault in one workload."""

    workload: str
    trigger: Trigger = field(default_factory=Trigger)
    action: Action = field(default_factory=lambda: Action("none"))

    @property
    def id(self) -> str:
        """Return a name that the same plan always has and no other one."""
        digest = hashlib.sha256(self.dump().encode()).hexdigest()[:8]
        code = str(self.action.code) if self.action.code else ""
        where = "-".join(part for part in (self.trigger.resource, self.trigger.subresource) if part and part != "*")
        return "-".join(part for part in (self.workload, self.action.do + code, self.trigger.phase, where, digest) if part)

    def dump(self) -> str:
        """Return the plan as JSON."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def load(cls, data: dict[str, Any]) -> Self:
        """Return the plan that JSON stands for."""
        return cls(data["workload"], Trigger(**data["trigger"]), Action(**data["action"]))


def open_name(resource: str, name: str) -> str:
    """Return a pattern for a name in which what differs from run to run is left open."""
    if resource == "events":
        return f"{name.partition('.')[0]}.*"
    if resource == "pods":
        *parts, _ = name.split("-")
        while len(parts) > 1 and _HASH.fullmatch(parts[-1]):
            parts.pop()
        return "-".join([*parts, "*"])
    return _IDENTITY.sub("*", name)
