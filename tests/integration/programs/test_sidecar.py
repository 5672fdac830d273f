"""The sidecar as a process: signals, exit codes, and what it says."""

import asyncio
import signal
from pathlib import Path

from llm_sidecar.bundle import Bundle
from tests.unit.sidecar.support.client import ask, connect, get, post
from tests.unit.sidecar.support.engine import Engine, streams, text_events
from tests.unit.sidecar.support.pod import SnapshotDir, environment
from tests.unit.sidecar.support.process import Process, started

PATH = "images/sidecar"


async def until_ready(sidecar: Process) -> None:
    await sidecar.until_listening()
    await until_status(sidecar, 200)


async def until_status(sidecar: Process, status: int) -> None:
    for _ in range(1000):
        if (await ask(sidecar.admin, get("/readyz"))).status == status:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"/readyz never became {status}")


def variables(engine: Engine, path: Path, **changes: str) -> dict[str, str]:
    snapshot = SnapshotDir(path / "snapshot")
    snapshot.write(1, "r1", Bundle())
    return environment(engine.port, snapshot.path, **changes)


async def test_on_sigterm_a_stream_ends_complete_and_the_process_leaves_with_zero(engine: Engine, tmp_path: Path) -> None:
    engine.script = streams(*text_events(*["a"] * 40), pause_s=0.02)
    async with started("llm_sidecar", environment=variables(engine, tmp_path, LLM_DRAIN_MINIMUM_S="0.3"), path=PATH) as sidecar:
        await until_ready(sidecar)
        async with connect(sidecar.public) as streaming:
            streaming.send(post("/v1/completions", {"prompt": "x", "stream": True}))
            await streaming.answer(until=b"data:")
            sidecar.process.send_signal(signal.SIGTERM)
            await until_status(sidecar, 503)
            accepted = await ask(sidecar.public, get("/v1/models"))
            assert (accepted.status, accepted.headers["connection"]) == (200, "close")
            sidecar.process.send_signal(signal.SIGTERM)
            rest = await streaming.answer()
            assert rest.complete
            assert rest.body.endswith(b"data: [DONE]\n\n")
            assert b"error" not in rest.body
        assert await sidecar.exit_code() == 0
        assert b"Traceback" not in sidecar.said


async def test_what_is_still_open_at_the_end_is_told_so(engine: Engine, tmp_path: Path) -> None:
    engine.script = streams(*text_events(*["a"] * 2000), pause_s=0.02)
    settings = variables(engine, tmp_path, LLM_DRAIN_MINIMUM_S="0", LLM_DRAIN_MAX_STREAM_S="0.3")
    async with started("llm_sidecar", environment=settings, path=PATH) as sidecar:
        await until_ready(sidecar)
        async with connect(sidecar.public) as streaming:
            streaming.send(post("/v1/completions", {"prompt": "x", "stream": True}))
            await streaming.answer(until=b"data:")
            sidecar.process.send_signal(signal.SIGTERM)
            rest = await streaming.answer()
            assert b'"code":"shutting_down"' in rest.body
            assert rest.body.endswith(b"data: [DONE]\n\n")
        assert await sidecar.exit_code() == 0
        assert b"Traceback" not in sidecar.said


async def test_a_missing_variable_is_one_line_and_exit_code_two(engine: Engine, tmp_path: Path) -> None:
    settings = variables(engine, tmp_path)
    del settings["LLM_POD_TOKEN"]
    async with started("llm_sidecar", environment=settings, path=PATH) as sidecar:
        assert await sidecar.exit_code() == 2
        assert b"LLM_POD_TOKEN is not set" in sidecar.said
        assert sidecar.said.count(b"\n") == 1


async def test_the_token_is_never_logged(engine: Engine, tmp_path: Path) -> None:
    async with started("llm_sidecar", environment=variables(engine, tmp_path, LLM_POD_TOKEN="s3cret-token"), path=PATH) as sidecar:
        await until_ready(sidecar)
        assert (await ask(sidecar.admin, get("/drain", "x-llm-pod-token: wrong-token"))).status == 403
        assert (await ask(sidecar.admin, get("/drain", "x-llm-pod-token: s3cret-token"))).status == 200
        sidecar.process.send_signal(signal.SIGINT)
        assert await sidecar.exit_code() == 0
        assert b"s3cret-token" not in sidecar.said
        assert b"wrong-token" not in sidecar.said
