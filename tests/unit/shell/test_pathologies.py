"""Whatever pods tell, or do not, over HTTP: from the request to the decision, figures that are wrong move nothing.

Each fleet of four carries what four can, and goes wrong for longer than it takes one with nothing to do to lose its first pod.
"""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache, partial

import pytest
from aiohttp import web

from llm_operator.api.llmdeployment import LLMDeploymentSpec
from llm_operator.core.autoscale import Scaling, autoscale
from llm_operator.core.scaling.capacity import ASSUMED
from llm_operator.core.scaling.exposition import read
from llm_operator.core.scaling.sample import Expected
from llm_operator.core.world import World, sort
from llm_operator.shell.telemetry import HttpTelemetry
from llm_operator.shell.watcher import Watcher
from tests.unit.core.builders import make_deployment, make_spec
from tests.unit.core.scaling.pods import told
from tests.unit.core.scaling.test_sample import PATHOLOGIES, valued
from tests.unit.core.sim import Sim
from tests.unit.core.test_autoscale import POD
from tests.unit.core.test_engine_change import run

KEY = "team/chat"
QUIET = valued("vllm:num_requests_waiting", "0")(valued("llm_sidecar_queue_depth", "0")(valued("llm_sidecar_held", "0")(told())))
LOAD = 3.3 * POD / 4
"""Tokens a second of each pod: together they need all four."""
SEQUENCES = 10
STEP_S = (ASSUMED.fixed_s + SEQUENCES * ASSUMED.sequence_s) / (1 - ASSUMED.prompt_token_s * LOAD)
"""What a step takes that adds a token to so many sequences, and reads what has come since the last one."""
DONE = {
    "vllm:generation_tokens_total": SEQUENCES,
    "vllm:iteration_tokens_total_count": 1.0,
    "vllm:inter_token_latency_seconds_count": SEQUENCES,
    "vllm:inter_token_latency_seconds_sum": SEQUENCES * STEP_S,
    "vllm:request_prompt_tokens_count": LOAD * STEP_S / 500,
    "vllm:request_prompt_tokens_sum": LOAD * STEP_S,
    "vllm:request_generation_tokens_count": LOAD * STEP_S / 500,
    "vllm:request_generation_tokens_sum": SEQUENCES,
}
"""What an engine counts in a step."""
GOOD = valued("vllm:prompt_tokens_total", "<READ>")(valued("process_start_time_seconds", "<STARTED>")(QUIET))
for _name in DONE:
    GOOD = valued(_name, f"<{_name}>")(GOOD)
PARTS = re.split(rb"(<[^<>]*>)", GOOD)
"""The values in it and what is between them: it is told thousands of times."""
BLIND = {"MetricsStale", "Observing", "NoReadyPod"}

Answer = Callable[["Fleet", int], Awaitable[web.Response]]
"""Answers as the pod of a number does."""


@dataclass
class Fleet:
    """Four pods behind one server, told apart by the address they are reached at, and the operator's own way from it to a decision."""

    world: World
    spec: LLMDeploymentSpec
    engine: str
    now: datetime
    answers: dict[int, Answer] = field(default_factory=dict)
    load: float = LOAD
    asked: Counter[int] = field(default_factory=Counter)
    seconds: float = 0.0
    watcher: Watcher | None = None
    flying: Counter[str] = field(default_factory=Counter)
    """Questions that are not answered yet, by address."""
    open: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def steps(self) -> tuple[float, ...]:
        """Return what was learned of the steps of its engine, in parts of the truth."""
        assert self.watcher is not None
        found = self.watcher.watched(KEY).learned[self.engine]
        assert found.calibrated
        return tuple(getattr(found.steps, each) / getattr(ASSUMED, each) for each in ("fixed_s", "sequence_s", "prompt_token_s"))

    @property
    def awake(self) -> list[int]:
        """Return the pods whose answers need not be waited for for ever."""
        return [pod for pod in PODS if self.answers.get(pod) is not hangs]

    async def ask(self, telemetry: HttpTelemetry, address: str) -> bytes | None:
        """Ask as the operator does, but not while the time is set: an answer is of the time it is taken for."""
        await self.open.wait()
        self.flying[address] += 1
        try:
            return await telemetry._ask_load(address)
        finally:
            self.flying[address] -= 1

    def figures(self, pod: int, *, seconds: float | None = None, started: float | None = None) -> bytes:
        """Return the figures of a pod that has had its load all the time."""
        read = self.load * (self.seconds if seconds is None else seconds)
        began = pod if started is None else started
        values = {f"<{name}>": in_a_step * read / (LOAD * STEP_S) for name, in_a_step in DONE.items()}
        told = {name.encode(): str(value).encode() for name, value in {**values, "<READ>": read + 30, "<STARTED>": began}.items()}
        return b"".join(told.get(part, part) for part in PARTS)

    def response(self, body: bytes, **how: int) -> web.Response:
        return web.Response(body=body.replace(b'engine="e1"', f'engine="{self.engine}"'.encode()), **how)  # type: ignore[arg-type]  # a status

    async def tell(self, request: web.Request) -> web.Response:
        transport = request.transport
        assert transport is not None
        pod = int(transport.get_extra_info("sockname")[0].rsplit(".", 1)[1])
        self.asked[pod] += 1
        answer = self.answers.get(pod, good)
        if answer is hangs_up:
            transport.abort()
        return await answer(self, pod)

    async def after(self, seconds: float) -> Scaling:
        """Let time pass, and decide once everybody was asked again."""
        assert self.watcher is not None
        self.open.clear()
        async with asyncio.timeout(20):
            while any(self.flying[f"127.0.0.{pod}"] for pod in self.awake):  # noqa: ASYNC110 - the pods are asked by whoever is tested
                await asyncio.sleep(0.001)
        self.seconds += seconds
        self.now += timedelta(seconds=seconds)
        self.open.set()
        before = Counter(self.asked)
        watches = {self.engine: Expected("chat", self.engine, "chat")}
        self.watcher.watch(KEY, self.world.pods, watches, self.watcher.watched(KEY).memory)
        async with asyncio.timeout(20):
            while any(self.asked[pod] < before[pod] + 2 for pod in self.awake):  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.001)
        decided = autoscale(self.world, self.spec, self.watcher.watched(KEY), self.now)
        assert decided is not None
        self.watcher.watch(KEY, self.world.pods, decided.watches, decided.memory)
        self.world = replace(self.world, status={**self.world.status, "autoscaling": decided.entry})
        return decided


