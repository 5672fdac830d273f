"""Many runs: learn, carry out, judge, count."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from tests.lab.faults.learning import Lesson, learn
from tests.lab.faults.plan import Plan
from tests.lab.faults.runs import Outcome, Surroundings, run
from tests.lab.say import say

STRUCK = ("create", "prompt", "rollout", "engine", "trial", "abort", "scale", "recreate")
LEARNED = (*STRUCK, "damage")
LANES = 3


async def lessons(around: Surroundings, workloads: Sequence[str] = LEARNED) -> dict[str, Lesson]:
    """Learn workloads, two at a time."""
    known: dict[str, Lesson] = {}
    waiting = list(reversed(list(workloads)))

    async def student() -> None:
        while waiting:
            workload = waiting.pop()
            known[workload] = await learn(around, workload)

    await asyncio.gather(student(), student())
    return {workload: known[workload] for workload in workloads}


async def sweep(
    around: Surroundings,
    known: Mapping[str, Lesson],
    plans: Iterable[Plan],
    lanes: int = LANES,
    told: Callable[[Outcome], None] = lambda _: None,
) -> list[Outcome]:
    """Carry plans out, a few at a time, each in a namespace and with an operator of its own."""
    waiting = list(reversed(list(plans)))
    outcomes: list[Outcome] = []

    async def lane() -> None:
        while waiting:
            plan = waiting.pop()
            outcome = await run(around, plan, known[plan.workload].reference)
            outcomes.append(outcome)
            told(outcome)

    await asyncio.gather(*(lane() for _ in range(lanes)))
    return outcomes


def tell(outcome: Outcome) -> None:
    """Say how one run ended."""
    verdict = "VIOLATED" if outcome.violations else "ok" if outcome.counts else "did not fire"
    converged = "never" if outcome.converged_s is None else f"{outcome.converged_s:.1f} s"
    say(f"{verdict:<12} {outcome.plan.id:<60} {outcome.seconds:5.1f} s, converged {converged}, restarts {outcome.restarts}")
    for oracle, wrong in outcome.violations.items():
        for line in wrong[:5]:
            say(f"    {oracle}: {line[:300]}")


def figures(outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """Return the counts of a sweep; plans that never struck are counted apart and as nothing."""
    found = list(outcomes)
    counted = [each for each in found if each.counts]
    seconds = sorted(each.seconds for each in counted)
    converged = sorted(each.converged_s for each in counted if each.converged_s is not None)
    violations = Counter(oracle for each in found for oracle in each.violations)
    return {
        "commits": sorted({each.commit for each in found if each.commit}),
        "plans_executed": len(found),
        "plans_fired": len(counted),
        "fired_by_fault": dict(sorted(Counter(_fault(each.plan) for each in counted).items())),
        "fired_by_workload": dict(sorted(Counter(each.plan.workload for each in counted).items())),
        "plans_violated": sum(bool(each.violations) for each in found),
        "violations_by_oracle": dict(violations),
        "restarts_by_itself": sum(each.restarts for each in counted),
        "seconds_per_plan_p50": _percentile(seconds, 0.5),
        "seconds_per_plan_p90": _percentile(seconds, 0.9),
        "converged_s_p50": _percentile(converged, 0.5),
        "converged_s_p99": _percentile(converged, 0.99),
        "converged_s_max": _percentile(converged, 1.0),
        "violated": [{"id": each.plan.id, "plan": each.plan.dump(), "violations": each.violations} for each in found if each.violations],
        "unfired": sorted(each.plan.id for each in found if not each.counts),
    }


def _fault(plan: Plan) -> str:
    action = plan.action
    after = " after" if plan.trigger.phase == "after" else ""
    where = " event" if plan.trigger.verb == "watch" and plan.trigger.event else ""
    how_long = f" {action.seconds:g} s" if action.do in {"outage", "away"} else ""
    return f"{action.do}{f' {action.code}' if action.code else ''}{after}{where}{how_long}"


def _percentile(ordered: list[float], share: float) -> float | None:
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2) if ordered else None
