"""Asks sidecars again and again what they have counted, while a gated rollout lasts, and keeps the newest answer of each."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from llm_operator.core.gates.sums import EvidenceError
from llm_operator.core.telemetry.replies import Heard, read
from llm_operator.shell.logging import log
from llm_operator.shell.ports import Manifest

INTERVAL_S = 5.0
_AT_ONCE = 32
_PODS_MAX = 1_000
"""Of one deployment: more are not asked, and evidence says who was not heard."""
_KEPT = timedelta(minutes=3)
"""What a pod told that is gone is kept for so long: by then it is counted."""

Ask = Callable[[str], Awaitable[bytes | None]]
"""Takes an address and returns the body of the answer, or None when there was none in time."""


@dataclass
class _Pod:
    """A pod that is asked, by a task of its own: so none waits for another."""

    uid: str
    name: str
    address: str
    created: datetime
    said: str = ""
    task: "asyncio.Task[None] | None" = None


@dataclass
class _Followed:
    name: str
    revisions: frozenset[str] = frozenset()
    pods: dict[str, _Pod] = field(default_factory=dict)
    heard: dict[str, Heard] = field(default_factory=dict)


@dataclass
class Scraper:
    """Asks each pod every five seconds or so; ``random`` returns a number from 0 to 1, so that pods are not all asked at once.

    A deployment is named as in logs, by namespace and name.
    """

    ask: Ask
    now: Callable[[], datetime]
    random: Callable[[], float]
    interval_s: float = INTERVAL_S
    _followed: dict[str, _Followed] = field(default_factory=dict)
    _slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE))

    def follow(self, deployment: str, pods: Iterable[Manifest], revisions: Collection[str]) -> None:
        """Ask these pods from now on, and no others of the deployment; without revisions nobody is asked and nothing kept."""
        if not revisions:
            gone = self._followed.pop(deployment, None)
            _cancel(gone.pods.values() if gone else ())
            return
        followed = self._followed.setdefault(deployment, _Followed(deployment.rpartition("/")[2]))
        if followed.revisions != frozenset(revisions):
            followed.revisions, followed.heard = frozenset(revisions), {}
        wanted = {each.uid: each for each in list(_asked(pods))[:_PODS_MAX]}
        changed = [each for uid, each in followed.pods.items() if uid not in wanted or wanted[uid].address != each.address]
        _cancel(changed)
        for each in changed:
            del followed.pods[each.uid]
        for uid in wanted.keys() - followed.pods.keys():
            pod = followed.pods[uid] = wanted[uid]
            pod.task = asyncio.create_task(self._keep_asking(followed, pod))
        oldest = self.now() - _KEPT
        followed.heard = {uid: each for uid, each in followed.heard.items() if uid in followed.pods or each.at > oldest}

    def heard(self, deployment: str) -> Mapping[str, Heard]:
        """Return what pods of a deployment have told so far, by uid, those that went lately included."""
        followed = self._followed.get(deployment)
        return dict(followed.heard) if followed else {}

    async def close(self) -> None:
        """Ask nobody any more."""
        tasks = [pod.task for each in self._followed.values() for pod in each.pods.values() if pod.task]
        _cancel(pod for each in self._followed.values() for pod in each.pods.values())
        self._followed.clear()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep_asking(self, followed: _Followed, pod: _Pod) -> None:
        await asyncio.sleep(self.interval_s * self.random() / 5)
        while True:
            async with self._slots:
                body = await self.ask(pod.address)
            if body is not None:
                self._hear(followed, pod, body)
            await asyncio.sleep(self.interval_s * (0.8 + 0.4 * self.random()))

    def _hear(self, followed: _Followed, pod: _Pod, body: bytes) -> None:
        try:
            reply = read(body, followed.name, followed.revisions)
        except EvidenceError as error:
            if pod.said != str(error):
                pod.said = str(error)
                log(logging.WARNING, f"pod {pod.name}: {error}"[:1024], reason="EvidenceInvalid")
            return
        now = self.now()
        followed.heard[pod.uid] = (followed.heard.get(pod.uid) or Heard(pod.created, now)).hear(reply, now)


def _asked(pods: Iterable[Manifest]) -> Iterable[_Pod]:
    """Yield the pods that can be asked."""
    for pod in pods:
        metadata, status = pod["metadata"], pod.get("status", {})
        if status.get("phase") == "Running" and status.get("podIP"):
            created = datetime.fromisoformat(metadata["creationTimestamp"])
            yield _Pod(metadata["uid"], metadata["name"], status["podIP"], created)


def _cancel(pods: Iterable[_Pod]) -> None:
    for each in pods:
        if each.task:
            each.task.cancel()