PODS = (11, 12, 13, 14)


async def good(fleet: Fleet, pod: int) -> web.Response:
    return fleet.response(fleet.figures(pod))


async def hangs(fleet: Fleet, pod: int) -> web.Response:
    await asyncio.sleep(3600)
    return fleet.response(fleet.figures(pod))


async def hangs_up(fleet: Fleet, pod: int) -> web.Response:
    return await good(fleet, pod)  # which nobody gets any more


async def restarts(fleet: Fleet, pod: int) -> web.Response:
    return fleet.response(fleet.figures(pod, seconds=1, started=fleet.seconds * 100 + pod))


async def counts_anew(fleet: Fleet, pod: int) -> web.Response:
    return fleet.response(fleet.figures(pod, seconds=400 / fleet.seconds))


async def stands_still(fleet: Fleet, pod: int) -> web.Response:
    return fleet.response(fleet.figures(pod, seconds=20))


async def is_another(fleet: Fleet, _: int) -> web.Response:
    return fleet.response(fleet.figures(PODS[0]))


async def has_no_figures(fleet: Fleet, pod: int) -> web.Response:
    return web.Response(status=204, reason=f"nothing of {pod} of {fleet.engine}")


def fails(status: int) -> Answer:
    async def answer(fleet: Fleet, pod: int) -> web.Response:
        return fleet.response(fleet.figures(pod), status=status)

    return answer


def tells(pathology: str) -> Answer:
    async def answer(fleet: Fleet, pod: int) -> web.Response:
        return fleet.response(PATHOLOGIES[pathology](fleet.figures(pod)))

    return answer


def tells_more_of(counter: str) -> Answer:
    async def answer(fleet: Fleet, pod: int) -> web.Response:
        body = fleet.figures(pod)
        (series,) = read(body, {counter})
        return fleet.response(valued(counter, str(series.value + 1e6))(body))

    return answer


WRONG: dict[str, Answer] = {
    **{name: tells(name) for name in PATHOLOGIES},
    "an error, figures or not": fails(500),
    "not found": fails(404),
    "not ready": fails(503),
    "elsewhere": fails(302),
    "no content": has_no_figures,
    "it hangs": hangs,
    "it hangs up": hangs_up,
    "it restarts again and again": restarts,
    "its counters run backwards": counts_anew,
    "it stands still, though it works": stands_still,
    "all tell another pod's": is_another,
}


@cache
def _settled() -> tuple[World, LLMDeploymentSpec, str, datetime]:
    """Return how every fleet begins; nothing in it is ever changed."""
    asked = {"mode": "BuiltIn", "minReplicas": 1, "maxReplicas": 8, "scaleDownDelay": "1m"}
    sim = Sim(deployment=make_deployment(spec=make_spec(replicas=4, autoscaling=asked)))
    run(sim, 8)
    for number, pod in zip(PODS, sim.held(), strict=True):
        pod["status"]["podIP"] = f"127.0.0.{number}"
    (engine,) = sim.engines()
    return sort(sim.observed()), LLMDeploymentSpec.model_validate(sim.deployment["spec"]), engine, sim.now


