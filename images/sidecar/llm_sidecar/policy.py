"""What follows from a verdict: the stage says what it saw, its policy in the bundle says what that means for the request."""

from dataclasses import dataclass
from typing import Literal

from llm_sidecar.stages import Allow, Block, Modify, Verdict

Trouble = Literal["error", "garbage", "timeout"]
"""What can be wrong with a stage: it raised, gave something that is no verdict, or took longer than it may."""


@dataclass(frozen=True, slots=True)
class Policy:
    """The policy of one stage, by its name."""

    stage: str
    fail_open: bool = False
    error_open: bool = False
    timeout_s: float = 1.0


@dataclass(frozen=True, slots=True)
class Refuse:
    """The request ends here."""

    status: int
    code: str
    reason: str
    field: str = ""


@dataclass(frozen=True, slots=True)
class Bypass:
    """The request goes on as if the stage were not there, and that is counted and said."""

    reason: str


def on_verdict(policy: Policy, verdict: Verdict) -> Refuse | Bypass | None:
    """Return what a verdict means, or nothing where the request goes on with what the stage made of it."""
    if isinstance(verdict, Block):
        if policy.fail_open:
            return Bypass("blocked")
        return Refuse(verdict.status, verdict.code, verdict.reason, verdict.field)
    return None


def on_trouble(policy: Policy, trouble: Trouble) -> Refuse | Bypass:
    """Return what it means that a stage is of no use."""
    if policy.error_open:
        return Bypass(trouble)
    if trouble == "timeout":
        return Refuse(504, "stage_timeout", f"the stage {policy.stage} took longer than {policy.timeout_s:g} s")
    return Refuse(503, "stage_failed", f"the stage {policy.stage} failed on this request")


def name_of(verdict: Verdict) -> Literal["allow", "tag", "modify", "block"]:
    """Return the word for a verdict in metrics."""
    if isinstance(verdict, Allow):
        return "tag" if verdict.found else "allow"
    return "modify" if isinstance(verdict, Modify) else "block"
