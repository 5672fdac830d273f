"""One sidecar at four fifths of its capacity while everything around it changes: every answer is right, and nothing is left behind.

Processes on loopback, so that nothing but the sidecar, its engine and the clients is measured. The engine is a stub whose answers carry a
hash of the request it saw. The snapshot changes every second between two prompts, the engine is killed twice, clients leave at random.

An engine that goes makes a hundred requests wait, and what they take at most stays with the process. So it is killed once before memory is
looked at: whatever is kept each time, or with time, shows.
"""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import mean
from typing import Any

import aiohttp
import pytest
import yaml

from bench.sidecar.snapshot import Rendered, render_objects
from tests.e2e import figures
from tests.e2e.asking import Asking
from tests.e2e.loopback import KEY, Pod, running
from tests.lab.state import REPOSITORY
from tests.lab.wait import WaitTimeoutError, until

EXAMPLE = REPOSITORY / "examples/pipelines/default.yaml"
SLOTS = 64 if figures.SOAK else 32
FOR_S, CAPACITY_S, WARM_S = (600, 40, 60) if figures.SOAK else (60, 8, 10)
GROWTH = 1.05 if figures.SOAK else 1.15
LOAD = 0.8
AWAY_S = 2.0
SYSTEM = "You are help desk {number}. Answer in one short sentence."


def _rendered(number: int) -> Rendered:
    documents = list(yaml.safe_load_all(EXAMPLE.read_text()))
    spec: dict[str, Any] = next(each for each in documents if each["kind"] == "LLMDeployment")["spec"]
    spec["prompt"]["inline"] = {"system": SYSTEM.format(number=number), "sampling": {"temperature": 0.7}}
    spec["limits"] = {"maxConcurrency": SLOTS, "queue": SLOTS}
    return render_objects(documents)


RENDERED = (_rendered(0), _rendered(1))
REVISIONS = [json.loads(each.files["table.json"])["stable"] for each in RENDERED]


@pytest.fixture
def pod(tmp_path: Path) -> Iterator[Pod]:
    """A pod with the default pipeline."""
    with running(Pod(RENDERED, SLOTS, tmp_path)) as started:
        yield started