@asynccontextmanager
async def fleet_of_four() -> AsyncIterator[Fleet]:
    fleet = Fleet(*_settled())
    app = web.Application()
    app.router.add_get("/metrics", fleet.tell)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
    await runner.setup()
    site = web.TCPSite(runner, "0.0.0.0", 0)  # four addresses of this machine
    await site.start()
    try:
        async with HttpTelemetry(port=runner.addresses[0][1]) as telemetry:
            fleet.watcher = Watcher(partial(fleet.ask, telemetry), lambda: fleet.now, lambda: 0.5, lambda _: None, interval_s=0.004)
            try:
                yield fleet
            finally:
                await fleet.watcher.close()
    finally:
        await runner.cleanup()


async def decisions(fleet: Fleet, *pauses: float) -> list[tuple[int, str]]:
    found = [await fleet.after(each) for each in pauses]
    return [(each.replicas, each.entry["lastDecisions"][-1]["reason"]) for each in found]


async def _warm(fleet: Fleet) -> None:
    assert (await decisions(fleet, 5, 5, 5, 5))[-1] == (4, "Fits")
    assert fleet.steps == TRUE


TRUE = pytest.approx((1.0, 1.0, 1.0), rel=0.01)
LONG = (40.0, 60.0, 60.0)


@pytest.mark.parametrize("wrong", WRONG)
async def test_figures_that_are_wrong_move_no_pod(wrong: str) -> None:
    async with fleet_of_four() as fleet:
        await _warm(fleet)
        fleet.answers = dict.fromkeys(PODS, WRONG[wrong])
        found = await decisions(fleet, *LONG)
        assert {replicas for replicas, _ in found} == {4}
        assert {reason for _, reason in found} <= BLIND
        fleet.answers = {}
        assert {replicas for replicas, _ in await decisions(fleet, 5, 5)} == {4}
        assert fleet.steps == TRUE, "nothing was learned of it"


ONE_WRONG = {
    **{each.__name__: each for each in (hangs, hangs_up, stands_still, restarts)},
    **{name: tells(name) for name in ("nothing", "more run than there are places")},
}


@pytest.mark.parametrize("wrong", ONE_WRONG.values(), ids=ONE_WRONG)
async def test_one_pod_of_four_that_is_wrong_counts_as_the_others_do(wrong: Answer) -> None:
    async with fleet_of_four() as fleet:
        await _warm(fleet)
        fleet.answers = {PODS[1]: wrong}
        assert {replicas for replicas, _ in await decisions(fleet, *[5.0] * 4, 20.0, *LONG)} == {4}
        fleet.answers = {}
        assert {replicas for replicas, _ in await decisions(fleet, 5, 5)} == {4}
        assert fleet.steps == TRUE, "nothing was learned of it"


async def test_two_that_tell_the_figures_of_one_are_both_not_believed() -> None:
    async with fleet_of_four() as fleet:
        await _warm(fleet)
        fleet.answers = {PODS[1]: is_another}
        found = await decisions(fleet, *LONG)
        assert set(found[1:]) == {(4, "MetricsStale")}


@pytest.mark.parametrize("jumped", ["vllm:prompt_tokens_total", "vllm:generation_tokens_total"])
async def test_a_counter_that_jumps_is_not_what_a_pod_can_do(jumped: str) -> None:
    async with fleet_of_four() as fleet:
        await _warm(fleet)
        fleet.answers = {PODS[1]: tells_more_of(jumped)}
        assert {replicas for replicas, _ in await decisions(fleet, *[5.0] * 20)} == {4}
        assert fleet.steps == TRUE
        fleet.answers = {}
        assert {replicas for replicas, _ in await decisions(fleet, 5, 5, 5)} == {4}


@pytest.mark.parametrize("figure", ["vllm:num_requests_waiting", "llm_sidecar_queue_depth", "llm_sidecar_held"])
async def test_one_pod_of_four_of_which_a_million_wait_asks_for_two_more_at_most(figure: str) -> None:
    async with fleet_of_four() as fleet:
        await _warm(fleet)
        fleet.answers = {PODS[1]: has(figure, "1000000")}
        assert max(replicas for replicas, _ in await decisions(fleet, *[5.0] * 10)) <= 6


def has(figure: str, value: str) -> Answer:
    async def answer(fleet: Fleet, pod: int) -> web.Response:
        return fleet.response(valued(figure, value)(fleet.figures(pod)))

    return answer


async def test_a_fleet_that_truly_has_nothing_to_do_loses_pods_in_that_time() -> None:
    async with fleet_of_four() as fleet:
        await _warm(fleet)
        busy_s, fleet.answers = fleet.seconds, dict.fromkeys(PODS, rests)
        fleet.load *= busy_s
        found = await decisions(fleet, *[5.0] * 40)
        assert found[-1][0] < 4


async def rests(fleet: Fleet, pod: int) -> web.Response:
    return fleet.response(valued("vllm:num_requests_running", "0")(fleet.figures(pod, seconds=1)))
