"""Sidecars as processes in front of stub engines, and what is left when one of those is killed."""

import asyncio
import contextlib
import json
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from llm_sidecar import table
from llm_sidecar.bundle import Bundle
from tests.unit.sidecar.support.client import Answer, ask, connect, get, post
from tests.unit.sidecar.support.pod import SnapshotDir, environment, route
from tests.unit.sidecar.support.process import Process, free_port, started, stub_flags

STREAM = post("/v1/completions", {"prompt": "x", "stream": True, "max_tokens": 3000})
"""Of a minute, so that the first one is still open when the last one begins."""
UNARY = post("/v1/completions", {"prompt": "x", "max_tokens": 3})


@dataclass
class PodProcesses:
    """A sidecar and its stub engine, each a process. ``port`` is where the sidecar looks for one."""

    sidecar: Process
    engine: Process | None
    port: int


@contextlib.asynccontextmanager
async def pod(engine_id: str, snapshot: SnapshotDir, *, loaded: bool = True) -> AsyncIterator[PodProcesses]:
    """Start both; an entry has no engine, and one that is not ``loaded`` does not answer yet."""
    port = free_port()
    settings = environment(port, snapshot.path, LLM_ENGINE=engine_id)
    async with contextlib.AsyncExitStack() as stack:
        engine = None
        if engine_id and loaded:
            engine = await stack.enter_async_context(engine_at(port))
        sidecar = await stack.enter_async_context(started("llm_sidecar", environment=settings, path="images/sidecar"))
        await sidecar.until_listening()
        yield PodProcesses(sidecar, engine, port)


def engine_at(port: int) -> contextlib.AbstractAsyncContextManager[Process]:
    """Return what starts a stub engine."""
    return started("stub_engine", *stub_flags(port), environment={"STUB_TOKENS_PER_S": "50"}, path="tests/fakes")


async def until_ready(*pods: PodProcesses) -> None:
    for each in pods:
        for _ in range(1000):
            if (await ask(each.sidecar.admin, get("/readyz"))).status == 200:
                break
            await asyncio.sleep(0.02)
        else:
            raise AssertionError("a pod never became ready")


async def until_held(pod: PodProcesses, count: int) -> None:
    for _ in range(1000):
        if json.loads((await ask(pod.sidecar.admin, get("/status"))).body)["held"] == count:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"never {count} held")


async def stream(port: int, began: asyncio.Semaphore) -> Answer:
    async with connect(port) as client:
        client.send(STREAM)
        first = await client.answer(until=b"\n\n")
        began.release()
        rest = await client.answer()
        return Answer(first.status, first.headers, first.body + rest.body, complete=rest.complete)


async def test_when_an_engine_is_killed_requests_go_to_a_pod_of_the_same_revision_and_streams_are_told(tmp_path: Path) -> None:
    snapshot = SnapshotDir(tmp_path / "snapshot")
    async with pod("e1", snapshot) as first, pod("e1", snapshot) as second:
        found = table.Table(
            generation=1,
            stable="r1",
            routes=(route("r1"),),
            engines={"e1": table.Engine(service="127.0.0.1", port=second.sidecar.public)},
        )
        addresses = tuple(f"127.0.0.1:{each.sidecar.public}" for each in (first, second))
        snapshot.write_table(found, {"r1": Bundle()}, table.Peers(engines={"e1": addresses}))
        await until_ready(first, second)
        began = asyncio.Semaphore(0)
        streams = [asyncio.create_task(stream(first.sidecar.public, began)) for _ in range(10)]
        for _ in streams:
            await began.acquire()
        assert first.engine is not None
        first.engine.process.send_signal(signal.SIGKILL)
        killed = time.perf_counter()
        after = [await ask(first.sidecar.public, UNARY) for _ in range(20)]
        print(f"20 requests behind a killed engine took {time.perf_counter() - killed:.2f} s")  # noqa: T201  # a figure for the reader
        assert [(answer.status, answer.headers["x-llm-revision"]) for answer in after] == [(200, "r1")] * 20
        for answer in await asyncio.gather(*streams):
            assert answer.complete
            assert answer.body.endswith(b"data: [DONE]\n\n")
            assert b'"code":"engine_broken"' in answer.body  # they had begun, so they can not begin again elsewhere
        status = json.loads((await ask(first.sidecar.admin, get("/status"))).body)
        assert (status["ready"], status["held"]) == (False, 0)


async def test_an_entry_holds_until_the_engine_is_there_and_leaves_with_zero(tmp_path: Path) -> None:
    snapshot = SnapshotDir(tmp_path / "snapshot")
    async with pod("", snapshot) as entry:
        async with pod("e1", snapshot, loaded=False) as loading:
            where = {"e1": table.Engine(service="127.0.0.1", port=loading.sidecar.public)}
            found = table.Table(generation=1, stable="r1", routes=(route("r1"),), engines=where)
            snapshot.write_table(found, {"r1": Bundle()})
            await until_ready(entry)
            waiting = [asyncio.create_task(ask(entry.sidecar.public, UNARY)) for _ in range(5)]
            await until_held(entry, 5)
            async with engine_at(loading.port):
                assert [(await answer).status for answer in waiting] == [200] * 5
        entry.sidecar.process.send_signal(signal.SIGTERM)
        assert await entry.sidecar.exit_code() == 0
        assert b"Traceback" not in entry.sidecar.said
        assert b"engine=none" in entry.sidecar.said
