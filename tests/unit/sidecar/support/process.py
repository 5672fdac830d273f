"""The sidecar and the stub engine as processes of their own, as they run in a pod."""

import asyncio
import contextlib
import itertools
import os
import re
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

REPO = Path(__file__).parents[4]
_LISTENING = re.compile(rb"listening public=(\d+) admin=(\d+)")


@dataclass
class Process:
    """A running program and what it said so far."""

    process: asyncio.subprocess.Process
    said: bytes = b""
    public: int = 0
    admin: int = 0

    async def until_listening(self) -> None:
        """Read on until it says its ports."""
        assert self.process.stderr is not None
        async with asyncio.timeout(30):
            while (found := _LISTENING.search(self.said)) is None:
                line = await self.process.stderr.readline()
                assert line, self.said.decode()
                self.said += line
        self.public, self.admin = int(found[1]), int(found[2])

    async def exit_code(self) -> int:
        """Wait until it has left."""
        assert self.process.stderr is not None
        async with asyncio.timeout(30):
            self.said += await self.process.stderr.read()
            return await self.process.wait()


@contextlib.asynccontextmanager
async def started(module: str, *arguments: str, environment: dict[str, str], path: str) -> AsyncIterator[Process]:
    """Run ``python -m module``."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        *arguments,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(REPO / path), **environment},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield Process(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_FIRST = 10_000 + (os.getppid() + _WORKER) % 44 * 500
_ports = itertools.cycle(range(_FIRST, _FIRST + 500))


def free_port() -> int:
    """Return a port nobody listens on, and that stays so: the system gives none of these away, and every worker of a run has its own."""
    for port in _ports:
        with socket.socket() as free, contextlib.suppress(OSError):
            free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what was closed a moment ago is free
            free.bind(("127.0.0.1", port))
            return port
    raise AssertionError("unreachable: the ports go round")


def stub_flags(port: int) -> tuple[str, ...]:
    """Return the command line of an engine, as the operator starts vLLM."""
    flags = ("serve", "--model", "/model", "--served-model-name", "chat", "--host", "127.0.0.1", "--port", str(port))
    return (*flags, "--enable-force-include-usage")


@contextlib.asynccontextmanager
async def stub_engine(*arguments: str, **environment: str) -> AsyncIterator[int]:
    """Run the stub engine; gives its port."""
    port = free_port()
    async with started("stub_engine", *stub_flags(port), *arguments, environment=environment, path="tests/fakes"):
        yield port
