import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from llm_operator.shell.queue import BACKOFF_CAP_S, Key, Result, Schedule, WorkQueue

KEYS = st.sampled_from(["a", "b", "c", "d"])
DELAYS = st.floats(0, 1_000, allow_nan=False)


def no_jitter() -> float:
    return 0.0


class TheSchedule(RuleBasedStateMachine):
    """Compares the schedule with what it promises: nothing lost, nothing early, nothing twice at once."""

    def __init__(self) -> None:
        super().__init__()
        self.schedule: Schedule[str] = Schedule(no_jitter)
        self.now = 0.0
        self.due: dict[str, float] = {}
        self.working: set[str] = set()
        self.failures: dict[str, int] = {}

    @rule(key=KEYS, delay=DELAYS)
    def add(self, key: str, delay: float) -> None:
        self._expect(key, self.now + delay)
        self.schedule.add(key, self.now + delay)

    @rule(seconds=DELAYS)
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def take(self) -> None:
        ready = {key: at for key, at in self.due.items() if at <= self.now and key not in self.working}
        key = self.schedule.take(self.now)
        if not ready:
            assert key is None
            return
        assert key in ready
        assert ready[key] == min(ready.values())
        del self.due[key]
        self.working.add(key)

    @precondition(lambda self: self.working)
    @rule(data=st.data(), failed=st.booleans(), next_look_s=st.none() | DELAYS, retry_after_s=DELAYS)
    def give_back(self, data: st.DataObject, failed: bool, next_look_s: float | None, retry_after_s: float) -> None:
        key = data.draw(st.sampled_from(sorted(self.working)))
        self.schedule.done(key, Result(next_look_s=next_look_s, failed=failed, retry_after_s=retry_after_s), self.now)
        self.working.discard(key)
        if failed:
            self.failures[key] = self.failures.get(key, 0) + 1
            backoff = min(2.0 ** (self.failures[key] - 1), BACKOFF_CAP_S)
            self._expect(key, self.now + max(backoff, retry_after_s))
            return
        self.failures.pop(key, None)
        if next_look_s is not None:
            self._expect(key, self.now + next_look_s)

    @invariant()
    def the_next_one_is_the_soonest_that_nobody_works_on(self) -> None:
        waiting = [at for key, at in self.due.items() if key not in self.working]
        assert self.schedule.next_due() == (min(waiting) if waiting else None)
        assert len(self.schedule) == len(self.due)

    def _expect(self, key: str, at: float) -> None:
        self.due[key] = min(at, self.due.get(key, float("inf")))


TestTheSchedule = TheSchedule.TestCase


@given(jitter=st.floats(0, 1), failures=st.integers(1, 60))
def test_backoff_doubles_from_one_second_to_five_minutes_with_a_tenth_of_jitter(jitter: float, failures: int) -> None:
    schedule: Schedule[str] = Schedule(lambda: jitter)
    for _ in range(failures):
        schedule.add("a", 0.0)
        assert schedule.take(0.0) == "a"
        schedule.done("a", Result(failed=True), 0.0)
    full = min(2.0 ** (failures - 1), 300.0)
    due = schedule.next_due()
    assert due is not None
    assert full * 0.9 <= due <= full


def test_a_failure_may_ask_for_less_patience() -> None:
    schedule: Schedule[str] = Schedule(no_jitter)
    for _ in range(20):
        schedule.add("a", 0.0)
        schedule.take(0.0)
        schedule.done("a", Result(failed=True, patience_s=15.0), 0.0)
    assert schedule.next_due() == 15.0


def test_a_success_forgets_earlier_failures() -> None:
    schedule: Schedule[str] = Schedule(no_jitter)
    for failed in (True, True, False, True):
        schedule.add("a", 0.0)
        schedule.take(0.0)
        schedule.done("a", Result(failed=failed), 0.0)
    assert schedule.next_due() == 1.0


def test_an_event_does_not_wait_for_the_backoff_of_an_earlier_failure() -> None:
    schedule: Schedule[str] = Schedule(no_jitter)
    for _ in range(8):
        schedule.add("a", 0.0)
        schedule.take(0.0)
        schedule.done("a", Result(failed=True), 0.0)
    schedule.add("a", 0.5)
    assert schedule.next_due() == 0.5


def test_the_first_news_of_a_key_is_looked_at_soon_and_what_follows_half_a_second_after_that() -> None:
    schedule: Schedule[str] = Schedule(no_jitter)
    schedule.hear("a", 10.0)
    schedule.hear("a", 10.05)
    assert schedule.next_due() == 10.1
    assert schedule.take(10.1) == "a"
    schedule.hear("a", 10.2)
    schedule.hear("a", 10.3)
    schedule.done("a", Result(), 10.3)
    assert schedule.next_due() == 10.6


