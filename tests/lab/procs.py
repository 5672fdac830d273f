"""Processes as /proc shows them."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.lab.state import MARKER, State
from tests.lab.wait import until

PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    """A process that cannot be mistaken for a later one of the same number."""

    pid: int
    started: int  # clock ticks since boot

    @classmethod
    def of(cls, pid: int) -> Self:
        """Return the process that has the number now."""
        return cls(pid, int(_stat(pid)[19]))

    @property
    def alive(self) -> bool:
        """Say whether it still runs; a zombie does not."""
        try:
            fields = _stat(self.pid)
        except OSError:
            return False
        return int(fields[19]) == self.started and fields[0] != "Z"

    def kill(self) -> None:
        """End it at once and wait until it is gone."""
        if self.alive:
            try:
                os.kill(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                return
        until(lambda: not self.alive, timeout_s=20, what=f"the end of process {self.pid}")


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat after the name, which may hold anything."""
    return (PROC / str(pid) / "stat").read_text().rsplit(")", 1)[1].split()


def parent(pid: int) -> int:
    """Return a process' parent."""
    return int(_stat(pid)[1])


def all_pids() -> list[int]:
    """Return every process number there is now."""
    return [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()]


def marked(state: State) -> list[Process]:
    """Return the lab's processes: those that carry its mark in their environment, except this one and its ancestors."""
    mark = f"{MARKER}={state.root}".encode()
    spared = _ancestors(os.getpid())
    found = []
    for pid in all_pids():
        try:
            environment = (PROC / str(pid) / "environ").read_bytes()
            if pid not in spared and mark in environment.split(b"\0"):
                found.append(Process.of(pid))
        except OSError:  # gone meanwhile, or another user's
            continue
    return found


def _ancestors(pid: int) -> set[int]:
    found = set()
    while pid > 0:
        found.add(pid)
        pid = parent(pid)
    return found


def inner_pids(outer: Process) -> dict[int, int]:
    """Return {number inside the lab's pid namespace: number here} for every process in it."""
    found: dict[int, int] = {}
    try:
        namespace = (PROC / str(outer.pid) / "ns" / "pid_for_children").readlink()
    except OSError:  # it has just ended, and they with it
        return found
    for pid in all_pids():
        try:
            if (PROC / str(pid) / "ns" / "pid").readlink() == namespace:
                found[int(status_field(pid, "NSpid").split()[-1])] = pid
        except OSError:
            continue
    return found


def status_field(pid: int, name: str) -> str:
    """Return one line of /proc/PID/status."""
    for line in (PROC / str(pid) / "status").read_text().splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return value.strip()
    raise OSError(f"process {pid} has no {name}")


def memory_mib(pid: int, field: str = "VmRSS") -> float:
    """Return a process' resident memory, or with VmHWM the most it has had."""
    return int(status_field(pid, field).split()[0]) / 1024