@pytest.mark.timeout(1200)
async def test_at_four_fifths_of_capacity_every_answer_is_right_and_nothing_is_left_behind(pod: Pod) -> None:
    start = await asyncio.to_thread(_at_rest, pod)
    memory: list[float] = []
    async with Asking(f"http://127.0.0.1:{pod.port}/v1/chat/completions", KEY, pod.model) as asking:
        capacity = await asking.capacity(SLOTS + SLOTS // 2, CAPACITY_S)
        assert (asking.seen.failures, asking.lost) == ([], [])
        reloading = asyncio.create_task(_reload(pod))
        restarting = asyncio.create_task(_restart(pod, 1, WARM_S / 3))
        await asking.steadily(LOAD * capacity, WARM_S)
        restarts = await restarting
        before, began = asking.seen.sent, time.monotonic()
        always = [reloading, asyncio.create_task(_watch(pod, memory))]
        restarting = asyncio.create_task(_restart(pod, 2, FOR_S / 3))
        await asking.steadily(LOAD * capacity, FOR_S)
        took_s = time.monotonic() - began
        restarts += await restarting
        for task in always:
            task.cancel()
        assert not [each for each in await asyncio.gather(*always, return_exceptions=True) if isinstance(each, Exception)]
        learned = await asyncio.to_thread(pod.seen)
    third = len(memory) // 3
    first_mb, last_mb = mean(memory[:third]), mean(memory[-third:])
    _tell(asking, capacity, (asking.seen.sent - before) / took_s, first_mb, last_mb, pod.generation)
    assert (asking.seen.failures, asking.seen.mixed()) == ([], [])
    assert _told_of(asking, learned) > 0
    assert [lost for lost in asking.lost if not any(lost.began <= back and lost.ended >= gone for gone, back in restarts)] == []
    assert len(asking.lost) <= len(restarts) * SLOTS, "more than the engine had"
    assert last_mb <= first_mb * GROWTH
    await asyncio.to_thread(_comes_to_rest, pod, start)
    await _has_all_its_slots(pod)
    assert "Traceback" not in pod.said()


def _at_rest(pod: Pod) -> dict[str, float]:
    """Return the most of what there is open within a few seconds without a request: the engine is looked at each second."""
    looks = []
    for _ in range(10):
        looks.append(_open(pod))
        threading.Event().wait(0.3)
    return {name: max(look[name] for look in looks) for name in looks[0]}


def _open(pod: Pod) -> dict[str, float]:
    status = pod.status()
    kept = {"descriptors": float(pod.descriptors()), "tasks": pod.figure("llm_sidecar_tasks")}
    return kept | {name: float(status[name]) for name in ("inflight", "queued", "held")}


def _comes_to_rest(pod: Pod, start: dict[str, float]) -> None:
    """Wait until nothing is open that was not at the start, and the last snapshot is in force."""
    last: dict[str, float] = {}

    def rests() -> bool:
        last.update(_open(pod))
        return all(last[name] <= start[name] for name in start) and pod.status()["generation"] == pod.generation

    try:
        until(rests, timeout_s=60, what="the sidecar at rest", interval_s=0.5)
    except WaitTimeoutError as error:
        raise AssertionError(f"{last} is not back to {start}") from error
    assert pod.figure("llm_sidecar_config_reload_success") == 1


async def _has_all_its_slots(pod: Pod) -> None:
    """Assert that as many requests as there are slots get to the engine at once."""
    body = {"model": pod.model, "messages": [{"role": "user", "content": "hold"}], "max_tokens": 400, "stream": True}
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        for _ in range(SLOTS):
            url, headers = f"http://127.0.0.1:{pod.port}/v1/chat/completions", {"authorization": f"Bearer {KEY}"}
            answer = await stack.enter_async_context(session.post(url, json=body, headers=headers))
            assert answer.status == 200
        assert await asyncio.to_thread(pod.figure, "vllm:num_requests_running") == SLOTS


async def _reload(pod: Pod) -> None:
    while True:
        await asyncio.sleep(1)
        await asyncio.to_thread(pod.publish)


async def _watch(pod: Pod, memory: list[float]) -> None:
    while True:
        memory.append(pod.rss_mb())
        await asyncio.sleep(1)


async def _restart(pod: Pod, times: int, pause_s: float) -> list[tuple[float, float]]:
    """Kill the engine so many times, each after a pause; return between when and when it was killed."""
    killed = []
    for _ in range(times):
        await asyncio.sleep(pause_s)
        gone = time.monotonic()
        await asyncio.to_thread(pod.kill_engine)
        killed.append((gone, time.monotonic()))
        await asyncio.sleep(AWAY_S)
        pod.start_engine()
    return killed


def _told_of(asking: Asking, learned: list[dict[str, Any]]) -> int:
    """Return of how many of the last requests the engine saw answers carry the hash; one that carries another one fails."""
    revisions = {SYSTEM.format(number=number): revision for number, revision in enumerate(REVISIONS)}
    count = 0
    for request in learned:
        if not request["path"].endswith("chat/completions"):
            continue
        system, user = (message["content"] for message in json.loads(request["body"])["messages"])
        assert asking.seen.bodies[user, revisions[system]] == {request["hash"]}
        count += 1
    return count


def _tell(asking: Asking, capacity: float, rps: float, first_mb: float, last_mb: float, generations: int) -> None:
    seen = asking.seen
    counts = {"requests": seen.sent, "streams": seen.streams, "declared": len(seen.declared), "failed": len(seen.failures)}
    restarted = {"left": asking.left, "lost_with_the_engine": len(asking.lost), "generations": generations}
    memory = {"rss_first_third_mb": first_mb, "rss_last_third_mb": last_mb}
    figures.record("long_run", seconds=FOR_S, slots=SLOTS, capacity_rps=capacity, rps=rps, **counts, **restarted, **memory)
