import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from llm_operator.core import kinds
from llm_operator.core.kinds import Kind
from llm_operator.shell.errors import ApiError, ExpiredError, ForbiddenError
from llm_operator.shell.follow import Follower
from llm_operator.shell.news import Hint

Step = Mapping[str, Any] | ApiError


def event(kind: str, version: str, name: str = "chat-x") -> Mapping[str, Any]:
    metadata = {"name": name, "namespace": "ns", "uid": "u", "resourceVersion": version, "labels": {"llmops.dev/deployment": "chat"}}
    return {"type": kind, "object": {"metadata": metadata}}


class Script:
    """A source whose Services do what a test says, one list of steps a watch; every other kind is silent."""

    def __init__(self, *watches: list[Step], refusals: int = 0) -> None:
        self.watches = list(watches)
        self.refusals = refusals
        self.versions: list[str] = []
        self.watched_from: list[str] = []
        self.over = asyncio.Event()
        self._numbers = itertools.count(100)

    async def version(self, kind: Kind, namespace: str | None, labels: str) -> str:
        assert (namespace, labels) == ("ns", "app.kubernetes.io/managed-by=llm-operator")
        if kind != kinds.SERVICE:
            return "1"
        if self.refusals:
            self.refusals -= 1
            raise ForbiddenError(403, "Forbidden", "no right")
        self.versions.append(str(next(self._numbers)))
        return self.versions[-1]

    async def watch(
        self, kind: Kind, namespace: str | None, labels: str, version: str, *, metadata_only: bool
    ) -> AsyncIterator[Mapping[str, Any]]:
        assert (namespace, labels) == ("ns", "app.kubernetes.io/managed-by=llm-operator")
        assert metadata_only == (kind not in {kinds.POD, kinds.DEPLOYMENT})
        if kind != kinds.SERVICE or not self.watches:
            self.over.set() if kind == kinds.SERVICE else None
            if kind == kinds.SERVICE:
                self.watched_from.append(version)
            await asyncio.Event().wait()
        self.watched_from.append(version)
        for step in self.watches.pop(0):
            if isinstance(step, ApiError):
                raise step
            yield step


async def followed(source: Script) -> tuple[list[Hint], int]:
    """Follow to the end of a script; return what was told, and how often something may have been missed."""
    told: list[Hint] = []
    missed: list[bool] = []
    follower = Follower(source, ("ns",), told.append, lambda: missed.append(True), pauses=lambda: itertools.repeat(0.0))
    task = asyncio.create_task(follower.run())
    await asyncio.wait_for(source.over.wait(), 5)
    assert follower.begun.is_set()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return told, len(missed)


async def test_every_event_is_told_and_nothing_is_listed() -> None:
    told, missed = await followed(Script([event("ADDED", "101"), event("MODIFIED", "102"), event("DELETED", "103")]))
    assert [(each.version, each.gone) for each in told] == [("101", False), ("102", False), ("103", True)]
    assert missed == 0


async def test_a_watch_that_ends_goes_on_where_it_was() -> None:
    source = Script([event("ADDED", "101"), event("BOOKMARK", "140")], [event("MODIFIED", "141")])
    told, missed = await followed(source)
    assert [each.version for each in told] == ["101", "141"]
    assert source.watched_from == ["100", "140", "141"]
    assert missed == 0


@pytest.mark.parametrize("error", [ExpiredError(410, "Expired", "too old resource version")])
async def test_a_watch_that_lost_its_place_begins_anew_and_says_that_it_may_have_missed_something(error: ApiError) -> None:
    source = Script([event("ADDED", "101"), error])
    _, missed = await followed(source)
    assert source.watched_from == source.versions == ["100", "101"]
    assert missed == 1


async def test_a_refusal_is_waited_out_and_holds_nobody_else_up() -> None:
    source = Script(refusals=3)
    _, missed = await followed(source)
    assert source.versions == ["100"]
    assert missed == 1, "from the refusal on nobody was told of anything"
