"""A timer that is moved more often than it rings."""

import asyncio

import pytest

from llm_sidecar.http.alarm import Alarm


@pytest.fixture
def rung() -> list[str]:
    return []


async def test_it_rings_once_at_its_time(rung: list[str]) -> None:
    loop = asyncio.get_running_loop()
    alarm = Alarm(loop)
    alarm.set(loop.time() + 0.02, lambda: rung.append("rung"))
    assert not rung
    await asyncio.sleep(0.2)
    assert rung == ["rung"]


async def test_what_is_set_last_counts_whether_it_is_later_or_earlier(rung: list[str]) -> None:
    loop = asyncio.get_running_loop()
    earlier, later = Alarm(loop), Alarm(loop)
    earlier.set(loop.time() + 60, lambda: rung.append("much too late"))
    earlier.set(loop.time() + 0.02, lambda: rung.append("earlier"))
    later.set(loop.time() + 0.02, lambda: rung.append("too early"))
    later.set(loop.time() + 0.1, lambda: rung.append("later"))
    await asyncio.sleep(0.5)
    assert rung == ["earlier", "later"]


async def test_it_can_be_set_again_after_it_was_cleared_or_rang(rung: list[str]) -> None:
    loop = asyncio.get_running_loop()
    alarm = Alarm(loop)
    alarm.set(loop.time() + 0.02, lambda: rung.append("cleared"))
    alarm.clear()
    await asyncio.sleep(0.1)
    assert not rung
    for _ in range(2):
        alarm.set(loop.time() + 0.02, lambda: rung.append("rung"))
        await asyncio.sleep(0.2)
    assert rung == ["rung", "rung"]


async def test_a_closed_one_is_silent(rung: list[str]) -> None:
    loop = asyncio.get_running_loop()
    alarm = Alarm(loop)
    alarm.set(loop.time() + 0.02, lambda: rung.append("rung"))
    alarm.close()
    await asyncio.sleep(0.1)
    assert not rung
