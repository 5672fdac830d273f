"""Learning a workload: two clean runs say what it comes to, what of that differs by chance, and which writes lead there."""

import asyncio
from dataclasses import dataclass

from tests.lab.faults.normal import mask_of
from tests.lab.faults.oracles import Reference
from tests.lab.faults.plan import Trigger
from tests.lab.faults.runs import Clean, Surroundings, clean_run
from tests.lab.faults.workloads import REFERENCES


class UncleanError(Exception):
    """A run that nothing struck broke a rule: there is nothing to compare with."""


@dataclass(frozen=True)
class Lesson:
    """What is known of a workload."""

    reference: Reference
    writes: tuple[Trigger, ...]
    reads: tuple[Trigger, ...]
    lines: tuple[Trigger, ...]


async def learn(around: Surroundings, workload: str) -> Lesson:
    """Run a workload twice without faults."""
    runs = await asyncio.gather(*(clean_run(around, REFERENCES.get(workload, workload)) for _ in range(2)))
    one, other = runs
    for each in runs:
        if each.wrong:
            raise UncleanError(f"{workload}: {each.wrong}")
    names = one.comings.keys() | other.comings.keys()
    reference = Reference(
        facts=one.facts,
        mask=mask_of([one.facts, other.facts]),
        comings=dict(one.comings),
        varying=frozenset(name for name in names if one.comings[name] != other.comings[name]),
        writes=max(len(one.writes), len(other.writes)),
    )
    return Lesson(reference, *(_both(mine, theirs) for mine, theirs in zip(_seen(one), _seen(other), strict=True)))


def _seen(run: Clean) -> tuple[list[Trigger], ...]:
    return run.writes, run.reads, run.lines


def _both(mine: list[Trigger], theirs: list[Trigger]) -> tuple[Trigger, ...]:
    """Return what happened in both runs: only that can be expected to happen again."""
    return tuple(trigger for trigger in mine if trigger in theirs)
