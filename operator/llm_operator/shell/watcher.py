"""Asks pods for their load every few seconds, while that decides how many there are, keeps what was told lately, and says when it grew."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from llm_operator.core.scaling.capacity import Learned
from llm_operator.core.scaling.decide import Memory
from llm_operator.core.scaling.exposition import SampleError
from llm_operator.core.scaling.load import Track
from llm_operator.core.scaling.outlook import Alarm
from llm_operator.core.scaling.sample import Expected, sample
from llm_operator.core.scaling.watched import Watched
from llm_operator.core.world import engine_of
from llm_operator.shell.logging import log
from llm_operator.shell.ports import Manifest

INTERVAL_S = 5.0
_AT_ONCE = 64
_AT_ONCE_OF_ONE = 8
"""Of one deployment: however many of its pods hang, others are asked in time."""
_AT_ONCE_LOST = 16
_HUNG = 0.4
"""Whoever says nothing for this part of an interval hangs; who refuses to answer says so at once, and costs nothing."""
_LOST_AFTER = 3
_LOST_INTERVALS = 6
_ENGINES_KEPT = 8
_GATHERED = 25
"""How often in an interval the readings that have come are looked at, of however many pods they are: each costs as much as all."""

Ask = Callable[[str], Awaitable[bytes | None]]
"""Takes an address and returns the body of the answer, or None when there was none in time."""


@dataclass
class _Pod:
    """A pod that is asked, by a task of its own: so none waits for another."""

    name: str
    address: str
    expected: Expected
    said: str = ""
    hung: int = 0
    track: Track | None = None
    task: "asyncio.Task[None] | None" = None

    @property
    def lost(self) -> bool:
        """Return whether it has hung so often that it is asked rarely, until it answers."""
        return self.hung >= _LOST_AFTER


@dataclass
class _Fleet:
    name: str
    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE_OF_ONE))
    pods: dict[str, _Pod] = field(default_factory=dict)
    learned: dict[str, Learned] = field(default_factory=dict)
    memory: Memory = field(default_factory=Memory)
    alarm: Alarm | None = None
    looking: bool = False

    @property
    def tracks(self) -> dict[str, Track]:
        """Return the readings of each pod that was heard, by uid."""
        return {uid: pod.track for uid, pod in self.pods.items() if pod.track is not None}


@dataclass
class Watcher:
    """Asks each pod every five seconds or so; ``random`` returns a number from 0 to 1, so that pods are not all asked at once.

    ``grew`` is told of a deployment when the alarm that came with it rings, once: the decision that follows brings another alarm.
    """

    ask: Ask
    now: Callable[[], datetime]
    random: Callable[[], float]
    grew: Callable[[str], None]
    interval_s: float = INTERVAL_S
    _fleets: dict[str, _Fleet] = field(default_factory=dict)
    _slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE))
    _lost_slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE_LOST))

    def watch(
        self, deployment: str, pods: Iterable[Manifest], engines: Mapping[str, Expected], memory: Memory, alarm: Alarm | None = None
    ) -> None:
        """Ask the pods of these engines from now on, and no others; without engines nothing is kept."""
        if not engines:
            gone = self._fleets.pop(deployment, None)
            _cancel(gone.pods.values() if gone else ())
            return
        fleet = self._fleets.setdefault(deployment, _Fleet(deployment))
        fleet.memory, fleet.alarm = memory, alarm
        wanted = dict(_asked(pods, engines))
        gone_uids = [uid for uid, pod in fleet.pods.items() if uid not in wanted or wanted[uid].address != pod.address]
        _cancel(fleet.pods[uid] for uid in gone_uids)
        for uid in gone_uids:
            del fleet.pods[uid]
        for uid in wanted.keys() - fleet.pods.keys():
            fleet.pods[uid] = wanted[uid]
        for pod in fleet.pods.values():
            if pod.task is None or pod.task.done():
                _tell_why(pod)
                pod.task = asyncio.create_task(self._keep_asking(fleet, pod))

    def watched(self, deployment: str) -> Watched:
        """Return what the pods of a deployment have told so far."""
        fleet = self._fleets.get(deployment) or _Fleet(deployment)
        return Watched(fleet.tracks, dict(fleet.learned), fleet.memory)

    async def close(self) -> None:
        """Ask nobody any more."""
        pods = [pod for each in self._fleets.values() for pod in each.pods.values()]
        _cancel(pods)
        self._fleets.clear()
        await asyncio.gather(*(pod.task for pod in pods if pod.task), return_exceptions=True)

    async def _keep_asking(self, fleet: _Fleet, pod: _Pod) -> None:
        await asyncio.sleep(self.interval_s * self.random() / 5)
        while True:
            body = await self._asked(fleet, pod)
            if body is not None:
                self._hear(fleet, pod, body)
            intervals = _LOST_INTERVALS if pod.lost else 1
            await asyncio.sleep(self.interval_s * intervals * (0.8 + 0.4 * self.random()))

    async def _asked(self, fleet: _Fleet, pod: _Pod) -> bytes | None:
        """Return what a pod answers. Those that are lost wait for each other only."""
        if pod.lost:
            async with self._lost_slots:
                return await self._timed(pod)
        async with fleet.slots, self._slots:
            return await self._timed(pod)

    async def _timed(self, pod: _Pod) -> bytes | None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        body = await self.ask(pod.address)
        hung = body is None and loop.time() - began >= self.interval_s * _HUNG
        pod.hung = pod.hung + 1 if hung else 0
        return body

    def _hear(self, fleet: _Fleet, pod: _Pod, body: bytes) -> None:
        try:
            told = sample(body, pod.expected, self.now())
        except SampleError as error:
            if pod.said != str(error):
                pod.said = str(error)
                log(logging.WARNING, f"load of pod {pod.name}: {error}"[:1024], reason="MetricsInvalid")
            return
        pod.said = ""
        engine = pod.expected.engine
        if pod.track is not None:
            fleet.learned[engine] = fleet.learned.pop(engine, Learned()).add(pod.track.last, told)
            while len(fleet.learned) > _ENGINES_KEPT:
                del fleet.learned[next(iter(fleet.learned))]
        pod.track = pod.track.hear(told) if pod.track is not None else Track((told,))
        if fleet.alarm is not None and not fleet.looking:
            fleet.looking = True
            asyncio.get_running_loop().call_later(self.interval_s / _GATHERED, self._look, fleet)

    def _look(self, fleet: _Fleet) -> None:
        """See whether what pods have told rings the alarm, unless that was taken away meanwhile."""
        fleet.looking = False
        if self._fleets.get(fleet.name) is fleet and fleet.alarm is not None and fleet.alarm.rings(fleet.tracks, self.now()):
            fleet.alarm = None
            self.grew(fleet.name)


def _asked(pods: Iterable[Manifest], engines: Mapping[str, Expected]) -> Iterable[tuple[str, _Pod]]:
    """Yield the pods that can be asked, by uid."""
    for pod in pods:
        expected, status = engines.get(engine_of(pod)), pod.get("status", {})
        if expected is not None and status.get("phase") == "Running" and status.get("podIP"):
            yield pod["metadata"]["uid"], _Pod(pod["metadata"]["name"], status["podIP"], expected)


def _tell_why(pod: _Pod) -> None:
    """Log why a pod is not asked any more, once for each reason."""
    error = pod.task.exception() if pod.task is not None and not pod.task.cancelled() else None
    if error is not None and pod.said != repr(error):
        pod.said = repr(error)
        log(logging.ERROR, f"asking pod {pod.name} for its load has failed and begins anew: {error!r}"[:1024], reason="WatchFailed")


def _cancel(pods: Iterable[_Pod]) -> None:
    for each in pods:
        if each.task:
            each.task.cancel()
