"""Ends processes of pods at once, as a crash or a lack of memory would."""

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from tests.e2e.freezing import container_pid
from tests.lab import procs

T = TypeVar("T")


def kill_engine(pod: dict[str, Any], look: Callable[[], T]) -> T:
    """End the engine of a pod; its sidecar stays. Return a look at it while the engine stands still: no answer begins after that look."""
    pid = container_pid(pod, "engine")
    os.kill(pid, signal.SIGSTOP)
    try:
        return look()
    finally:
        os.kill(pid, signal.SIGKILL)


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
