import asyncio
from typing import TypeVar

import pytest

from llm_operator.core.kinds import Kind
from llm_operator.shell.errors import ForbiddenError, TransientError
from llm_operator.shell.ports import Manifests
from llm_operator.shell.progress import Progress
from llm_operator.shell.queue import Key
from llm_operator.shell.resync import Resync
from tests.fakes.cluster import Call, FakeCluster, Fault
from tests.fakes.objects import llm_deployment, llm_prompt

Made = TypeVar("Made", bound=FakeCluster)


def resync(cluster: FakeCluster, added: list[tuple[Key, float]], *, namespaces: tuple[str, ...] = (), interval_s: float = 600) -> Resync:
    return Resync(
        cluster,
        namespaces,
        lambda key, delay_s: added.append((key, delay_s)),
        Progress(interval_s),
        interval_s=interval_s,
        spread=lambda: 0.5,
        clock=lambda: 0.0,
    )


@pytest.fixture
def cluster() -> FakeCluster:
    return filled(FakeCluster())


def filled(made: Made) -> Made:
    made.put(llm_deployment("a", "one"))
    made.put(llm_deployment("b", "two"))
    made.put(llm_prompt("p", "one"))
    return made


@pytest.mark.parametrize(
    ("namespaces", "names", "lists"),
    [((), {"a", "b", "p"}, 2), (("one",), {"a", "p"}, 2), (("one", "two"), {"a", "b", "p"}, 4)],
)
async def test_everything_in_the_watched_namespaces_is_asked_for_with_one_list_a_kind(
    cluster: FakeCluster, namespaces: tuple[str, ...], names: set[str], lists: int
) -> None:
    added: list[tuple[Key, float]] = []
    assert await resync(cluster, added, namespaces=namespaces).once()
    assert {key.name for key, _ in added} == names
    assert len(cluster.calls) == lists


async def test_the_first_resync_is_quick_and_later_ones_are_spread(cluster: FakeCluster) -> None:
    added: list[tuple[Key, float]] = []
    ticker = resync(cluster, added)
    await ticker.once()
    await ticker.once()
    assert {delay for _, delay in added[:3]} == {0.5}
    assert {delay for _, delay in added[3:]} == {150.0}


async def test_a_failed_resync_is_noted_and_enqueues_nothing(cluster: FakeCluster) -> None:
    added: list[tuple[Key, float]] = []
    cluster.faults.append(Fault(TransientError(503, "", "later"), lambda call: call == Call("list", "LLMPrompt")))
    ticker = resync(cluster, added)
    assert not await ticker.once()
    assert added == []
    assert ticker._progress.unready(0) != []
    assert await ticker.once()
    assert ticker._progress.unready(0) == []


class ClosedHere(FakeCluster):
    """A cluster that lets some namespaces not be read."""

    closed: frozenset[str | None] = frozenset()

    async def list(self, kind: Kind, namespace: str | None, *, labels: str = "", metadata_only: bool = False) -> Manifests:
        if namespace in self.closed:
            raise ForbiddenError(403, "Forbidden", "no")
        return await super().list(kind, namespace, labels=labels, metadata_only=metadata_only)


async def test_a_namespace_that_may_not_be_read_keeps_none_of_the_others(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    cluster = filled(ClosedHere())
    added: list[tuple[Key, float]] = []
    ticker = resync(cluster, added, namespaces=("two", "one"))
    cluster.closed = frozenset({"two"})
    assert not await ticker.once()
    assert ticker._progress.unready(0) == []
    assert not await ticker.once()
    assert {key.name for key, _ in added} == {"a", "p"}
    cluster.closed = frozenset()
    assert await ticker.once()
    assert {key.name for key, _ in added} == {"a", "b", "p"}
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


@pytest.mark.parametrize("namespaces", [(), ("one", "two")])
async def test_an_operator_that_may_read_nothing_is_not_ready(namespaces: tuple[str, ...]) -> None:
    cluster = ClosedHere()
    cluster.closed = frozenset({None, "one", "two"})
    ticker = resync(cluster, [], namespaces=namespaces)
    assert not await ticker.once()
    assert ticker._progress.unready(0) != []


async def test_it_goes_on_until_it_is_cancelled(cluster: FakeCluster) -> None:
    added: list[tuple[Key, float]] = []
    enough = asyncio.Event()

    def add(key: Key, delay_s: float) -> None:
        added.append((key, delay_s))
        if len(added) > 8:
            enough.set()

    ticker = resync(cluster, added, interval_s=0.001)
    ticker._add = add
    task = asyncio.create_task(ticker.run())
    await asyncio.wait_for(enough.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
