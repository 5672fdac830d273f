import asyncio

import pytest

from llm_operator.shell.errors import TransientError
from llm_operator.shell.progress import Progress
from llm_operator.shell.queue import Key
from llm_operator.shell.resync import Resync
from tests.fakes.cluster import Call, FakeCluster, Fault
from tests.fakes.objects import llm_deployment, llm_prompt


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
    made = FakeCluster()
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
