"""The ways to the engine: processes on cores of their own, and what the kernel says of them."""

import hashlib
import json
import os
import signal
import socket
import string
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.sidecar import install
from bench.sidecar.payload import KEY, PACE_US, Payload
from bench.sidecar.snapshot import Rendered, mount
from tests.lab.procs import memory_mib
from tests.lab.wait import until

_ENVOY_CONFIG = Path(__file__).with_name("envoy.yaml")
_START_S = 20.0
_KEY = {"id": "bench", "sha256": hashlib.sha256(KEY.encode()).hexdigest(), "limits": {"requestsPerMinute": 100_000_000}}
"""Every request shows a key; a sidecar that asks for none does not look at it."""


@dataclass(frozen=True)
class Cores:
    """Where processes run: what is measured alone on one core, load and engine on another, both ahead of whatever else runs there."""

    load: int
    proxy: int
    ahead: bool

    @staticmethod
    def take() -> "Cores":
        """Take two cores, with real-time priority where that is allowed."""
        cores = sorted(os.sched_getaffinity(0))
        assert len(cores) > 1, "two cores are needed"
        allowed = subprocess.run(["chrt", "--rr", "1", "true"], check=False, capture_output=True).returncode == 0
        return Cores(cores[0], cores[-1], allowed)

    def prefix(self, core: int) -> list[str]:
        """Return what in front of a command makes it run on a core."""
        return [*(["chrt", "--rr", "1"] if self.ahead else []), "taskset", "--cpu-list", str(core)]


@dataclass(frozen=True)
class Running:
    """A process and where it listens."""

    port: int
    pid: int
    start_s: float = 0.0

    def cpu_s(self) -> float:
        """Return the CPU time of all its threads so far."""
        tasks = Path(f"/proc/{self.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def memory_mb(self, field: str = "VmRSS") -> float:
        """Return its resident memory, or with VmHWM the most it has had."""
        return memory_mib(self.pid, field)


@contextmanager
def engine(cores: Cores, payload: Payload, folder: Path) -> Iterator[Running]:
    """Run the engine of the benchmark."""
    port = free_port()
    (folder / "answer.json").write_bytes(payload.answer)
    (folder / "events").write_bytes(b"\n".join(payload.events))
    command = [install.program("upstream"), str(port), str(folder / "answer.json"), str(folder / "events"), str(PACE_US)]
    with _running([*cores.prefix(cores.load), *command], {}, f"http://127.0.0.1:{port}/health") as (pid, start_s):
        yield Running(port, pid, start_s)


@contextmanager
def envoy(cores: Cores, engine_port: int, folder: Path) -> Iterator[Running]:
    """Run Envoy with one worker."""
    port = free_port()
    config = folder / "envoy.yaml"
    config.write_text(string.Template(_ENVOY_CONFIG.read_text()).substitute(listen=port, engine=engine_port))
    command = [install.envoy(), "--config-path", str(config), "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]
    with _running([*cores.prefix(cores.proxy), *command], {}, f"http://127.0.0.1:{port}/health") as (pid, start_s):
        yield Running(port, pid, start_s)


@contextmanager
def sidecar(cores: Cores, image: install.Image, rendered: Rendered, engine_port: int, folder: Path) -> Iterator[Running]:
    """Run a sidecar as its pod would; it has started when it is ready for requests."""
    mounted, secret = folder / "snapshot", folder / "secret"
    if not mounted.exists():
        mount(rendered.files, mounted)
        mount({"api-keys.json": json.dumps({"keys": [_KEY]})}, secret)
    port, admin = free_port(), free_port()
    env = {
        **image.env,
        **rendered.env,
        "LLM_ENGINE_URL": f"http://127.0.0.1:{engine_port}",
        "LLM_SNAPSHOT_DIR": str(mounted),
        "LLM_SECRETS_DIR": str(secret),
        "LLM_DRAIN_MINIMUM_S": "0",
        "LLM_LISTEN_HOST": "127.0.0.1",
        "LLM_PORT": str(port),
        "LLM_ADMIN_PORT": str(admin),
    }
    with _running([*cores.prefix(cores.proxy), *image.command], env, f"http://127.0.0.1:{admin}/readyz") as (pid, start_s):
        yield Running(port, pid, start_s)


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def _running(command: Sequence[str], env: Mapping[str, str], ready: str) -> Iterator[tuple[int, float]]:
    """Run a process from before it answers 200; gives its number and the seconds until it did."""
    began = time.perf_counter()
    with subprocess.Popen(command, env={"PATH": os.environ["PATH"], **env}, stderr=subprocess.PIPE) as process:
        try:
            until(lambda: process.poll() is not None or _answers(ready), timeout_s=_START_S, what=ready, interval_s=0.002)
            start_s = time.perf_counter() - began
            assert process.poll() is None, process.stderr.read().decode() if process.stderr else ""
            yield process.pid, start_s
        finally:
            process.send_signal(signal.SIGKILL)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:  # noqa: S310  # our own address
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
