"""An operator as a process of its own, which is started again whenever it ends, as a kubelet would."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.fakes.objects import operator_config
from tests.lab.state import cache_dir

OURS = (sys.executable, "-m", "llm_operator")
_AGAIN_S = 0.5
"""Pause before an operator that ended by itself is started again; one that was killed is started at once."""


@dataclass
class Operator:
    """A program between ``start`` and ``stop``. ``before_start`` is awaited each time: what a dead leader held has to be free by then."""

    program: tuple[str, ...]
    environment: dict[str, str]
    log: Path
    before_start: Callable[[], Awaitable[None]]
    starts: int = 0
    kills: int = 0
    exits: list[int] = field(default_factory=list)
    started_at: float = 0.0
    _process: asyncio.subprocess.Process | None = None
    _keeper: asyncio.Task[None] | None = None
    _wanted: asyncio.Event = field(default_factory=asyncio.Event)
    _killed: bool = False

    async def start(self) -> None:
        """Run it, and keep it running."""
        self._wanted.set()
        self._keeper = asyncio.create_task(self._keep())

    @property
    def ended_by_itself(self) -> int:
        """Return how often it ended without being killed."""
        return len(self.exits)

    @property
    def alive(self) -> bool:
        """Return whether it runs now."""
        return self._process is not None and self._process.returncode is None

    def send(self, number: signal.Signals) -> None:
        """Send its process a signal."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """End the process at once, in the middle of whatever it does."""
        if self._process is not None and self._process.returncode is None:
            self._killed = True
            self.kills += 1
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)

    def take_away(self) -> None:
        """Kill it and leave it dead."""
        self._wanted.clear()
        self.kill()

    def bring_back(self) -> None:
        """Let it run again."""
        self._wanted.set()

    async def stop(self) -> None:
        """End it for good."""
        if self._keeper:
            self._keeper.cancel()
        self.kill()
        if self._process:
            await self._process.wait()

    async def _keep(self) -> None:
        while True:
            await self._wanted.wait()
            await self.before_start()
            self._killed = False
            with self.log.open("ab") as log:
                self._process = await asyncio.create_subprocess_exec(
                    *self.program, env=self.environment, stdout=log, stderr=log, stdin=asyncio.subprocess.DEVNULL
                )
            self.starts += 1
            self.started_at = time.monotonic()
            code = await self._process.wait()
            if not self._killed:
                self.exits.append(code)
                await asyncio.sleep(_AGAIN_S)


def configuration(namespace: str, system: str, **changes: Any) -> str:
    """Return the configuration of an operator that looks after one namespace, and keeps its Lease in another."""
    config = operator_config(namespaces=[namespace], operatorNamespace=system, leaderElection={"enabled": True}, **changes)
    return yaml.safe_dump(config.model_dump(by_alias=True, mode="json", exclude_none=True))


def environment(credentials: Path, config: Path) -> dict[str, str]:
    """Return the environment of an operator's process."""
    return {
        **os.environ,
        "KUBECONFIG": str(credentials),
        "LLM_OPERATOR_CONFIG": str(config),
        "LLM_OPERATOR_PORT": "0",
        "LLM_OPERATOR_LOG_LEVEL": "INFO",
        # An image has its programs compiled. Without that a start takes twice as long, and there are many of them.
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTHONPYCACHEPREFIX": str(cache_dir() / "pycache"),
    }


def kubeconfig(original: Path, url: str) -> str:
    """Return a kubeconfig with the same user that goes by another address."""
    config = json.loads(original.read_text())
    for cluster in config["clusters"]:
        cluster["cluster"] = {"server": url}
    return json.dumps(config)
