"""The ticker that compares everything with what it should be now and then, whether something was heard of it or not."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from llm_operator.shell.errors import ApiError
from llm_operator.shell.inbox import Inbox
from llm_operator.shell.logging import log
from llm_operator.shell.progress import Progress
from llm_operator.shell.survey import Found

_RETRY_S = 15.0
_GATHER_S = 1.0
"""Watches seldom break alone."""

Survey = Callable[[Iterable[str | None]], Awaitable[Found]]


@dataclass
class Resync:
    """Surveys all custom resources every ``interval_s`` and asks for a look at those that are not as they should be."""

    survey: Survey
    namespaces: tuple[str, ...]
    inbox: Inbox
    progress: Progress
    interval_s: float
    clock: Callable[[], float]
    begun: asyncio.Event
    _again: asyncio.Event = field(default_factory=asyncio.Event)

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
        """Survey, and ask for a look where one is needed; return whether the server let us."""
        self.progress.resync_began()
        try:
            found = await self.survey(self.namespaces or (None,))
        except ApiError as error:
            log(logging.WARNING, f"resync failed: {error}")
            self.progress.resync_failed(self.clock())
            return False
        for key in found.differ:
            self.inbox.ask(key)
        for key in found.later:
            self.inbox.remind(key)
        self.progress.resynced(found.versions, self.clock())
        return True
