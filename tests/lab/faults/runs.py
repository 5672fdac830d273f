"""One run: a namespace, an operator behind its proxy, a workload, at most one fault, and the verdict."""

import asyncio
import contextlib
import itertools
import json
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from aiohttp import ClientSession

from llm_operator.core import kinds
from tests.lab.faults.lane import Lane
from tests.lab.faults.normal import comings, facts
from tests.lab.faults.observer import History, Observer
from tests.lab.faults.operators import OURS, Operator, configuration, environment, kubeconfig
from tests.lab.faults.oracles import ORACLES, Evidence, Reference, end_state
from tests.lab.faults.plan import Plan, Trigger, open_name
from tests.lab.faults.proxy import proxy
from tests.lab.faults.workloads import WORKLOADS, Live, Place, Step, Workload
from tests.lab.following import Client
from tests.lab.namespaces import restricted

PREFIX = "faults-"
_TICK_S = 0.05
_ENDING_S = 15.0
_QUIET_S = 0.4
_QUIET_UNFIRED_S = 2.0
_CLEAN_QUIET_S = 2.5
_CLEAN_LIMIT_S = 90.0
_LIMIT_S = 30.0
_LOADING_S = 30.0
_LIMIT_AFTER_OUTAGE_S = 60.0

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Surroundings:
    """What all runs share."""

    client: Client
    session: ClientSession
    observer: Observer
    kubeconfig: Path
    folder: Path
    program: tuple[str, ...] = OURS
    limit_s: float = _LIMIT_S


@dataclass
class Outcome:
    """How a run ended. ``violations`` is what is wrong, by oracle."""

    plan: Plan
    fired: int
    seconds: float
    converged_s: float | None
    restarts: int
    kills: int
    violations: dict[str, list[str]] = field(default_factory=dict)
    commit: str = ""

    @property
    def counts(self) -> bool:
        """Return whether the plan did anything."""
        return self.fired > 0


@dataclass
class Run:
    """One run while it lasts."""

    around: Surroundings
    plan: Plan
    place: Place
    lane: Lane
    operator: Operator

    @property
    def history(self) -> History:
        """Return what was seen of the run's namespace."""
        return self.around.observer.histories[self.place.namespace]

    async def play(self, workload: Workload, reference: Reference | None) -> float | None:
        """Do all steps; return after how many seconds the last one was as in a clean run, or None when it never was."""
        converged: float | None = None
        for step in workload.steps:
            last = step is workload.steps[-1]
            before = dict(self.history.live)
            self.lane.step = step.name
            if last:
                self.lane.arm(self.plan)
            await self._do(step)
            began = time.monotonic()  # what users take is no delay of the operator
            if last and reference is not None:
                converged = await self._converge(step, before, reference, began)
            else:
                quiet_s = _CLEAN_QUIET_S if last else _QUIET_S
                await self._settle(step, before, quiet_s)
        return converged

    async def _do(self, step: Step) -> None:
        if not (step.without_operator and self.plan.action.do == "away"):
            await step.do(self.place)
            return
        self.operator.take_away()
        await step.do(self.place)
        await asyncio.sleep(self.plan.action.seconds)
        self.lane.fired += 1
        self.lane.cleared()
        self.operator.bring_back()

    async def _settle(self, step: Step, before: Live, quiet_s: float) -> None:
        """Wait until the status says it is done and nobody writes any more."""
        end = time.monotonic() + _CLEAN_LIMIT_S
        while not (step.arrived(self.history.live, before) and step.rests(self.history.live) and self._quiet_s() > quiet_s):
            if time.monotonic() > end:
                raise TimeoutError(f"{self.place.namespace}: step {step.name} did not settle in {_CLEAN_LIMIT_S:g} s without any fault")
            await asyncio.sleep(_TICK_S)

    async def _converge(self, step: Step, before: Live, reference: Reference, began: float) -> float | None:
        """Wait until all is as in a clean run and stays so; return how long that took since the fault was over."""
        limit_s = _LIMIT_AFTER_OUTAGE_S if self.plan.action.do in {"outage", "away"} else self.around.limit_s
        checked_at, wrong = -1.0, True
        while True:
            now = time.monotonic()
            if self.history.changed_at != checked_at:
                checked_at = self.history.changed_at
                wrong = bool(end_state(self.evidence(reference))) or not step.arrived(self.history.live, before)
            since = max(began, self.lane.cleared_at, self.operator.started_at if self.operator.kills else 0)
            quiet_s = _QUIET_S if self.lane.fired else _QUIET_UNFIRED_S
            if not wrong and self._quiet_s() > quiet_s and now > self.lane.cleared_at:
                return max(0.0, self.history.changed_at - since)
            if now > max(since, self._heard_at(now)) + limit_s:
                return None
            await asyncio.sleep(_TICK_S)

    def _heard_at(self, now: float) -> float:
        """Return when a bad operator that was started again first asked for something: a slow machine loads it for as long as its limit.

        For ours loading counts, and its limit has room for that.
        """
        if self.around.program == OURS or not self.operator.kills:
            return 0.0
        since = self.operator.started_at
        return next((call.at for call in self.lane.calls if call.at >= since), min(now, since + _LOADING_S))

    def _quiet_s(self) -> float:
        writes = self.lane.writes()
        return time.monotonic() - max(self.history.changed_at, writes[-1].at if writes else 0.0)

    async def let_end(self) -> None:
        """Wait for the end of a process that says it cannot go on: all may be as it should be before it has come to that."""
        end = time.monotonic() + _ENDING_S
        while any("traceback" in line for line in _lines(self.operator.log)) and not self.operator.ended_by_itself:
            if time.monotonic() > end:
                return
            await asyncio.sleep(_TICK_S)

    def evidence(self, reference: Reference) -> Evidence:
        """Return all that is known."""
        return Evidence(
            namespace=self.place.namespace,
            seen=self.history.in_order(),
            live=self.history.live,
            calls=self.lane.calls,
            log=_lines(self.operator.log),
            reference=reference,
            ended_by_itself=self.operator.ended_by_itself,
            damaged=self.place.damaged,
        )


