"""A pod without a node: the sidecar, started as its Dockerfile says, and a stub engine, both as processes on loopback."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.sidecar.snapshot import Rendered
from tests.e2e import kit
from tests.lab import procs
from tests.lab.images import dockerfile
from tests.lab.state import REPOSITORY
from tests.lab.wait import until
from tests.unit.sidecar.support.keys import SecretDir, entry
from tests.unit.sidecar.support.pod import SnapshotDir
from tests.unit.sidecar.support.process import free_port, stub_flags

KEY = "sk-loopback"
_START_S = 60
_TOKENS_PER_S = "20"


@dataclass
class Pod:
    """The two processes, and what is mounted into the sidecar."""

    rendered: tuple[Rendered, ...]
    slots: int
    folder: Path
    generation: int = 0
    engine: subprocess.Popen[bytes] | None = None
    sidecar: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.port, self.admin, self.engine_port = free_port(), free_port(), free_port()
        self._snapshot = SnapshotDir(self.folder / "snapshot")
        SecretDir(self.folder / "secrets").keys(entry("loopback", KEY))

    @property
    def model(self) -> str:
        """Return the name clients ask for."""
        return self.rendered[0].env["LLM_SERVED_NAME"]

    @property
    def pid(self) -> int:
        """Return the sidecar's process number."""
        assert self.sidecar is not None
        return self.sidecar.pid

    def publish(self) -> int:
        """Swap in the next generation of the snapshot: the rendered ones in turn. Their Service leads to this pod, the only one."""
        self.generation += 1
        files = {name: text.encode() for name, text in self.rendered[self.generation % len(self.rendered)].files.items()}
        table = json.loads(files["table.json"])
        table["generation"] = self.generation
        table["engines"] = {engine: {"service": "127.0.0.1", "port": self.port} for engine in table["engines"]}
        self._snapshot.publish(files | {"table.json": json.dumps(table).encode()})
        return self.generation

    def start_engine(self) -> None:
        """Start the stub engine; it does not wait for it."""
        flags = [*stub_flags(self.engine_port), "--served-model-name", self.model, "--max-num-seqs", str(self.slots)]
        self.engine = self._start("engine", ["-m", "stub_engine", *flags], "tests/fakes", {"STUB_TOKENS_PER_S": _TOKENS_PER_S})

    def kill_engine(self) -> None:
        """Take the engine away without a word to anybody."""
        assert self.engine is not None
        self.engine.kill()
        self.engine.wait()

    def start_sidecar(self) -> None:
        """Start the sidecar and wait until it is ready."""
        python, *arguments = dockerfile.read(REPOSITORY / "images/sidecar/Dockerfile").config.entrypoint
        assert python == "python3", "the sidecar is not started with python3"
        own = {
            "LLM_ENGINE_URL": f"http://127.0.0.1:{self.engine_port}",
            "LLM_SNAPSHOT_DIR": str(self.folder / "snapshot"),
            "LLM_SECRETS_DIR": str(self.folder / "secrets"),
            "LLM_POD_TOKEN": "pod-token",
            "LLM_DRAIN_MINIMUM_S": "0",
            "LLM_LISTEN_HOST": "127.0.0.1",
            "LLM_PORT": str(self.port),
            "LLM_ADMIN_PORT": str(self.admin),
        }
        self.sidecar = self._start("sidecar", arguments, "images/sidecar", {**self.rendered[0].env, **own})

    def said(self) -> str:
        """Return what the sidecar has said."""
        return (self.folder / "sidecar.log").read_text()

    def status(self) -> dict[str, Any]:
        """Ask the sidecar how it is."""
        found: dict[str, Any] = kit.request("127.0.0.1", "GET", "/status", port=self.admin).json()
        return found

    def figure(self, name: str) -> float:
        """Return the sum of a figure over its labels; the engine's are among them."""
        return kit.figure("127.0.0.1", name, port=self.admin)

    def seen(self) -> list[dict[str, Any]]:
        """Return the last requests the engine was sent."""
        found: list[dict[str, Any]] = kit.request("127.0.0.1", "GET", "/-/requests", port=self.engine_port).json()
        return found

    def rss_mb(self) -> float:
        """Return the sidecar's resident memory."""
        return procs.memory_mib(self.pid)

    def descriptors(self) -> int:
        """Return how many files and connections the sidecar has open."""
        return len(list((procs.PROC / str(self.pid) / "fd").iterdir()))

    def end(self) -> None:
        """End both."""
        for process in (self.sidecar, self.engine):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()

    def _start(self, name: str, arguments: list[str], path: str, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            whole = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY / path), "PYTHONUNBUFFERED": "1", **env}
            return subprocess.Popen([sys.executable, *arguments], env=whole, stdout=log, stderr=log)


@contextmanager
def running(pod: Pod) -> Iterator[Pod]:
    """Run both processes from when the sidecar is ready."""
    try:
        pod.publish()
        pod.start_engine()
        pod.start_sidecar()
        until(lambda: pod.status()["ready"], timeout_s=_START_S, what="the sidecar ready")
        yield pod
    finally:
        pod.end()
