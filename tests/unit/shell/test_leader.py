"""The elector on a cluster in memory, on a clock that only moves when everybody sleeps."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from llm_operator.core import kinds
from llm_operator.core.lease import LEASE_S, RENEW_S, RETRY_S
from llm_operator.shell.errors import ConflictError, ForbiddenError, TransientError
from llm_operator.shell.fence import Fence
from llm_operator.shell.leader import Elector, LostError
from tests.fakes.cluster import Call, FakeCluster, Fault

NAME = "llm-operator"
_sleep = asyncio.sleep


@dataclass
class World:
    """One Lease, several electors, and the time."""

    cluster: FakeCluster = field(default_factory=FakeCluster)
    now: float = 1000.0
    slept: int = 0

    async def sleep(self, seconds: float) -> None:
        """Stand in for asyncio.sleep: the first to wake moves the time on."""
        wakes = self.now + seconds
        while self.now < wakes:
            await _sleep(0)
            self.slept += 1
            self.now = min(wakes, self.now + 0.1)

    def elector(self, me: str, cluster: Any = None) -> Elector:
        return Elector(
            leases=cluster or self.cluster,
            namespace="ns",
            name=NAME,
            me=me,
            fence=Fence(lambda: self.now),
            clock=lambda: self.now,
            now=lambda: datetime.now(UTC),
        )

    def holder(self) -> str | None:
        found = self.cluster.find(kinds.LEASE, NAME)
        return found["spec"].get("holderIdentity") if found else None

    def hold(self, holder: str, **spec: Any) -> None:
        self.cluster.put(
            {
                "apiVersion": kinds.LEASE.api_version,
                "kind": "Lease",
                "metadata": {"name": NAME},
                "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15, **spec},
            }
        )

    def faulty(self, error: Exception, matches: Callable[[Call], bool], times: int = 1, *, after: bool = False) -> Fault:
        fault = Fault(error, matches, times=times, after=after)  # type: ignore[arg-type]  # any error may be raised
        self.cluster.faults.append(fault)
        return fault


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    monkeypatch.setattr("llm_operator.shell.leader.asyncio.sleep", made.sleep)
    return made


class Work:
    """What an elector lets run."""

    def __init__(self, world: World, elector: Elector, for_s: float | None = None) -> None:
        self.world, self.elector, self.for_s = world, elector, for_s
        self.began = asyncio.Event()
        self.open_at_the_end: bool | None = None

    async def __call__(self) -> None:
        self.began.set()
        try:
            if self.for_s is None:
                await asyncio.Event().wait()
            else:
                await self.world.sleep(self.for_s)
        finally:
            self.open_at_the_end = self.elector.fence.is_open


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await _sleep(0)


async def test_a_free_lease_is_taken_renewed_while_there_is_work_and_given_back(world: World) -> None:
    one = world.elector("a")
    work = Work(world, one, for_s=60)
    running = asyncio.create_task(one.run(work, asyncio.Event()))
    await asyncio.wait_for(work.began.wait(), 5)
    assert world.holder() == "a"
    await running
    assert work.open_at_the_end is True
    assert not one.fence.is_open
    assert world.holder() == ""
    assert 25 <= [call.verb for call in world.cluster.calls].count("update") <= 32, "one request every two seconds, and the last"


async def test_a_standby_takes_over_at_once_what_was_given_back(world: World) -> None:
    first, second = world.elector("a"), world.elector("b")
    work, next_work = Work(world, first, for_s=20), Work(world, second, for_s=5)
    leading = asyncio.create_task(first.run(work, asyncio.Event()))
    await asyncio.wait_for(work.began.wait(), 5)
    following = asyncio.create_task(second.run(next_work, asyncio.Event()))
    await leading
    given_back = world.now
    assert not next_work.began.is_set()
    await asyncio.wait_for(next_work.began.wait(), 5)
    assert world.now - given_back <= RETRY_S + 0.5
    await following
    assert world.cluster.find(kinds.LEASE, NAME)["spec"]["leaseTransitions"] == 2  # type: ignore[index]  # it is there


async def test_a_lease_that_nobody_renews_is_taken_when_it_has_run_out_and_not_before(world: World) -> None:
    world.hold("dead", renewTime="2999-01-01T00:00:00.000000Z")
    one, began = world.elector("a"), world.now
    await one.run(Work(world, one, for_s=0), asyncio.Event())
    taken = world.now - began
    assert LEASE_S <= taken <= LEASE_S + 0.5


async def test_who_finds_another_holder_stops_writing_and_ends(world: World) -> None:
    one = world.elector("a")
    work = Work(world, one)
    running = asyncio.create_task(one.run(work, asyncio.Event()))
    await asyncio.wait_for(work.began.wait(), 5)
    world.cluster.edit(kinds.LEASE, NAME, lambda live: live["spec"].update(holderIdentity="b"))
    with pytest.raises(LostError, match="b holds the Lease"):
        await asyncio.wait_for(running, 5)
    assert work.open_at_the_end is False
    assert world.holder() == "b"


async def test_who_cannot_renew_stops_writing_in_time_and_goes_on_if_nobody_has_led_meanwhile(world: World) -> None:
    one = world.elector("a")
    work = Work(world, one)
    stop = asyncio.create_task(one.run(work, asyncio.Event()))
    await asyncio.wait_for(work.began.wait(), 5)
    away = world.faulty(TransientError(0, "Unreachable", "nobody there"), lambda _: True, times=10_000)
    since = world.now
    await until(lambda: not one.fence.is_open)
    assert world.now - since <= RENEW_S
    await until(lambda: world.now > since + 60)
    assert not stop.done()
    away.times = 0
    await until(lambda: one.fence.is_open)
    assert world.holder() == "a"
    stop.cancel()
    await asyncio.wait([stop])


async def test_who_finds_the_lease_given_back_by_somebody_else_ends_as_well(world: World) -> None:
    one = world.elector("a")
    running = asyncio.create_task(one.run(Work(world, one), asyncio.Event()))
    await until(lambda: one.fence.is_open)
    away = world.faulty(TransientError(0, "Unreachable", "nobody there"), lambda _: True, times=10_000)
    await until(lambda: away.fired > 1)
    world.cluster.edit(kinds.LEASE, NAME, lambda live: live["spec"].update(holderIdentity=""))
    away.times = 0
    with pytest.raises(LostError, match="nobody holds the Lease"):
        await asyncio.wait_for(running, 5)
    assert world.holder() == ""


async def test_a_claim_whose_answer_was_lost_is_found_by_the_next_look(world: World) -> None:
    world.faulty(TransientError(0, "Timeout", "no answer"), lambda call: call.verb == "create", after=True)
    one = world.elector("a")
    await one.run(Work(world, one, for_s=0), asyncio.Event())
    assert world.holder() == ""


async def test_a_renewal_whose_answer_was_lost_is_no_loss(world: World) -> None:
    one = world.elector("a")
    work = Work(world, one, for_s=30)
    running = asyncio.create_task(one.run(work, asyncio.Event()))
    await asyncio.wait_for(work.began.wait(), 5)
    lost = world.faulty(TransientError(0, "Timeout", "no answer"), lambda call: call.verb == "update", times=3, after=True)
    await running
    assert (lost.fired, work.open_at_the_end) == (3, True)


@pytest.mark.parametrize(
    "error",
    [
        TransientError(0, "Unreachable", "connection refused"),
        TransientError(503, "ServiceUnavailable", "down"),
        TransientError(200, "BadAnswer", "the API server's answer is not JSON"),
        ConflictError(409, "Conflict", "the object has been modified"),
        ForbiddenError(403, "Forbidden", "leases is forbidden"),
        TimeoutError(),
    ],
    ids=["no connection", "5xx", "no JSON", "conflict", "no right", "no answer"],
)
@pytest.mark.parametrize("verb", ["get", "create"])
async def test_nothing_the_api_server_says_ends_a_standby(world: World, error: Exception, verb: str) -> None:
    fault = world.faulty(error, lambda call: call.verb == verb, times=5)
    one = world.elector("a")
    await one.run(Work(world, one, for_s=0), asyncio.Event())
    assert fault.fired == 5


@pytest.mark.parametrize("spec", ["text", {"holderIdentity": ""}, {"leaseTransitions": "many", "acquireTime": 5}], ids=str)
async def test_a_lease_that_makes_no_sense_is_taken_for_free(world: World, spec: Any) -> None:
    world.hold("")
    world.cluster.edit(kinds.LEASE, NAME, lambda live: live.update(spec=spec))
    one = world.elector("a")
    work = Work(world, one, for_s=0)
    await one.run(work, asyncio.Event())
    assert work.began.is_set()


async def test_a_lease_that_is_deleted_is_made_again_by_its_holder(world: World) -> None:
    one, other = world.elector("a"), world.elector("b")
    work, never = Work(world, one, for_s=40), Work(world, other, for_s=0)
    leading = asyncio.create_task(one.run(work, asyncio.Event()))
    await asyncio.wait_for(work.began.wait(), 5)
    stop = asyncio.Event()
    standing_by = asyncio.create_task(other.run(never, stop))
    await until(lambda: other._seen is not None)
    world.cluster.remove(kinds.LEASE, NAME)
    await until(lambda: world.holder() == "a")
    assert not never.began.is_set()
    stop.set()
    await asyncio.gather(leading, standing_by)


async def test_of_two_who_find_it_free_one_leads(world: World) -> None:
    both = [world.elector("a"), world.elector("b")]
    works = [Work(world, each) for each in both]
    running = [asyncio.create_task(each.run(work, asyncio.Event())) for each, work in zip(both, works, strict=True)]
    await until(lambda: any(work.began.is_set() for work in works))
    began = world.now
    await until(lambda: world.now > began + 60)
    assert [each.fence.is_open for each in both].count(True) == 1
    assert [work.began.is_set() for work in works].count(True) == 1
    for task in running:
        task.cancel()
    await asyncio.wait(running)


async def test_who_is_told_to_stop_while_standing_by_leaves_the_lease_alone(world: World) -> None:
    world.hold("other")
    one, stop = world.elector("a"), asyncio.Event()
    work = Work(world, one)
    running = asyncio.create_task(one.run(work, stop))
    await until(lambda: one._seen is not None)
    stop.set()
    await asyncio.wait_for(running, 5)
    assert (work.began.is_set(), world.holder()) == (False, "other")


async def test_work_that_fails_gives_the_lease_back_and_is_told_of(world: World) -> None:
    async def fails() -> None:
        raise RuntimeError("the watch ended by itself")

    with pytest.raises(RuntimeError, match="the watch ended"):
        await world.elector("a").run(fails, asyncio.Event())
    assert world.holder() == ""


async def test_a_lease_that_cannot_be_given_back_is_left_to_run_out(world: World, caplog: pytest.LogCaptureFixture) -> None:
    one = world.elector("a")
    work = Work(world, one, for_s=0.5)
    running = asyncio.create_task(one.run(work, asyncio.Event()))
    await asyncio.wait_for(work.began.wait(), 5)
    world.faulty(TransientError(0, "Unreachable", "nobody there"), lambda _: True, times=1_000)
    await running
    assert "the Lease was not given back: nobody there" in caplog.text


async def test_a_standby_says_once_for_whom_it_waits_and_once_why_it_does_not_know(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="llm_operator")
    world.hold("other")
    stop, looks = asyncio.Event(), []
    one = world.elector("a")
    one.looked = lambda: looks.append(world.now)
    running = asyncio.create_task(one.run(Work(world, one), stop))
    await until(lambda: len(looks) > 4)
    away = world.faulty(TransientError(0, "Unreachable", "nobody there"), lambda _: True, times=3)
    seen = len(looks)
    await until(lambda: away.fired == 3)
    assert len(looks) == seen
    stop.set()
    await running
    assert [(each.levelname, each.message) for each in caplog.records] == [("INFO", "other holds the Lease"), ("WARNING", "nobody there")]


async def test_a_bug_while_standing_by_ends_the_process_before_any_work(world: World) -> None:
    one = world.elector("a")
    world.faulty(RuntimeError("bug"), lambda call: call.verb == "get")
    work = Work(world, one, for_s=1)
    with pytest.raises(RuntimeError, match="bug"):
        await one.run(work, asyncio.Event())
    assert not work.began.is_set()
