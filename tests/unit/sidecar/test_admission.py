"""Slots and the line before them."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_sidecar.admission import Admission
from llm_sidecar.bundle import Limits
from llm_sidecar.errors import Refusal


def make(slots: int = 1, queue: int = 2, timeout_ms: int = 5_000) -> Admission:
    return Admission(Limits(max_concurrency=slots, queue=queue, queue_timeout_ms=timeout_ms))


async def waiting(admission: Admission, count: int) -> list[asyncio.Task[None]]:
    tasks = [asyncio.create_task(admission.acquire()) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


async def test_slots_are_given_in_the_order_of_arrival() -> None:
    admission = make()
    await admission.acquire()
    first, second = await waiting(admission, 2)
    admission.release()
    await first
    assert not second.done()
    admission.release()
    await second
    assert (admission.running, admission.queued) == (1, 0)


async def test_nobody_passes_those_who_wait() -> None:
    admission = make()
    await admission.acquire()
    (first,) = await waiting(admission, 1)
    admission.release()
    (late,) = await waiting(admission, 1)
    await first
    assert not late.done()
    late.cancel()
    await asyncio.gather(late, return_exceptions=True)


async def test_a_full_line_refuses_at_once() -> None:
    admission = make(queue=0)
    await admission.acquire()
    with pytest.raises(Refusal) as caught:
        await admission.acquire()
    assert (caught.value.status, caught.value.code, caught.value.retry_after_s) == (429, "queue_full", 5)


async def test_a_wait_that_runs_out_leaves_the_line() -> None:
    admission = make(timeout_ms=10)
    await admission.acquire()
    with pytest.raises(Refusal) as caught:
        await admission.acquire()
    assert (caught.value.code, caught.value.retry_after_s) == ("queue_timeout", 1)
    assert (admission.running, admission.queued) == (1, 0)


async def test_a_slot_given_to_one_who_just_left_goes_to_the_next() -> None:
    admission = make()
    await admission.acquire()
    first, second = await waiting(admission, 2)
    admission.release()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await second
    assert (admission.running, admission.queued) == (1, 0)


async def test_one_who_left_is_passed_over() -> None:
    admission = make()
    await admission.acquire()
    first, second = await waiting(admission, 2)
    first.cancel()
    admission.release()
    await asyncio.gather(first, return_exceptions=True)
    await second
    assert (admission.running, admission.queued) == (1, 0)


async def test_more_slots_let_the_line_in_at_once_and_fewer_interrupt_nobody() -> None:
    admission = make(slots=1, queue=5)
    await admission.acquire()
    tasks = await waiting(admission, 3)
    admission.set_limits(Limits(max_concurrency=3))
    await asyncio.sleep(0)
    assert [task.done() for task in tasks] == [True, True, False]
    admission.set_limits(Limits(max_concurrency=1))
    assert admission.running == 3
    admission.release()
    admission.release()
    await asyncio.sleep(0)
    assert not tasks[2].done()
    admission.release()
    await tasks[2]


@given(st.lists(st.sampled_from(["come", "leave", "done", "turn"]), max_size=40), st.integers(1, 3), st.integers(0, 3))
def test_whatever_happens_the_slots_add_up(steps: list[str], slots: int, queue: int) -> None:
    async def play() -> None:
        admission = make(slots, queue)
        tasks: list[asyncio.Task[None]] = []
        held = 0
        for step in steps:
            if step == "come":
                tasks.append(asyncio.create_task(admission.acquire()))
            elif step == "leave" and tasks:
                tasks[len(tasks) // 2].cancel()
            elif step == "done" and held:
                admission.release()
                held -= 1
            else:
                await asyncio.sleep(0)
            finished = [task for task in tasks if task.done()]
            tasks = [task for task in tasks if not task.done()]
            held += sum(not task.cancelled() and task.exception() is None for task in finished)
            assert admission.running <= slots
            assert admission.queued <= queue + 1
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        held += sum(result is None for result in results)
        assert admission.running == held
        assert admission.queued == 0

    asyncio.run(play())
