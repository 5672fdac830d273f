"""Follows the objects we own: an event means "look at this key", its content only tells whether it is news.

kopf would do, but keeps some 20 KB and takes a millisecond for each object and event, and there are ten objects to a deployment. Here
nothing is kept, and nothing is listed at the start: a resync reads everything once the watches have begun.
"""

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from llm_operator.core import kinds, names
from llm_operator.core.kinds import Kind
from llm_operator.shell.errors import ApiError, ExpiredError
from llm_operator.shell.logging import log
from llm_operator.shell.news import Deliver, hint, key_of

_OURS = f"{names.LABEL_MANAGED_BY}={names.MANAGED_BY}"


class Source(Protocol):
    """The part of the API that can be followed."""

    async def version(self, kind: Kind, namespace: str | None, labels: str) -> str:
        """Return the version of a collection: where a watch can begin."""
        ...

    def watch(
        self, kind: Kind, namespace: str | None, labels: str, version: str, *, metadata_only: bool
    ) -> AsyncIterator[Mapping[str, Any]]:
        """Yield what happens after a version until the server ends the watch; raises ExpiredError when that is no longer known."""
        ...


def patience() -> Iterator[float]:
    """Return pauses between attempts, without end: a namespace takes the right to watch it along when it goes, and may come back."""
    return itertools.chain((1.0, 2.0, 4.0, 8.0), itertools.repeat(15.0))


@dataclass
class Follower:
    """Watches of every owned kind. ``missed`` is called when something may have happened that nobody was told of."""

    source: Source
    namespaces: tuple[str, ...]
    deliver: Deliver
    missed: Callable[[], None]
    pauses: Callable[[], Iterator[float]] = patience
    watched: Collection[Kind] = kinds.WATCHED
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    _to_begin: int = 0

    async def run(self) -> None:
        """Follow until cancelled; ``begun`` is set once every watch was tried."""
        watched = [(kind, namespace) for kind in self.watched for namespace in (self.namespaces or (None,))]
        self._to_begin = len(watched)
        async with asyncio.TaskGroup() as group:
            for kind, namespace in watched:
                group.create_task(self._follow(kind, namespace))

    async def _follow(self, kind: Kind, namespace: str | None) -> None:
        version, pauses, tried = "", self.pauses(), False
        while True:
            pause_s = 0.0
            try:
                if not version:
                    version = await self.source.version(kind, namespace, _OURS)
                    if tried:
                        self.missed()
                    else:
                        tried = self._tried()
                events = self.source.watch(kind, namespace, _OURS, version, metadata_only=kind not in {kinds.POD, kinds.DEPLOYMENT})
                async for event in events:
                    version, pauses = event["object"]["metadata"]["resourceVersion"], self.pauses()
                    self._tell(kind, event)
                pause_s = _BREATH_S
            except ExpiredError:
                version, pause_s = "", _BREATH_S
            except ApiError as error:
                pause_s = next(pauses)
                log(logging.DEBUG, f"watch of {kind.plural}: {error}", namespace=namespace or "")
                tried = tried or self._tried()
            await asyncio.sleep(pause_s)

    def _tried(self) -> bool:
        self._to_begin -= 1
        if not self._to_begin:
            self.begun.set()
        return True

    def _tell(self, kind: Kind, event: Mapping[str, Any]) -> None:
        body = event["object"]
        key = None if event["type"] == "BOOKMARK" else key_of(kind, body)
        if key:
            self.deliver(hint(key, kind, body, gone=event["type"] == "DELETED"))


_BREATH_S = 0.05
