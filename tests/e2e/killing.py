"""Ends processes of pods at once, as a crash or a lack of memory would."""

import os
import signal
from contextlib import suppress
from typing import Any

from tests.e2e.freezing import container_pid
from tests.lab import procs


def kill_engine(pod: dict[str, Any]) -> None:
    """End the engine of a pod; its sidecar stays."""
    os.kill(container_pid(pod, "engine"), signal.SIGKILL)


def pids_of(pod: dict[str, Any]) -> list[int]:
    """Return the numbers of all processes of a pod, as this machine counts."""
    mark = f"pod{pod['metadata']['uid']}"
    return [pid for pid in procs.all_pids() if mark in _cgroups(pid)]


def kill(pids: list[int]) -> None:
    """End processes at once. A container's first takes its others along: by their turn they may be gone."""
    assert pids, "nothing to end"
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _cgroups(pid: int) -> str:
    try:
        return (procs.PROC / str(pid) / "cgroup").read_text()
    except OSError:  # gone meanwhile
        return ""
