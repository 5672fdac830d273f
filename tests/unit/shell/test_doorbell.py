"""Who asks for a deployment without pods is heard of within a moment, and said once."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from llm_operator.core import names
from llm_operator.core.observed import SidecarReport
from llm_operator.shell.doorbell import Doorbell
from llm_operator.shell.ports import Manifest

KEY = "team/chat"


def pod(uid: str, engine: str = "", phase: str = "Running") -> Manifest:
    labels = {names.LABEL_ENGINE: engine} if engine else {names.LABEL_ROLE: names.ROLE_ENTRY}
    return {"metadata": {"uid": uid, "name": uid, "labels": labels}, "status": {"phase": phase}}


@dataclass
class Entries:
    """Entries by uid, and how many requests each holds; others do not answer."""

    held: dict[str, int] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    rung: list[str] = field(default_factory=list)

    async def ask(self, entry: Manifest) -> SidecarReport | None:
        uid = entry["metadata"]["uid"]
        self.asked[uid] += 1
        await asyncio.sleep(0)
        return SidecarReport(held=self.held[uid]) if uid in self.held else None


@asynccontextmanager
async def listening(entries: Entries) -> AsyncIterator[Doorbell]:
    bell = Doorbell(entries.ask, entries.rung.append, interval_s=0.005)
    try:
        yield bell
    finally:
        await bell.close()


async def until_asked(entries: Entries, uid: str, times: int) -> None:
    async with asyncio.timeout(10):
        while entries.asked[uid] < times:  # noqa: ASYNC110 - the entry is asked by whoever is tested
            await asyncio.sleep(0.002)


async def test_it_rings_once_when_somebody_waits_and_again_after_it_was_told_to_listen_again() -> None:
    entries = Entries({"a": 0})
    async with listening(entries) as bell:
        bell.listen(KEY, [pod("a")])
        await until_asked(entries, "a", 3)
        assert entries.rung == []
        entries.held["a"] = 2
        await until_asked(entries, "a", entries.asked["a"] + 1)
        await asyncio.sleep(0.05)
        assert entries.rung == [KEY]
        bell.listen(KEY, [pod("a")])
        await asyncio.sleep(0.05)
        assert entries.rung == [KEY, KEY]


async def test_only_an_entry_that_runs_is_asked() -> None:
    entries = Entries({"a": 0, "b": 7, "c": 7})
    async with listening(entries) as bell:
        bell.listen(KEY, [pod("a"), pod("b", engine="e1"), pod("c", phase="Pending")])
        await until_asked(entries, "a", 3)
    assert entries.asked.keys() == {"a"}
    assert entries.rung == []


async def test_listening_on_while_nothing_has_changed_begins_nothing_anew() -> None:
    entries = Entries({"a": 0})
    async with listening(entries) as bell:
        bell.listen(KEY, [pod("a")])
        task = bell._listeners[KEY].task
        bell.listen(KEY, [pod("a")])
        assert bell._listeners[KEY].task is task
        bell.listen(KEY, [pod("b")])
        await until_asked(entries, "b", 2)
        assert task.cancelled()


async def test_one_that_does_not_answer_is_asked_on_and_nobody_once_it_is_over() -> None:
    entries = Entries()
    async with listening(entries) as bell:
        bell.listen(KEY, [pod("a")])
        await until_asked(entries, "a", 3)
        entries.held["a"] = 1
        await until_asked(entries, "a", entries.asked["a"] + 1)
        bell.listen(KEY, ())
        asked = entries.asked["a"]
        await asyncio.sleep(0.05)
        assert entries.asked["a"] == asked
    assert entries.rung == [KEY]
