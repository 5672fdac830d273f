import asyncio
import dataclasses

import pytest

from llm_operator.core import kinds
from llm_operator.shell.errors import ForbiddenError, TransientError
from llm_operator.shell.inbox import Inbox
from llm_operator.shell.news import Seen, hint
from llm_operator.shell.progress import Progress
from llm_operator.shell.queue import Key
from llm_operator.shell.resync import Resync
from llm_operator.shell.survey import Found

CHAT = Key("LLMDeployment", "ns", "chat")
LATER = Key("LLMDeployment", "ns", "later")


@dataclasses.dataclass
class Ticker:
    """A resync over what a test says a survey finds."""

    found: Found = dataclasses.field(default_factory=Found)
    failures: int = 0
    reminded: dict[Key, float] = dataclasses.field(default_factory=dict)
    asked: list[Key] = dataclasses.field(default_factory=list)
    namespaces: list[str | None] = dataclasses.field(default_factory=list)
    closed: set[str | None] = dataclasses.field(default_factory=set)

    def __post_init__(self) -> None:
        self.enough = asyncio.Event()
        self.begun = asyncio.Event()
        self.begun.set()
        self.progress = Progress(600)
        self.inbox = Inbox(lambda key, _: self.asked.append(key), Seen())

    async def survey(self, namespace: str | None) -> Found:
        self.namespaces.append(namespace)
        if len(self.namespaces) > 8:
            self.enough.set()
        if self.failures:
            self.failures -= 1
            raise TransientError(503, "", "later")
        if namespace in self.closed:
            raise ForbiddenError(403, "Forbidden", "no right")
        return self.found

    def resync(self, *, namespaces: tuple[str, ...] = (), interval_s: float = 600) -> Resync:
        return Resync(self.survey, namespaces, self.inbox, self.progress, interval_s, lambda: 0.0, self.begun, self.reminded.__setitem__)


@pytest.mark.parametrize(("namespaces", "surveyed"), [((), [None]), (("one", "two"), ["one", "two"])])
async def test_the_watched_namespaces_are_surveyed(namespaces: tuple[str, ...], surveyed: list[str | None]) -> None:
    ticker = Ticker()
    assert await ticker.resync(namespaces=namespaces).once()
    assert ticker.namespaces == surveyed


async def test_only_what_differs_is_looked_at() -> None:
    ticker = Ticker(Found(versions={CHAT: "5", LATER: "6"}, differ=[CHAT]))
    await ticker.resync().once()
    assert ticker.asked == [CHAT]
    assert ticker.inbox.begin(CHAT) is None, "everything is read"


async def test_what_needs_a_look_after_a_while_gets_one_after_that_while() -> None:
    ticker = Ticker(Found(versions={LATER: "5"}, later={LATER: 90.0}))
    await ticker.resync().once()
    assert (ticker.asked, ticker.reminded) == ([], {LATER: 90.0})


async def test_a_failed_resync_is_noted_and_enqueues_nothing() -> None:
    ticker = Ticker(Found(versions={CHAT: "5"}, differ=[CHAT]), failures=1)
    resync = ticker.resync()
    assert not await resync.once()
    assert ticker.asked == []
    assert ticker.progress.unready(0) != []
    assert await resync.once()
    assert ticker.progress.unready(0) == []


async def test_a_namespace_that_may_not_be_read_keeps_none_of_the_others_from_it(caplog: pytest.LogCaptureFixture) -> None:
    ticker = Ticker(Found(differ=[CHAT]), closed={"gone"})
    resync = ticker.resync(namespaces=("gone", "ns"))
    for _ in range(2):
        assert not await resync.once(), "it is asked again soon"
    assert set(ticker.asked) == {CHAT}
    assert ticker.progress.unready(0) == []
    assert len([record for record in caplog.records if "may not be read" in record.getMessage()]) == 1
    ticker.closed = set()
    assert await resync.once()


async def test_when_no_namespace_may_be_read_the_resync_has_failed() -> None:
    ticker = Ticker(closed={"a", "b"})
    assert not await ticker.resync(namespaces=("a", "b")).once()
    assert ticker.progress.unready(0) != []


async def test_what_the_watch_tells_at_its_start_is_held_against_what_the_first_resync_has_read() -> None:
    ticker = Ticker()
    live = {"metadata": {"uid": "u", "resourceVersion": "5"}}
    hold = asyncio.Event()
    known = ticker.found

    async def survey(_: str | None) -> Found:
        ticker.inbox.seen.note(kinds.LLM_DEPLOYMENT, live)
        await hold.wait()
        return known

    task = asyncio.create_task(dataclasses.replace(ticker.resync(), survey=survey).run())
    await asyncio.sleep(0)
    ticker.inbox.hear(hint(CHAT, kinds.LLM_DEPLOYMENT, live, gone=False))
    ticker.inbox.hear(hint(LATER, kinds.LLM_DEPLOYMENT, {"metadata": {"uid": "v", "resourceVersion": "7"}}, gone=False))
    assert ticker.asked == []
    hold.set()
    await asyncio.sleep(0.01)
    assert ticker.asked == [LATER]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_it_goes_on_until_it_is_cancelled_whether_a_turn_fails_or_not() -> None:
    ticker = Ticker(failures=2)
    task = asyncio.create_task(ticker.resync(interval_s=0.001).run())
    await asyncio.wait_for(ticker.enough.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_first_one_waits_for_the_watches_and_one_that_lost_its_place_leads_to_another() -> None:
    ticker = Ticker()
    ticker.begun.clear()
    resync = ticker.resync()
    task = asyncio.create_task(resync.run())
    await asyncio.sleep(0.01)
    assert ticker.namespaces == []
    ticker.begun.set()
    await asyncio.sleep(0.01)
    assert len(ticker.namespaces) == 1
    resync.again()
    await asyncio.sleep(1.2)
    assert len(ticker.namespaces) == 2
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