def test_who_can_wait_is_looked_at_a_while_after_the_last_look() -> None:
    schedule: Schedule[str] = Schedule(no_jitter)
    schedule.hear("a", 10.0, gap_s=10.0)
    assert schedule.take(10.1) == "a"
    schedule.done("a", Result(), 10.2)
    schedule.hear("a", 11.0, gap_s=10.0)
    assert schedule.next_due() == 20.1


class Handler:
    """Records who was worked on, how often at once, and lets a test hold it."""

    def __init__(self) -> None:
        self.seen: list[Key] = []
        self.at_once: dict[Key, int] = {}
        self.most_at_once = 0
        self.hold = asyncio.Event()
        self.hold.set()
        self.slow: set[Key] = set()
        self.results: dict[Key, list[Result]] = {}

    async def __call__(self, key: Key) -> Result:
        self.seen.append(key)
        self.at_once[key] = self.at_once.get(key, 0) + 1
        self.most_at_once = max(self.most_at_once, self.at_once[key])
        if not self.slow or key in self.slow:
            await self.hold.wait()
        self.at_once[key] -= 1
        waiting = self.results.get(key, [])
        return waiting.pop(0) if waiting else Result()


def key(name: str) -> Key:
    return Key("LLMDeployment", "ns", name)


@contextlib.asynccontextmanager
async def working(queue: WorkQueue, handler: Handler, workers: int = 2) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(queue.run(handler)) for _ in range(workers)]
    try:
        yield
    finally:
        queue.close()
        handler.hold.set()
        await asyncio.wait_for(asyncio.gather(*tasks), 2)


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_what_comes_within_the_debounce_is_one_look() -> None:
    queue, handler = WorkQueue(jitter=no_jitter), Handler()
    async with working(queue, handler):
        for _ in range(10):
            queue.add(key("a"), 0.02)
        await asyncio.sleep(0.1)
    assert handler.seen == [key("a")]


async def test_one_key_is_never_worked_on_twice_at_once_and_looked_at_again_afterwards() -> None:
    queue, handler = WorkQueue(jitter=no_jitter), Handler()
    handler.hold.clear()
    async with working(queue, handler):
        queue.add(key("a"), 0)
        await settle()
        queue.add(key("a"), 0)
        queue.add(key("b"), 0)
        await settle()
        assert handler.seen == [key("a"), key("b")]
        handler.hold.set()
        await settle()
    assert handler.seen == [key("a"), key("b"), key("a")]
    assert handler.most_at_once == 1


async def test_a_look_that_takes_long_holds_up_no_other_key() -> None:
    queue, handler = WorkQueue(jitter=no_jitter), Handler()
    handler.slow = {key("slow")}
    handler.hold.clear()
    names = ("slow", "a", "b", "c", "d")
    async with working(queue, handler):
        for name in names:
            queue.add(key(name), 0)
        await settle()
        assert handler.seen == [key(name) for name in names]


async def test_a_result_can_ask_for_the_next_look() -> None:
    queue, handler = WorkQueue(jitter=no_jitter), Handler()
    handler.results[key("a")] = [Result(next_look_s=0.01)]
    async with working(queue, handler):
        queue.add(key("a"), 0)
        await asyncio.sleep(0.1)
    assert handler.seen == [key("a"), key("a")]


async def test_a_sooner_key_wakes_a_worker_that_waits_for_a_later_one() -> None:
    queue, handler = WorkQueue(jitter=no_jitter), Handler()
    async with working(queue, handler):
        queue.add(key("late"), 60)
        await settle()
        queue.add(key("soon"), 0)
        await settle()
        assert handler.seen == [key("soon")]
        assert len(queue) == 1


async def test_a_closed_queue_lets_the_look_that_has_begun_end_and_begins_no_other() -> None:
    queue, handler = WorkQueue(jitter=no_jitter), Handler()
    handler.hold.clear()
    worker = asyncio.create_task(queue.run(handler))
    queue.add(key("a"), 0)
    await settle()
    queue.add(key("b"), 0)
    queue.close()
    handler.hold.set()
    await asyncio.wait_for(worker, 2)
    assert handler.seen == [key("a")]


async def test_a_cancelled_look_is_due_again() -> None:
    queue, handler = WorkQueue(jitter=no_jitter), Handler()
    handler.hold.clear()
    worker = asyncio.create_task(queue.run(handler))
    queue.add(key("a"), 0)
    await settle()
    worker.cancel()
    with pytest.raises(asyncio.CancelledError):
        await worker
    assert len(queue) == 1


def test_a_key_reads_as_people_write_it() -> None:
    assert str(key("chat")) == "ns/chat"
