"""From what was learned to plans: every write killed before and after, and the other faults spread over writes, reads and events."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice
from typing import TypeVar

from llm_operator.core import kinds
from tests.lab.faults.learning import Lesson
from tests.lab.faults.plan import Action, Phase, Plan, Trigger

T = TypeVar("T")

REFUSALS: tuple[Action, ...] = (
    Action("status", 409),
    Action("status", 409, "AlreadyExists"),
    Action("status", 410),
    Action("status", 412),
    Action("status", 422),
    Action("status", 429, retry_after_s=2),
    Action("status", 500, times=3),
    Action("status", 503, times=3),
    Action("status", 504),
)
BROKEN: tuple[tuple[Phase, Action], ...] = (
    ("before", Action("reset")),
    ("after", Action("reset")),
    ("after", Action("status", 504)),
    ("before", Action("delay", seconds=3)),
    ("before", Action("hang", seconds=35)),
    ("after", Action("hang", seconds=35)),
)
_READS: tuple[Action, ...] = (
    Action("status", 410),
    Action("status", 429, retry_after_s=2),
    Action("status", 500, times=2),
    Action("status", 503, times=2),
    Action("reset", times=3),
    Action("delay", seconds=3),
)
_LINES: tuple[Action, ...] = (
    Action("drop"),
    Action("duplicate"),
    Action("delay", seconds=5),
    Action("gap", seconds=3),
    Action("reset"),
)
_WATCH_REQUESTS: tuple[Action, ...] = (
    Action("status", 410),
    Action("status", 500),
    Action("status", 429, retry_after_s=1),
    Action("reset"),
)
_LINES_STRUCK = 15
"""Events of a workload that are lost, doubled or delayed."""

OUTAGES_S = (5.0, 60.0)
LONG_OUTAGE_S = 600.0
STATES = {"trial", "abort"}
"""Workloads that go through every state of a rollout."""
_PER_FAULT = 2
"""Writes of a workload that each of the faults strikes."""


def kills(lessons: Mapping[str, Lesson]) -> Iterator[Plan]:
    """Yield a kill before and one after each write of each workload."""
    phases: tuple[Phase, ...] = ("before", "after")
    for workload, lesson in lessons.items():
        for write in lesson.writes:
            for phase in phases:
                yield Plan(workload, replace(write, phase=phase), Action("kill"))


def refused(lessons: Mapping[str, Lesson]) -> Iterator[Plan]:
    """Yield plans in which writes are refused, lost, or applied without an answer; each fault strikes other writes in turn."""
    faults: list[tuple[Phase, Action]] = [("before", action) for action in REFUSALS]
    faults += BROKEN
    for turn, (workload, lesson) in enumerate(lessons.items()):
        for index, (phase, action) in enumerate(faults):
            for again in range(min(_PER_FAULT, len(lesson.writes))):
                place = (turn + index + again * (len(lesson.writes) // _PER_FAULT)) % len(lesson.writes)
                yield Plan(workload, replace(lesson.writes[place], phase=phase), action)


def misread(lessons: Mapping[str, Lesson]) -> Iterator[Plan]:
    """Yield plans in which each kind of read fails, or tells what was true once."""
    for turn, (workload, lesson) in enumerate(lessons.items()):
        for index, read in enumerate(lesson.reads):
            yield Plan(workload, read, _READS[(turn + index) % len(_READS)])
            yield Plan(workload, read, Action("stale", times=2))


def unheard(lessons: Mapping[str, Lesson]) -> Iterator[Plan]:
    """Yield plans in which events are lost, told twice or told late, and watches end."""
    for turn, (workload, lesson) in enumerate(lessons.items()):
        for index, line in enumerate(_spread(lesson.lines, _LINES_STRUCK)):
            yield Plan(workload, line, _LINES[(turn + index) % len(_LINES)])
    for turn, kind in enumerate((*kinds.CUSTOM, *kinds.WATCHED)):
        action = _WATCH_REQUESTS[turn % len(_WATCH_REQUESTS)]
        yield Plan("create", Trigger("watch", kind.plural, event="", step="*"), action)


def away(lessons: Mapping[str, Lesson], seconds: tuple[float, ...] = OUTAGES_S) -> Iterator[Plan]:
    """Yield plans in which the API server cannot be reached for a time, or the operator is gone while all goes on without it."""
    for turn, (workload, lesson) in enumerate(lessons.items()):
        for index, duration in enumerate(seconds):
            write = lesson.writes[(turn + 3 * index) % len(lesson.writes)]
            yield Plan(workload, write, Action("outage", seconds=duration))
    for duration in seconds:
        yield Plan("damage", Trigger(step="damage"), Action("away", seconds=duration))


def away_in_each_state(lessons: Mapping[str, Lesson]) -> Iterator[Plan]:
    """Yield plans in which the API server cannot be reached for a minute from before each status an engine on trial leads to."""
    for workload in sorted(STATES & lessons.keys()):
        for write in lessons[workload].writes:
            if write.subresource == "status":
                yield Plan(workload, write, Action("outage", seconds=60.0))


SMOKE = 24


def smoke(lessons: Mapping[str, Lesson]) -> list[Plan]:
    """Return a few plans of each sort, the same ones each time as long as the operator writes the same."""
    chosen = [
        *_spread([plan for plan in kills(lessons) if plan.trigger.phase == "before"], SMOKE // 4),
        *_spread([plan for plan in kills(lessons) if plan.trigger.phase == "after"], SMOKE // 4 + 1),
        *_spread([plan for plan in refused(lessons) if plan.action.do != "hang"], SMOKE // 4),
        *_spread(list(misread(lessons)), 2),
        *_spread([plan for plan in unheard(lessons) if plan.action.do != "drop"], 2),
        *islice(away(lessons, (5.0,)), 1),
        Plan("damage", Trigger(step="damage"), Action("away", seconds=2.0)),
    ]
    return list(dict.fromkeys(chosen))


def every(lessons: Mapping[str, Lesson]) -> list[Plan]:
    """Return all plans but those of ten minutes."""
    found = chain(kills(lessons), refused(lessons), misread(lessons), unheard(lessons), away(lessons), away_in_each_state(lessons))
    return list(dict.fromkeys(found))


def _spread(found: Sequence[T], count: int) -> list[T]:
    """Return so many, equally far from each other."""
    count = min(count, len(found))
    return [found[(index * len(found) + len(found) // 2) // count] for index in range(count)]
