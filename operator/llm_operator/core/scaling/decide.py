"""The decision: how many pods from now on, and why. Up at once, down one at a time and only after a while; nothing on missing figures."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from llm_operator.core.scaling.capacity import BOUND
from llm_operator.core.scaling.load import Blind
from llm_operator.core.scaling.need import Need
from llm_operator.core.scaling.reasons import ScaleReason

_GRAIN = timedelta(seconds=15)
"""The highest need of so long is remembered as one."""


@dataclass(frozen=True)
class Rules:
    """What is asked for: bounds, and how careful to be."""

    least: int
    most: int
    headroom: float = 0.25
    hold: timedelta = timedelta(minutes=5)
    """How long fewer pods must have been enough before one goes."""
    pause: timedelta = timedelta(minutes=1)
    """Time between two that go."""
    least_by: str = ""
    """What asks for the least, where that is not the usual one."""
    pending_timeout: timedelta = timedelta(minutes=5)
    """How long a pod that is not ready counts as one that will be."""
    idle: timedelta | None = None
    """How long nobody must have asked before the last pod goes, below ``least`` then; None where it stays."""


@dataclass(frozen=True)
class Fleet:
    """What there is: pods that are asked for, a canary's included, and for how long the oldest that is not ready has not been."""

    asked: int
    pending: timedelta | None = None
    calibrated: bool = True
    """Whether it is known what a pod carries."""
    stepping: bool = False
    """Whether a rollout is at one of its steps, or pods change hands: it counts on the pods there are."""
    ceiling: int | None = None
    """How many pods the budget allows; those there are stay."""


@dataclass(frozen=True)
class Memory:
    """What was needed lately, and when the last pod was taken away. It begins anew with the operator: then nothing goes for a while."""

    began: datetime | None = None
    peaks: tuple[tuple[datetime, int], ...] = ()
    lowered: datetime | None = None

    def remember(self, wanted: int, hold: timedelta, now: datetime) -> "Memory":
        """Return it with what is wanted now, and without what is over."""
        kept = tuple(each for each in self.peaks if now - each[0] <= hold + _GRAIN)
        begun, peak = kept[-1] if kept and now - kept[-1][0] < _GRAIN else (now, wanted)
        kept = (*(each for each in kept if each[0] != begun), (begun, max(peak, wanted)))
        return replace(self, began=self.began or now, peaks=kept)

    @property
    def peak(self) -> int:
        """Return the highest number that was wanted."""
        return max(wanted for _, wanted in self.peaks)


@dataclass(frozen=True)
class Decision:
    """How many pods there are to be, why in a word and in a sentence, and the need it rests on where that is known."""

    replicas: int
    reason: ScaleReason
    message: str
    wanted: int | None = None
    need: Need | None = None


def decide(memory: Memory, rules: Rules, fleet: Fleet, found: Need | Blind, now: datetime) -> tuple[Decision, Memory]:
    """Return what to do, and what to remember of it."""
    asked = min(max(fleet.asked, rules.least), rules.most)
    found = _enough(found, rules, asked)
    if isinstance(found, Blind):
        decision = _bounded(fleet, rules, asked) or Decision(asked, found.reason, f"{found.message}; {asked} stay")
        return decision, memory.remember(asked, rules.hold, now)
    wanted = min(max(found.with_headroom(rules.headroom), rules.least), rules.most)
    memory = memory.remember(wanted, rules.hold, now)
    decision = _more(rules, fleet, asked, wanted) if wanted > asked else _fewer(memory, rules, fleet, asked, found, now)
    if decision.replicas == asked:
        decision = _bounded(fleet, rules, asked) or decision
    if decision.replicas < fleet.asked:
        memory = replace(memory, lowered=now)
    return replace(decision, wanted=wanted, need=found), memory


def _enough(found: Need | Blind, rules: Rules, asked: int) -> Need | Blind:
    """Return what is known; a need that leaves pods out is enough for more than there are, never for as many or fewer."""
    if isinstance(found, Blind) or found.silent is None or min(found.with_headroom(rules.headroom), rules.most) > asked:
        return found
    return found.silent


def _bounded(fleet: Fleet, rules: Rules, asked: int) -> Decision | None:
    """Return the decision that the bounds alone ask for, if they do."""
    if asked > fleet.asked:
        return Decision(asked, ScaleReason.BELOW_MINIMUM, f"{rules.least} is the least there may be {rules.least_by}".rstrip())
    if asked < fleet.asked:
        return Decision(asked, ScaleReason.ABOVE_MAXIMUM, f"{rules.most} is the most there may be")
    return None


def _more(rules: Rules, fleet: Fleet, asked: int, wanted: int) -> Decision:
    if fleet.pending is not None and fleet.pending > rules.pending_timeout:
        waited_s = fleet.pending.total_seconds()
        return Decision(
            asked,
            ScaleReason.REPLICAS_UNSCHEDULABLE,
            f"{wanted} are needed, but a pod is not ready after {waited_s:.0f} s: no more are asked for",
        )
    if fleet.ceiling is not None and wanted > fleet.ceiling:
        return Decision(max(asked, fleet.ceiling), ScaleReason.BUDGET_EXCEEDED, f"{wanted} are needed, the budget allows {fleet.ceiling}")
    return Decision(wanted, ScaleReason.LOAD_GREW, f"{wanted} are needed, {asked} are there or coming")


def _fewer(memory: Memory, rules: Rules, fleet: Fleet, asked: int, found: Need, now: datetime) -> Decision:
    """Return one pod less where that is safe: the load of now and of the whole hold window fits on the others."""
    if memory.peak >= asked:
        unbounded = found.with_headroom(rules.headroom)
        if unbounded > asked:
            return Decision(asked, ScaleReason.AT_MAXIMUM, f"{unbounded} are needed, {rules.most} is the most there may be")
        return Decision(asked, ScaleReason.FITS, f"{memory.peak} were needed at most lately, {asked} are there or coming")
    fewer = f"{memory.peak} would be enough for {asked}"
    if fleet.stepping:
        return Decision(asked, ScaleReason.ROLLOUT_STEP, f"{fewer}; none goes while a rollout is at a step")
    # Next to nothing, as are the tokens that sidecars ask for themselves, teaches nothing and fits whatever a pod carries.
    if not fleet.calibrated and found.pods * BOUND > asked - 1:
        return Decision(asked, ScaleReason.UNCALIBRATED, f"{fewer}, by what is assumed; none goes before it is known what a pod carries")
    began = memory.began or now
    since = max(began + rules.hold, memory.lowered + rules.pause if memory.lowered else began)
    if now < since:
        return Decision(asked, ScaleReason.HOLDING, f"{fewer}; the next may go in {(since - now).total_seconds():.0f} s")
    return Decision(asked - 1, ScaleReason.LOAD_FELL, f"{memory.peak} were needed at most for {rules.hold.total_seconds():.0f} s")
