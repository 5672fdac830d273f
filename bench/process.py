"""The operator as a process under the account the chart gives it, and what /proc says of it and its children."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.integration.chart.kit import install, kubectl
from tests.lab import procs
from tests.lab.cluster import Lab

RELEASE = "llm-operator"
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Installed:
    """A release of the chart of which the operator runs outside."""

    folder: Path
    account: str

    def start(self, command: Sequence[str] = ("-m", "llm_operator"), **env: str) -> subprocess.Popen[bytes]:
        """Start the operator as its pod does, but here; its log grows with each start."""
        settings = {"KUBECONFIG": str(self.folder / "kubeconfig"), "LLM_OPERATOR_CONFIG": str(self.folder / "config.yaml")}
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, *command],
                env={**os.environ, "LLM_OPERATOR_PORT": "0", **settings, **env},
                stdout=log,
                stderr=subprocess.STDOUT,
            )


@contextmanager
def stub_sidecars() -> Iterator[None]:
    """Run the process that answers for all pods there are, from when it listens."""
    with subprocess.Popen([sys.executable, "-m", "tests.lab.stubs"], stdout=subprocess.PIPE) as stubs:
        try:
            assert stubs.stdout
            assert stubs.stdout.readline(), "the sidecars did not start"
            yield
        finally:
            stubs.terminate()


def install_operator(lab: Lab, folder: Path, system: str, values: Mapping[str, Any]) -> Installed:
    """Install the chart for its account, rights and configuration."""
    install(RELEASE, system, dict(values))
    config: dict[str, Any] = json.loads(lab.kubeconfig.read_text())
    token = kubectl("-n", system, "create", "token", RELEASE, "--duration=12h").strip()
    for user in config["users"]:
        user["user"] = {"token": token}
    for context in config["contexts"]:
        context["context"]["namespace"] = system
    (folder / "kubeconfig").write_text(json.dumps(config))
    written = json.loads(kubectl("-n", system, "get", "configmap", RELEASE, "--output=json"))["data"]["config.yaml"]
    (folder / "config.yaml").write_text(written)
    return Installed(folder, f"system:serviceaccount:{system}:{RELEASE}")


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask the operator to stop, as the kubelet does, and wait until it has."""
    process.send_signal(signal.SIGTERM)
    process.wait(30)


@dataclass(frozen=True)
class Use:
    """What a process and its children have taken."""

    cpu_s: float
    rss_mb: float


def use(pid: int) -> Use:
    """Return what a process and its children take now; CPU of children that ended is in their parent's."""
    cpu, rss = 0.0, 0.0
    for each in _family(pid):
        try:
            fields = (procs.PROC / str(each) / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue  # ended meanwhile
        cpu += sum(int(field) for field in fields[11:15]) / _TICKS
        rss += int(fields[21]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    return Use(cpu, rss)


def _family(pid: int) -> list[int]:
    tasks = procs.PROC / str(pid) / "task"
    try:
        children = [int(word) for task in tasks.iterdir() for word in (task / "children").read_text().split()]
    except OSError:
        children = []
    return [pid, *(each for child in children for each in _family(child))]
