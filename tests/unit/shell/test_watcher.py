"""Pods that are asked for their load again and again, some of them slow, gone or lying."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from llm_operator.core import names
from llm_operator.core.scaling.capacity import Learned
from llm_operator.core.scaling.decide import Memory
from llm_operator.core.scaling.outlook import Alarm, Outlook
from llm_operator.core.scaling.sample import Expected
from llm_operator.shell.ports import Manifest
from llm_operator.shell.watcher import Watcher
from tests.unit.core.scaling.pods import BEGAN, CAPACITY, EXPECTED, told
from tests.unit.core.scaling.test_sample import valued

KEY = "team/chat"
ENGINES = {"e1": EXPECTED}


def pod(uid: str, engine: str = "e1", address: str | None = None, phase: str = "Running") -> Manifest:
    metadata = {"uid": uid, "name": uid, "labels": {names.LABEL_ENGINE: engine}}
    return {"metadata": metadata, "status": {"phase": phase, "podIP": address or uid}}


@dataclass
class Pods:
    """Pods by address. ``hung`` ones never answer, ``lying`` ones what nobody can read, ``gone`` ones nothing."""

    body: bytes = field(default_factory=told)
    hung: set[str] = field(default_factory=set)
    lying: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    asked: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    grew: list[str] = field(default_factory=list)

    def now(self) -> datetime:
        return BEGAN + timedelta(seconds=self.seconds)

    async def ask(self, address: str) -> bytes | None:
        self.asked[address] += 1
        self.seconds += 1
        await asyncio.sleep(3600 if address in self.hung else 0.001)
        if address in self.gone:
            return None
        return b"{}" if address in self.lying else valued("vllm:iteration_tokens_total_count", str(self.seconds))(self.body)


@asynccontextmanager
async def watching(pods: Pods) -> AsyncIterator[Watcher]:
    watcher = Watcher(pods.ask, now=pods.now, random=lambda: 0.5, grew=pods.grew.append, interval_s=0.01)
    try:
        yield watcher
    finally:
        await watcher.close()


async def until(pods: Pods, address: str, times: int) -> None:
    async with asyncio.timeout(10):
        while pods.asked[address] < times:  # noqa: ASYNC110 - the pod is asked by whoever is tested
            await asyncio.sleep(0.005)


async def test_what_pods_tell_is_kept_by_uid() -> None:
    pods = Pods()
    async with watching(pods) as watcher:
        watcher.watch(KEY, [pod("a"), pod("b")], ENGINES, Memory(began=BEGAN))
        await until(pods, "a", 4)
        await until(pods, "b", 4)
        found = watcher.watched(KEY)
        assert found.tracks.keys() == {"a", "b"}
        assert found.tracks["a"].last.running == 3
        assert len(found.tracks["a"].samples) > 1
        assert found.memory.began == BEGAN
        assert found.learned == {"e1": Learned(kv_tokens=32_000)}


async def test_one_that_hangs_lies_or_is_gone_keeps_no_other_waiting(caplog: pytest.LogCaptureFixture) -> None:
    pods = Pods(hung={"a"}, lying={"b"}, gone={"c"})
    async with watching(pods) as watcher:
        watcher.watch(KEY, [pod(each) for each in "abcd"], ENGINES, Memory())
        for each in "bcd":
            await until(pods, each, 3)
        assert watcher.watched(KEY).tracks.keys() == {"d"}
    assert [each.message for each in caplog.records if "load of pod b" in each.message] == [
        "load of pod b: figures are not those of engine e1 of chat"
    ]


async def test_only_running_pods_of_the_engines_are_asked() -> None:
    pods = Pods()
    async with watching(pods) as watcher:
        watcher.watch(KEY, [pod("a"), pod("b", engine="e2"), pod("c", phase="Pending")], ENGINES, Memory())
        await until(pods, "a", 2)
    assert pods.asked.keys() == {"a"}


async def test_a_pod_that_went_or_has_another_address_is_forgotten() -> None:
    pods = Pods()
    async with watching(pods) as watcher:
        watcher.watch(KEY, [pod("a"), pod("b")], ENGINES, Memory())
        await until(pods, "b", 2)
        watcher.watch(KEY, [pod("a", address="a2")], ENGINES, Memory())
        assert watcher.watched(KEY).tracks == {}
        await until(pods, "a2", 2)
        assert watcher.watched(KEY).tracks.keys() == {"a"}


async def test_nobody_is_asked_any_more_once_it_is_over() -> None:
    pods = Pods()
    async with watching(pods) as watcher:
        watcher.watch(KEY, [pod("a")], ENGINES, Memory())
        await until(pods, "a", 2)
        watcher.watch(KEY, [pod("a")], {}, Memory())
        asked = pods.asked["a"]
        await asyncio.sleep(0.05)
        assert pods.asked["a"] == asked
        assert watcher.watched(KEY).tracks == {}


async def test_what_was_learned_of_few_engines_is_kept() -> None:
    pods = Pods(body=told().replace(b'engine="e1"', b'engine="ENGINE"'))
    many = {f"e{number}": Expected("chat", "ENGINE", "chat") for number in range(3)}
    async with watching(pods) as watcher:
        watcher.watch(KEY, [pod(each, engine=each) for each in many], many, Memory())
        await until(pods, "e2", 4)
        assert watcher.watched(KEY).learned.keys() == {"ENGINE"}


def alarm(known: int) -> Alarm:
    return Alarm(Outlook(((frozenset({"a"}), CAPACITY),), pods=1, startup_s=60, coming=True), headroom=0.25, most=9, known=known)


async def test_load_that_has_grown_is_told_of_once_until_it_is_decided_anew() -> None:
    pods = Pods(body=told(running=50))
    async with watching(pods) as watcher:
        watcher.watch(KEY, [pod("a")], ENGINES, Memory(), alarm(known=2))
        await until(pods, "a", 60)
        assert pods.grew == [KEY]
        watcher.watch(KEY, [pod("a")], ENGINES, Memory(), alarm(known=4))
        await until(pods, "a", 120)
        assert pods.grew == [KEY]
        watcher.watch(KEY, [pod("a")], ENGINES, Memory(), alarm(known=2))
        await until(pods, "a", 180)
    assert pods.grew == [KEY, KEY]


async def test_nothing_is_told_of_load_that_nobody_decides_by_any_more() -> None:
    pods = Pods(body=told(running=50))
    async with watching(pods) as watcher:
        watcher.watch(KEY, [pod("a")], ENGINES, Memory(), alarm(known=9))
        await until(pods, "a", 20)
        watcher.watch(KEY, [pod("a")], ENGINES, Memory(), alarm(known=2))
        watcher.watch(KEY, [pod("a")], {}, Memory())
        await asyncio.sleep(0.3)
    assert pods.grew == []
