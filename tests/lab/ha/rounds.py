"""What happens to a leader, and how long it takes until another one has its work."""

import asyncio
import json
import random
import signal
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.lab.cluster import Lab
from tests.lab.faults.runs import Surroundings
from tests.lab.ha.pair import Member, Pair, pair, wait
from tests.lab.ha.terms import Term, Write, overlaps, strays, terms, writes
from tests.lab.say import say

Fault = Literal["stopped", "killed", "paused", "cut", "silent"]
"""``cut`` and ``silent`` are partitions: connections break, or nothing comes through and nobody is told."""

PARTITION_S = 30.0
_INTO_THE_EDIT_S = 0.4
_WAIT_S = 90.0


@dataclass
class Round:
    """One fault. Times are of the wall clock where the audit log has to be compared with them."""

    fault: Fault
    old: str
    new: str
    struck_at: float
    converged_s: float
    exit_code: int | None
    takeover_s: float = float("inf")


@dataclass
class Result:
    """All rounds, and what the audit log says of them."""

    rounds: list[Round] = field(default_factory=list)
    terms: list[Term] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)
    overlaps: list[str] = field(default_factory=list)
    strays: list[Write] = field(default_factory=list)
    held_back: int = 0

    def of(self, fault: Fault) -> list[Round]:
        """Return the rounds with a fault."""
        return [each for each in self.rounds if each.fault == fault]


async def play(around: Surroundings, lab: Lab, faults: Iterable[Fault], pause_s: float, lanes: int) -> Result:
    """Go through all faults, each pair of operators with one at a time, and read what came of it from the audit log."""
    waiting, result = list(reversed(list(faults))), Result()

    async def lane() -> None:
        async with pair(around) as both:
            done: list[Round] = []
            while waiting:
                done.append(await strike(both, waiting.pop(), pause_s))
                say(f"{done[-1].fault}: {both.place.namespace}, served again after {done[-1].converged_s:.1f} s")
            _judge(result, both, done, list(lab.audit_events()))

    async with asyncio.TaskGroup() as group:
        for _ in range(lanes):
            group.create_task(lane())
    return result


async def strike(both: Pair, fault: Fault, pause_s: float) -> Round:
    """Strike the leader in the middle of its work, ask for more while it is away, and let it come back."""
    member = await both.leader()
    old, exits = member.identity, len(member.operator.exits)
    await both.edit()
    await asyncio.sleep(random.random() * _INTO_THE_EDIT_S)  # noqa: S311  # any moment will do
    began, struck_at = time.monotonic(), time.time()
    back_at = began + await _away(member, fault, pause_s)
    text = await both.edit()
    await both.serves(text)
    served_at = time.monotonic()
    await asyncio.sleep(max(0.0, back_at - time.monotonic()))
    if fault == "paused":
        await both.edit()
        member.operator.send(signal.SIGCONT)
    if fault != "killed":
        await wait(lambda: len(member.operator.exits) > exits, _WAIT_S, f"{both.place.namespace}: {fault}: {old} ended")
    now = await both.leader()
    return Round(fault, old, now.identity, struck_at, served_at - began, None if fault == "killed" else member.operator.exits[-1])


async def _away(member: Member, fault: Fault, pause_s: float) -> float:
    """Do it, and return after how many seconds it is over."""
    match fault:
        case "stopped":
            member.operator.send(signal.SIGTERM)
        case "killed":
            member.operator.kill()
        case "paused":
            member.operator.send(signal.SIGSTOP)
            return pause_s
        case "cut":
            member.lane.away_until = time.monotonic() + PARTITION_S
            member.lane.cut()
            return PARTITION_S
        case "silent":
            member.lane.silent_until = time.monotonic() + PARTITION_S
            return PARTITION_S
    return 0.0


def _judge(result: Result, both: Pair, done: Sequence[Round], events: Sequence[dict[str, Any]]) -> None:
    claims, _ = writes(events, frozenset({both.system}))
    _, written = writes(events, frozenset({both.place.namespace}))
    led = terms(claims)
    begins = {term.identity: term.began for term in led}
    for each in done:
        each.takeover_s = begins[each.new] - each.struck_at
    result.rounds += done
    result.terms += led
    result.writes += written
    result.overlaps += overlaps(led, frozenset(each.old for each in done if each.fault == "stopped"))
    result.strays += strays(led, written)
    result.held_back += sum(_fenced(member) for member in both.members)


def _fenced(member: Member) -> int:
    """Return how many times the operator said that a write was held back."""
    found = 0
    for line in member.operator.log.read_text().splitlines():
        if line.startswith("{"):
            found += json.loads(line).get("reason") == "Fenced"
    return found
