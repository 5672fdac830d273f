import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from tests.unit.sidecar.support.process import free_port

PACKAGES = Path(__file__).resolve().parents[2] / "fakes"


@dataclass
class Process:
    """A stub in a process of its own, started as its image starts it."""

    process: asyncio.subprocess.Process
    port: int

    @property
    def url(self) -> str:
        """Return where it listens."""
        return f"http://127.0.0.1:{self.port}"

    async def ended(self) -> int:
        """Return its exit code."""
        return await asyncio.wait_for(self.process.wait(), 15)


@asynccontextmanager
async def started(*arguments: str, listens: bool = True, **env: str) -> AsyncIterator[Process]:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "stub_engine", "serve", "--model", "/model", "--served-model-name", "chat"),
        *("--host", "127.0.0.1", "--port", str(port), *arguments),
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(PACKAGES), "STUB_TTFT_S": "0", "STUB_TOKENS_PER_S": "100", **env},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    stub = Process(process, port)
    try:
        if listens:
            await asyncio.wait_for(_listening(stub), 20)
        yield stub
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def _listening(stub: Process) -> None:
    async with aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(f"{stub.url}/health"):
                    return
            except aiohttp.ClientConnectorError:
                await asyncio.sleep(0.02)


async def _stream(session: aiohttp.ClientSession, stub: Process, tokens: int) -> aiohttp.ClientResponse:
    body = {"prompt": "x", "stream": True, "max_tokens": tokens}
    answer = await session.post(f"{stub.url}/v1/completions", json=body)
    await answer.content.readline()
    return answer


async def test_until_it_is_loaded_connections_are_refused() -> None:
    async with started(listens=False, STUB_STARTUP_S="1") as stub, aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(f"{stub.url}/health")
        await asyncio.wait_for(_listening(stub), 20)


async def test_a_start_that_fails_says_its_last_words_and_exits_1() -> None:
    async with started(listens=False, STUB_CRASH="RuntimeError: no GPU") as stub:
        output, _ = await stub.process.communicate()
        assert (stub.process.returncode, output) == (1, b"RuntimeError: no GPU\n")


async def test_sigterm_while_loading_ends_it() -> None:
    async with started(listens=False, STUB_STARTUP_S="60") as stub:
        await asyncio.sleep(0.5)
        stub.process.send_signal(signal.SIGTERM)
        await stub.ended()


async def test_without_a_shutdown_timeout_sigterm_aborts_streams_and_ends() -> None:
    async with started() as stub, aiohttp.ClientSession() as session:
        answer = await _stream(session, stub, 5000)
        unary = asyncio.create_task(_unary(session, stub))
        await asyncio.wait_for(_busy(session, stub, 2), 20)
        stub.process.send_signal(signal.SIGTERM)
        text = (await answer.read()).decode()
        assert '"finish_reason":"abort"' in text
        assert text.endswith("data: [DONE]\n\n")
        assert await unary == (200, "abort")
        assert await stub.ended() == 0


async def _busy(session: aiohttp.ClientSession, stub: Process, jobs: int) -> None:
    """Wait until it is at so many requests."""
    while True:
        async with session.get(f"{stub.url}/load") as load:
            if (await load.json())["server_load"] == jobs:
                return
        await asyncio.sleep(0.02)


async def _refused(session: aiohttp.ClientSession, stub: Process) -> str:
    """Ask until it takes nothing new, and return how it says so: a signal is heard a moment after it was sent."""
    while True:
        async with session.post(f"{stub.url}/v1/completions", json={"prompt": "x", "max_tokens": 1}) as answer:
            if answer.status == 500:
                return str((await answer.json())["error"]["message"])


async def _unary(session: aiohttp.ClientSession, stub: Process) -> tuple[int, str]:
    async with session.post(f"{stub.url}/v1/completions", json={"prompt": "y", "max_tokens": 5000}) as answer:
        return answer.status, (await answer.json())["choices"][0]["finish_reason"]


async def test_with_a_shutdown_timeout_streams_end_whole_and_new_requests_get_500_while_health_is_good() -> None:
    async with started("--shutdown-timeout", "10") as stub, aiohttp.ClientSession() as session:
        answer = await _stream(session, stub, 200)
        stub.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(_refused(session, stub), 20) == "cannot schedule new futures after shutdown"
        async with session.get(f"{stub.url}/health") as health:
            assert health.status == 200
        text = (await answer.read()).decode()
        assert '"finish_reason":"length"' in text
        assert text.endswith("data: [DONE]\n\n")
        assert await stub.ended() == 0


async def test_when_the_shutdown_timeout_expires_streams_hang_until_their_clients_leave() -> None:
    async with started("--shutdown-timeout", "1") as stub, aiohttp.ClientSession() as session:
        answer = await _stream(session, stub, 5000)
        stub.process.send_signal(signal.SIGTERM)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(answer.read(), 2)
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(f"{stub.url}/health", headers={"connection": "close"})
        assert stub.process.returncode is None
        answer.close()
        assert await stub.ended() == 0


async def test_faults_are_switched_from_inside_the_pod() -> None:
    async with started() as stub, aiohttp.ClientSession() as session:
        for argument, status in (('{"unhealthy": true}', 503), (None, 200)):
            switch = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "stub_engine.switch", *([argument] if argument else [])),
                env={"PATH": os.environ["PATH"], "PYTHONPATH": str(PACKAGES), "STUB_PORT": str(stub.port)},
                stdout=asyncio.subprocess.DEVNULL,
            )
            assert await switch.wait() == 0
            async with session.get(f"{stub.url}/health") as health:
                assert health.status == status


async def test_it_can_be_made_to_die_with_a_code() -> None:
    async with started() as stub, aiohttp.ClientSession() as session:
        async with session.post(f"{stub.url}/-/faults", json={"exit_code": 137}):
            pass
        assert await stub.ended() == 137


async def test_many_open_streams_cost_little_memory() -> None:
    async with (
        started("--max-num-seqs", "512", STUB_TOKENS_PER_S="5") as stub,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
    ):
        streams = await asyncio.gather(*(_stream(session, stub, 1000) for _ in range(300)))
        assert _resident_bytes(stub.process.pid) < 64 * 1024 * 1024
        for stream in streams:
            stream.close()


def _resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
