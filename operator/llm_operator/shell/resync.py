"""The ticker that looks at everything now and then, whether something was heard of it or not."""

import asyncio
import logging
from collections.abc import Callable

from llm_operator.core import kinds
from llm_operator.shell.errors import ApiError
from llm_operator.shell.logging import log
from llm_operator.shell.ports import Cluster
from llm_operator.shell.progress import Progress
from llm_operator.shell.queue import Key

_RETRY_S = 15.0
_FIRST_SPREAD_S = 1.0
_SPREAD = 0.5
"""Share of the interval over which the keys of one resync are spread, so that they do not arrive as one wave."""


class Resync:
    """Lists all custom resources every ``interval_s`` and asks for a look at each. ``spread`` returns a number from 0 to 1."""

    def __init__(
        self,
        cluster: Cluster,
        namespaces: tuple[str, ...],
        add: Callable[[Key, float], None],
        progress: Progress,
        *,
        interval_s: float,
        spread: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        self._cluster = cluster
        self._namespaces: tuple[str | None, ...] = namespaces or (None,)
        self._add = add
        self._progress = progress
        self._interval_s = interval_s
        self._spread = spread
        self._clock = clock
        self._spread_s = _FIRST_SPREAD_S

    async def run(self) -> None:
        """Resync until cancelled; a failure is tried again sooner than the next turn."""
        while True:
            pause_s = self._interval_s if await self.once() else min(_RETRY_S, self._interval_s)
            await asyncio.sleep(pause_s)

    async def once(self) -> bool:
        """List and enqueue everything; return whether the server let us."""
        self._progress.resync_began()
        try:
            versions = await self._versions()
        except ApiError as error:
            log(logging.WARNING, f"resync failed: {error}")
            self._progress.resync_failed(self._clock())
            return False
        for key in versions:
            self._add(key, self._spread() * self._spread_s)
        self._spread_s = self._interval_s * _SPREAD
        self._progress.resynced(versions, self._clock())
        return True

    async def _versions(self) -> dict[Key, str]:
        found = {}
        for kind in kinds.CUSTOM:
            for namespace in self._namespaces:
                for each in await self._cluster.list(kind, namespace, metadata_only=True):
                    metadata = each["metadata"]
                    found[Key(kind.kind, metadata["namespace"], metadata["name"])] = metadata["resourceVersion"]
        return found
