"""Down to no pod and up again: the last one goes when nobody has asked for long, and one comes as soon as somebody waits."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from llm_operator.core.scaling import decide as demand
from llm_operator.core.scaling.decide import Decision, Fleet, Memory, Rules
from llm_operator.core.scaling.load import Blind
from llm_operator.core.scaling.need import Need
from llm_operator.core.scaling.reasons import ScaleReason


@dataclass(frozen=True)
class Door:
    """Who asks: ``waiting`` requests are held, None while whoever holds them cannot be asked.

    For so long it was ``quiet``: every pod is ready and was heard, and nobody has asked any. It is None where that is not so, or not known.
    """

    waiting: int | None = None
    quiet: timedelta | None = None


def decide(memory: Memory, rules: Rules, fleet: Fleet, door: Door, found: Need | Blind, now: datetime) -> tuple[Decision, Memory]:
    """Return what to do, and what to remember of it; what is not about the last pod follows from the load alone."""
    if rules.idle is None:
        return demand.decide(memory, rules, fleet, found, now)
    if not fleet.asked:
        decision = _asleep(rules, door, found)
        return decision, memory.remember(decision.replicas, rules.hold, now)
    if door.quiet is None or door.quiet < rules.idle or fleet.stepping or fleet.asked > rules.most:
        return demand.decide(memory, rules, fleet, found, now)
    if memory.lowered is not None and now - memory.lowered < rules.pause:
        words = f"nobody has asked for {door.quiet.total_seconds():.0f} s; the next may go a minute after the last"
        return Decision(fleet.asked, ScaleReason.HOLDING, words), memory
    words = f"nobody has asked for {rules.idle.total_seconds():.0f} s"
    reason = ScaleReason.LOAD_FELL if fleet.asked > 1 else ScaleReason.SCALED_TO_ZERO
    return Decision(fleet.asked - 1, reason, words), replace(memory.remember(fleet.asked - 1, rules.hold, now), lowered=now)


def _asleep(rules: Rules, door: Door, found: Need | Blind) -> Decision:
    """Return whether to wake: with one pod, or with as many as those who wait need."""
    if door.waiting is None:
        return Decision(0, ScaleReason.METRICS_STALE, "the entry has not told whether requests wait; no pod is asked for")
    if not door.waiting:
        return Decision(0, ScaleReason.SCALED_TO_ZERO, "nobody asks")
    need = found if isinstance(found, Need) else None
    wanted = min(max(need.with_headroom(rules.headroom), 1), rules.most) if need else 1
    words = f"{door.waiting} {'request waits' if door.waiting == 1 else 'requests wait'} for a pod"
    return Decision(wanted, ScaleReason.WAKING, words, wanted, need)
