"""Takes the snapshot of one pod out of the kubelet's reach: a copy mounted over it, seen by the sidecar's container alone."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llm_operator.core import names
from tests.lab import procs

_LIBRARY = """
import ctypes, os, pathlib, shutil, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *args):
    if getattr(libc, name)(*args):
        sys.exit(f"{name}{args}: {os.strerror(ctypes.get_errno())}")
snapshot = sys.argv[1]
"""
# The copy is made aside and moved over in one step, so that no look of the sidecar finds half of it.
_FREEZE = (
    _LIBRARY
    + """
aside = b"/tmp"
call("mount", b"none", b"/", None, ctypes.c_ulong(0x44000), None)  # MS_REC | MS_PRIVATE
call("mount", b"frozen", aside, b"tmpfs", ctypes.c_ulong(0), b"mode=755")
shutil.copytree(snapshot, aside.decode(), symlinks=True, dirs_exist_ok=True)
call("mount", aside, snapshot.encode(), None, ctypes.c_ulong(0x2000), None)  # MS_MOVE
"""
)
_THAW = _LIBRARY + 'call("umount2", snapshot.encode(), 2)  # MNT_DETACH\n'


def container_pid(pod: dict[str, Any], container: str) -> int:
    """Return the number of a container's first process, as this machine counts."""
    listed = [*pod["status"].get("initContainerStatuses", []), *pod["status"].get("containerStatuses", [])]
    container_id = next(each["containerID"] for each in listed if each["name"] == container).removeprefix("containerd://")
    for pid in sorted(procs.all_pids()):
        try:
            if container_id in (procs.PROC / str(pid) / "cgroup").read_text():
                return pid
        except OSError:  # gone meanwhile
            continue
    raise AssertionError(f"{pod['metadata']['name']}: no process of container {container}")


@contextmanager
def frozen_snapshot(pod: dict[str, Any]) -> Iterator[None]:
    """Keep a pod's sidecar from seeing any change of its snapshot for as long as the context lasts."""
    pid = container_pid(pod, "sidecar")
    _inside(pid, _FREEZE)
    try:
        yield
    finally:
        _inside(pid, _THAW)


def _inside(pid: int, script: str) -> None:
    """Run a script with the container's own Python in its mount namespace, as this machine's root."""
    command = ["nsenter", f"--target={pid}", "--mount", "--", "/usr/bin/python3", "-c", script, names.SNAPSHOT_DIR]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30, env={})
    assert done.returncode == 0, done.stderr
