"""From settings to the lab's outermost process."""

import json
import os
import socket
import subprocess
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from tests.lab import cgroups, configs, host, isolate, pki, shared
from tests.lab.cgroups import Hierarchy
from tests.lab.files import write
from tests.lab.procs import Process
from tests.lab.shared import Change
from tests.lab.state import MARKER, REPOSITORY, Ports, Settings, State, cache_dir


def free_ports() -> Ports:
    """Return ports that nothing listens on now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in asdict(Ports())]
        for taken in sockets:
            taken.bind(("127.0.0.1", 0))
        return Ports(*(taken.getsockname()[1] for taken in sockets))


def launch(state: State, settings: Settings) -> Process:
    """Write what the components read, make what they live in, and start the first process."""
    for folder in (state.logs, state.stopped, state.running):
        folder.mkdir(parents=True)
    pki.prepare(state, settings)
    configs.write_all(state, settings, configs.runc_path(host.search_path()) if settings.node else "")
    write(state.settings, settings.dump())
    if not settings.node:
        return _spawn(state, isolate.launch_command(state, settings, ()))
    isolate.check_places(state.root, cache_dir(), REPOSITORY)
    hierarchies = cgroups.discover(state.name)
    write(state.leftovers, json.dumps([str(hierarchy.group) for hierarchy in hierarchies]))
    write(state.hierarchies, cgroups.dump(hierarchies))
    change = planned_change(hierarchies, isolate.HIDDEN)
    with shared.held(change) as lock:
        cgroups.create(hierarchies, list(change.controllers))
        for path in (*isolate.HIDDEN, state.disk):
            path.mkdir(parents=True, exist_ok=True)
        return _spawn(state, isolate.launch_command(state, settings, hierarchies), lock)


def planned_change(hierarchies: tuple[Hierarchy, ...], mountpoints: tuple[Path, ...]) -> Change:
    """Return what the start is about to change of the machine."""
    missing = tuple(str(path) for path in mountpoints if not path.exists())
    return Change(missing, tuple(cgroups.controllers_to_enable(hierarchies)), str(hierarchies[0].mountpoint))


def _spawn(state: State, command: list[str], *inherited: int) -> Process:
    with (state.logs / "supervisor.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env={**os.environ, "PATH": host.search_path(), MARKER: str(state.root)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=inherited,
        )
    outer = Process.of(process.pid)
    write(state.process, json.dumps(asdict(outer)))
    process.returncode = 0  # it outlives us on purpose: nobody is to wait for it
    return outer
