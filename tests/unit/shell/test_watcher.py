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
    """Pods by address.

    ``hung`` ones never answer, ``lying`` ones what nobody can read, ``gone`` ones nothing, ``late`` ones nothing and that takes its time;
    at ``broken`` ones whoever asks fails.
    """

    body: bytes = field(default_factory=told)
    hung: set[str] = field(default_factory=set)
    lying: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    late: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    asked: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    grew: list[str] = field(default_factory=list)

    def now(self) -> datetime:
        return BEGAN + timedelta(seconds=self.seconds)

    async def ask(self, address: str) -> bytes | None:
        self.asked[address] += 1
        self.seconds += 1
        await asyncio.sleep(3600 if address in self.hung else 0.001)
        if address in self.late:
            await asyncio.sleep(0.02)
        if address in self.broken:
            raise RuntimeError("a bug")
        if address in self.gone | self.late:
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


async def test_however_many_pods_of_one_deployment_hang_those_of_others_are_asked_in_time() -> None:
    many = [f"h{number}" for number in range(200)]
    pods = Pods(hung=set(many))
    async with watching(pods) as watcher:
        watcher.watch("other/stuck", [pod(each) for each in many], ENGINES, Memory())
        watcher.watch(KEY, [pod("a")], ENGINES, Memory())
        await until(pods, "a", 10)
    assert sum(pods.asked[each] for each in many) == 8, "at once, of one deployment"


async def test_a_pod_that_has_hung_three_times_is_asked_less_often_until_it_answers() -> None:
    pods = Pods(late={"a"}, gone={"b"})
    async with watching(pods) as watcher:
        watcher.watch(KEY, [pod("a"), pod("b")], ENGINES, Memory())
        await until(pods, "a", 3)
        before = pods.asked["b"]
        await until(pods, "a", 6)
        assert pods.asked["b"] - before > 8, "what refuses at once is asked as ever, and in the time of three questions to the other"
        pods.late.clear()
        await until(pods, "a", 8)
        before = pods.asked["b"]
        await until(pods, "a", 18)
        assert pods.asked["b"] - before < 20


async def test_pods_that_are_lost_take_no_slot_of_those_that_answer() -> None:
    lost = [f"l{number}" for number in range(30)]
    pods = Pods(late=set(lost))
    async with watching(pods) as watcher:
        watcher.watch(KEY, [pod(each) for each in lost], ENGINES, Memory())
        for each in lost:
            await until(pods, each, 3)
        pods.hung = set(lost)
        await asyncio.sleep(0.2)
        watcher.watch(KEY, [pod(each) for each in [*lost, "a"]], ENGINES, Memory())
        await until(pods, "a", 10)


async def test_a_pod_whose_questions_have_failed_is_asked_again_and_that_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    pods = Pods(broken={"a"})
    async with watching(pods) as watcher:
        for times in (1, 2, 3):
            watcher.watch(KEY, [pod("a")], ENGINES, Memory())
            await until(pods, "a", times)
            await asyncio.sleep(0.01)
        pods.broken.clear()
        watcher.watch(KEY, [pod("a")], ENGINES, Memory())
        await until(pods, "a", 6)
        assert watcher.watched(KEY).tracks.keys() == {"a"}
    (said,) = [each for each in caplog.records if "pod a" in each.message]
    assert said.message == "asking pod a for its load has failed and begins anew: RuntimeError('a bug')"
    assert getattr(said, "fields", {}) == {"reason": "WatchFailed"}


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
