"""Hears who asks for a deployment that has no pod: its entry is asked every second whether somebody waits."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from llm_operator.core.observed import SidecarReport
from llm_operator.core.world import engine_of
from llm_operator.shell.ports import Manifest

INTERVAL_S = 1.0
_A_SECOND = 100
"""Deployments that are asked within a second at most; of more, each is asked less often."""

Ask = Callable[[Manifest], Awaitable[SidecarReport | None]]
"""Takes a pod and returns what its sidecar says, or None when it does not answer in time."""


@dataclass
class _Listener:
    names: frozenset[str]
    task: "asyncio.Task[None]"


@dataclass
class Doorbell:
    """Calls ``ring`` with the name of a deployment once somebody waits there, and asks no more until it is told to listen again."""

    ask: Ask
    ring: Callable[[str], None]
    interval_s: float = INTERVAL_S
    _listeners: dict[str, _Listener] = field(default_factory=dict)

    def listen(self, deployment: str, pods: Iterable[Manifest]) -> None:
        """Ask those of these pods that have no engine from now on; without any nobody is asked."""
        entries = [pod for pod in pods if not engine_of(pod) and pod.get("status", {}).get("phase") == "Running"]
        names = frozenset(pod["metadata"]["uid"] for pod in entries)
        known = self._listeners.get(deployment)
        if known is not None and known.names == names and not known.task.done():
            return
        if known is not None:
            known.task.cancel()
            del self._listeners[deployment]
        if entries:
            self._listeners[deployment] = _Listener(names, asyncio.create_task(self._listen(deployment, entries)))

    async def close(self) -> None:
        """Ask nobody any more."""
        tasks = [each.task for each in self._listeners.values()]
        self._listeners.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _listen(self, deployment: str, entries: list[Manifest]) -> None:
        while True:
            reports = await asyncio.gather(*map(self.ask, entries))
            if any(report is not None and report.held for report in reports):
                self.ring(deployment)
                return
            await asyncio.sleep(self.interval_s * max(1.0, len(self._listeners) / _A_SECOND))