async def run(around: Surroundings, plan: Plan, reference: Reference) -> Outcome:
    """Carry one plan out and judge it."""
    began = time.monotonic()
    async with _running(around, plan) as running:
        converged_s = await running.play(WORKLOADS[plan.workload], reference)
        await running.let_end()
        evidence = running.evidence(reference)
        violations = {name: wrong for name, oracle in ORACLES.items() if (wrong := oracle(evidence))}
        if converged_s is None:
            violations.setdefault("end state", []).insert(0, "did not come to the clean run's end state in time")
        return Outcome(
            plan=plan,
            fired=running.lane.fired,
            seconds=time.monotonic() - began,
            converged_s=converged_s,
            restarts=running.operator.ended_by_itself,
            kills=running.operator.kills,
            violations=violations,
        )


@dataclass(frozen=True)
class Clean:
    """What one clean run came to."""

    facts: dict[str, str]
    comings: Counter[str]
    writes: list[Trigger]
    reads: list[Trigger]
    lines: list[Trigger]
    wrong: dict[str, list[str]]


async def clean_run(around: Surroundings, workload: str) -> Clean:
    """Carry a workload out without any fault."""
    plan = Plan(workload)
    async with _running(around, plan) as running:
        await running.play(WORKLOADS[workload], None)
        nothing = Reference({}, frozenset(), {}, frozenset(), len(running.lane.writes()))
        evidence = running.evidence(nothing)
        learned = {"end state", "nothing twice"}
        wrong = {name: found for name, oracle in ORACLES.items() if name not in learned and (found := oracle(evidence))}
        return Clean(
            facts=facts(running.history.live, running.place.namespace),
            comings=comings(running.history.seen),
            writes=list(_numbered(running.lane)),
            reads=_reads(running.lane),
            lines=_lines_of(running.lane),
            wrong=wrong,
        )


def _numbered(lane: Lane) -> Iterator[Trigger]:
    """Return each write of the last step as a trigger that strikes just it."""
    calls = [call.asked for call in lane.writes() if call.step == lane.step]
    for index, asked in enumerate(calls):
        name = open_name(asked.resource, asked.name)
        trigger = Trigger(asked.verb, asked.resource, asked.subresource, name, step=lane.step)
        yield replace(trigger, nth=sum(trigger.fits(each, lane.step) for each in calls[: index + 1]))


