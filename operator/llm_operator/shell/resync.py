"""The ticker that looks at everything now and then, whether something was heard of it or not."""

import asyncio
import logging
from collections.abc import Callable

from llm_operator.core import kinds
from llm_operator.shell.errors import ApiError, ForbiddenError
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
        self._closed: frozenset[str] = frozenset()

    async def run(self) -> None:
        """Resync until cancelled; a failure is tried again sooner than the next turn."""
        while True:
            pause_s = self._interval_s if await self.once() else min(_RETRY_S, self._interval_s)
            await asyncio.sleep(pause_s)

    async def once(self) -> bool:
        """List and enqueue everything there is a right to read; return whether that was everything."""
        self._progress.resync_began()
        try:
            versions, closed = await self._versions()
        except ApiError as error:
            log(logging.WARNING, f"resync failed: {error}")
            self._progress.resync_failed(self._clock())
            return False
        for key in versions:
            self._add(key, self._spread() * self._spread_s)
        self._spread_s = self._interval_s * _SPREAD
        self._progress.resynced(versions, self._clock())
        self._tell(closed)
        return not closed

    async def _versions(self) -> tuple[dict[Key, str], frozenset[str]]:
        """Return the version of everything, and the namespaces that may not be read; raises when that is all of them.

        A namespace that is deleted takes its Role along. The others must be served on, also by an operator that starts after that.
        """
        found: dict[Key, str] = {}
        closed: set[str] = set()
        for namespace in self._namespaces:
            try:
                found |= await self._versions_in(namespace)
            except ForbiddenError:
                if namespace is None or len(closed) + 1 == len(self._namespaces):
                    raise
                closed.add(namespace)
        return found, frozenset(closed)

    async def _versions_in(self, namespace: str | None) -> dict[Key, str]:
        found = {}
        for kind in kinds.CUSTOM:
            for each in await self._cluster.list(kind, namespace, metadata_only=True):
                metadata = each["metadata"]
                found[Key(kind.kind, metadata["namespace"], metadata["name"])] = metadata["resourceVersion"]
        return found

    def _tell(self, closed: frozenset[str]) -> None:
        for namespace in sorted(closed - self._closed):
            log(logging.WARNING, "the namespace may not be read: it or the operator's Role in it is gone", namespace=namespace)
        for namespace in sorted(self._closed - closed):
            log(logging.INFO, "the namespace may be read again", namespace=namespace)
        self._closed = closed
