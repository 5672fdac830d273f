"""What the lab's own tests share: a lab driven as a user drives it, what it may leave on a machine, and pods to run in it."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest

from tests.e2e.volumes import shared_folder
from tests.lab import cgroups, isolate, kwok, procs
from tests.lab.cluster import Lab
from tests.lab.state import REPOSITORY, State

SYSCTLS = ("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "net/ipv4/ip_forward")
# setpriv itself still starts a program with the rights it drops; env starts the next one without them.
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "env")
SIMULATED_POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "simulated", "namespace": "default"},
    "spec": {"tolerations": [kwok.TOLERATION], "containers": [{"name": "main", "image": "none"}]},
}


POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "holder", "namespace": "default"},
    "spec": {
        "containers": [
            {
                "name": "main",
                "image": "lab.local/pause:1",
                "imagePullPolicy": "IfNotPresent",
                "resources": {"limits": {"nvidia.com/gpu": "1"}},
                "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
            }
        ],
        "volumes": [{"name": "scratch", "emptyDir": {"medium": "Memory"}}],
    },
}


@dataclass(frozen=True)
class Traces:
    """What of the machine a lab touches, or must not."""

    sysctls: dict[str, str]
    folders: list[str]
    processes: list[str]
    mounts: list[str]
    groups: list[str]
    addresses: list[str]

    @classmethod
    def of(cls, state: State) -> Self:
        """Look everywhere a lab could have left something."""
        processes, mounts = [], []
        for pid in procs.all_pids():
            try:
                mounted = (procs.PROC / str(pid) / "mountinfo").read_text()
                groups = (procs.PROC / str(pid) / "cgroup").read_text()
            except OSError:
                continue
            mounts += [line for line in mounted.splitlines() if str(state.root) in line]
            processes += [f"{pid} in {state.name}"] if state.name in groups else []
        processes += [f"{process.pid} marked" for process in procs.marked(state)]
        return cls(
            sysctls={name: (Path("/proc/sys") / name).read_text() for name in SYSCTLS},
            folders=[str(folder) for folder in isolate.HIDDEN if folder.exists()],
            processes=processes,
            mounts=mounts,
            groups=[str(entry.group) for entry in cgroups.discover(state.name) if entry.group.exists()],
            addresses=[line for line in output("ip", "-oneline", "address").splitlines() if "198.18." in line or "198.19." in line],
        )


def output(*argv: str) -> str:
    """Return what a command prints."""
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


@dataclass(frozen=True)
class Subject:
    """A lab of a test's own, driven as a user drives it."""

    state: State
    user: tuple[str, ...] = ()  # the words that make a command run as somebody else
    python: str = sys.executable
    extra: Mapping[str, str] = field(default_factory=dict)

    @property
    def lab(self) -> Lab:
        """Return it as tests see it."""
        return Lab(self.state)

    @property
    def environment(self) -> dict[str, str]:
        """Return an environment that names it."""
        return {**os.environ, **self.extra, "LLM_LAB_DIR": str(self.state.root)}

    def popen(self, *args: str) -> "subprocess.Popen[str]":
        """Start a command of the lab."""
        command = [*self.user, self.python, "-m", "tests.lab", *args]
        return subprocess.Popen(command, cwd=REPOSITORY, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def run(self, *args: str, expect: int = 0) -> str:
        """Run a command of the lab and return what it said."""
        process = self.popen(*args)
        said, _ = process.communicate(timeout=120)
        assert process.returncode == expect, said
        return said

    def up_until(self, step: str) -> "subprocess.Popen[str]":
        """Start `up` and return when it has said a step."""
        process = self.popen("up", "--kwok-nodes", "1")
        assert process.stdout is not None
        assert any(step in line for line in process.stdout), f"up never said {step!r}"
        return process

    def hold_a_pod(self) -> None:
        """Have a pod with a mount, a veth pair and a control group run."""
        self.lab.kubectl("apply", "-f", "-", stdin=json.dumps(POD))
        self.lab.kubectl("wait", "--for=condition=Ready", "pod/holder", "--timeout=60s")

    def node(self) -> dict[str, Any]:
        """Return the real node."""
        found: dict[str, Any] = json.loads(self.lab.kubectl("get", "node", "node1", "-o", "json"))
        return found


def looking_pod(folder: Path, script: str) -> dict[str, Any]:
    """Return a volume on a folder of the machine, a claim to it, and a pod under `restricted` that reads it and asks around."""
    volume, claim = shared_folder(folder, "strict", "folder")
    container = {
        "name": "main",
        "image": "lab.local/python:3.11",
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-c", script],
        "securityContext": {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": "data", "mountPath": "/data", "readOnly": True}],
    }
    spec = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "folder", "readOnly": True}}],
    }
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "looking", "namespace": "strict"}, "spec": spec}
    return {"apiVersion": "v1", "kind": "List", "items": [volume, claim, pod]}


def interpreter_for(user: tuple[str, ...]) -> str:
    """Return a Python that a user may run on this checkout."""
    for candidate in (sys.executable, "/usr/bin/python3"):
        command = [*user, candidate, "-c", "import tests.lab.cli"]
        if subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=False).returncode == 0:
            return candidate
    pytest.skip("this checkout or its Python is closed to other users")