def _reads(lane: Lane) -> list[Trigger]:
    """Return one trigger for each kind of read of the last step."""
    unasked = {"", "leases"}
    asked = [call.asked for call in lane.calls if call.step == lane.step and call.asked.verb in {"get", "list"}]
    return list(dict.fromkeys(Trigger(each.verb, each.resource, step=lane.step) for each in asked if each.resource not in unasked))


def _lines_of(lane: Lane) -> list[Trigger]:
    """Return each event a watch told of during the last step, as a trigger that strikes just it."""
    lines = [line for line in lane.lines if line.step == lane.step]
    counts: Counter[tuple[str, str]] = Counter()
    found = []
    for line in lines:
        counts[line.resource, line.event] += 1
        found.append(Trigger("watch", line.resource, event=line.event, nth=counts[line.resource, line.event], step=lane.step))
    return found


@asynccontextmanager
async def _running(around: Surroundings, plan: Plan) -> AsyncIterator[Run]:
    """Make a namespace and start an operator for it; nothing of either stays."""
    namespace = f"{PREFIX}{os.getpid()}-{next(_numbers)}"
    system = f"{PREFIX}system-{os.getpid()}-{next(_numbers)}"
    lane = Lane()
    client = around.client
    await asyncio.gather(*(client.send("POST", "/api/v1/namespaces", restricted(name)) for name in (namespace, system)))
    async with proxy(lane, around.session, client.server) as url:
        log = around.folder / f"{namespace}.log"
        operator = Operator(around.program, _environment(around, namespace, system, url, plan), log, lambda: _free_lease(client, system))
        lane.kill = operator.kill
        await operator.start()
        try:
            await service_account(client, namespace)
            await _at_work(lane)
            yield Run(around, plan, Place(client, namespace), lane, operator)
        finally:
            await operator.stop()
            around.observer.histories.pop(namespace, None)
            for name in (namespace, system):
                await client.send("DELETE", f"/api/v1/namespaces/{name}")


def _environment(around: Surroundings, namespace: str, system: str, url: str, plan: Plan) -> dict[str, str]:
    config = around.folder / f"{namespace}.yaml"
    # An event that is dropped and never told again is made good by the next resync, and ten minutes are longer than anybody waits here.
    changes: dict[str, Any] = {"resyncSeconds": 10} if plan.action.do == "drop" else {}
    config.write_text(configuration(namespace, system, **changes))
    credentials = around.folder / f"{namespace}.kubeconfig"
    credentials.write_text(kubeconfig(around.kubeconfig, url))
    return {**environment(credentials, config), "FAULTS_NAMESPACE": namespace}


async def _free_lease(client: Client, system: str) -> None:
    """Take away what a killed leader held: its successor would wait until it runs out, and that is another test's subject."""
    await client.send("DELETE", f"/apis/coordination.k8s.io/v1/namespaces/{system}/leases")


async def _at_work(lane: Lane) -> None:
    """Wait until the operator looks at custom resources: what it finds at its start is another case than what comes later."""
    for _ in range(int(_CLEAN_LIMIT_S / _TICK_S)):
        if any(call.asked.resource == kinds.LLM_DEPLOYMENT.plural for call in lane.calls):
            return
        await asyncio.sleep(_TICK_S)
    raise TimeoutError("the operator did not begin to work")


async def service_account(client: Client, namespace: str) -> None:
    """Wait for what pods of a new namespace need."""
    for _ in range(int(_CLEAN_LIMIT_S / _TICK_S)):
        if await client.send("GET", f"/api/v1/namespaces/{namespace}/serviceaccounts/default") is not None:
            return
        await asyncio.sleep(_TICK_S)
    raise TimeoutError(f"namespace {namespace} has no service account")


def _lines(log: Path) -> list[dict[str, str]]:
    found = []
    with contextlib.suppress(FileNotFoundError):
        for line in log.read_text().splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                found.append({"message": line, "traceback": line if line.startswith("Traceback") else ""})
    return found
