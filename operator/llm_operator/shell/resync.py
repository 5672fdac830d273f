"""The ticker that compares everything with what it should be now and then, whether something was heard of it or not."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from llm_operator.shell.errors import ApiError, ForbiddenError
from llm_operator.shell.inbox import Inbox
from llm_operator.shell.logging import log
from llm_operator.shell.progress import Progress
from llm_operator.shell.queue import Key
from llm_operator.shell.survey import Found

_RETRY_S = 15.0
_GATHER_S = 1.0
"""Watches seldom break alone."""

Survey = Callable[[str | None], Awaitable[Found]]


@dataclass
class Resync:
    """Surveys all custom resources every ``interval_s`` and asks for a look at those that are not as they should be.

    ``remind`` is told of those that need one after a while, in case nobody has it in mind: an operator that has just started has not.
    """

    survey: Survey
    namespaces: tuple[str, ...]
    inbox: Inbox
    progress: Progress
    interval_s: float
    clock: Callable[[], float]
    begun: asyncio.Event
    remind: Callable[[Key, float], None]
    _again: asyncio.Event = field(default_factory=asyncio.Event)
    _closed: frozenset[str] = frozenset()

    def again(self) -> None:
        """Ask for a resync before its time: something may have happened that nobody was told of."""
        self._again.set()

    async def run(self) -> None:
        """Resync until cancelled; a failure is tried again sooner than the next turn.

        The first one begins when the watches have begun, so that nothing happens between them. What they tell of meanwhile is compared with
        what it has read.
        """
        self.inbox.hold()
        await self.begun.wait()
        while True:
            done = await self.once()
            self.inbox.release()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._again.wait(), self.interval_s if done else min(_RETRY_S, self.interval_s))
                await asyncio.sleep(_GATHER_S)
            self._again.clear()

    async def once(self) -> bool:
        """Survey what there is a right to read, and ask for a look where one is needed; return whether that was everything."""
        self.progress.resync_began()
        try:
            found, closed = await self._survey()
        except ApiError as error:
            log(logging.WARNING, f"resync failed: {error}")
            self.progress.resync_failed(self.clock())
            return False
        for key in found.differ:
            self.inbox.ask(key)
        for key, in_s in found.later.items():
            self.remind(key, in_s)
        self.progress.resynced(found.versions, self.clock())
        self._tell(closed)
        return not closed

    async def _survey(self) -> tuple[Found, frozenset[str]]:
        """Return what there is, and the namespaces that may not be read; raises when that is all of them.

        A namespace that is deleted takes its Role along. The others must be served on, also by an operator that starts after that.
        """
        found, closed = Found(), set[str]()
        for namespace in self.namespaces or (None,):
            try:
                found.add(await self.survey(namespace))
            except ForbiddenError:
                if namespace is None or len(closed) + 1 == len(self.namespaces):
                    raise
                closed.add(namespace)
        return found, frozenset(closed)

    def _tell(self, closed: frozenset[str]) -> None:
        for namespace in sorted(closed - self._closed):
            log(logging.WARNING, "the namespace may not be read: it or the operator's Role in it is gone", namespace=namespace)
        for namespace in sorted(self._closed - closed):
            log(logging.INFO, "the namespace may be read again", namespace=namespace)
        self._closed = closed
