"""`up` and `down`: everything that happens outside the lab."""

import fcntl
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path

from tests.lab import builds, cgroups, configs, host, isolate, pki
from tests.lab.files import write
from tests.lab.images import build as images
from tests.lab.procs import Process, marked
from tests.lab.say import say
from tests.lab.state import MARKER, REPOSITORY, Ports, Settings, State
from tests.lab.wait import until

_UP_TIMEOUT_S = 300.0
_LOG_TAIL = 15


class LabError(RuntimeError):
    """The lab cannot do what was asked; the message says why and what to do."""


def up(state: State, wanted: Settings) -> bool:
    """Start a lab, or find that it is up already (False)."""
    start = time.monotonic()
    with _locked(state):
        running = running_settings(state)
        if running is not None and is_up(state):
            _check_same(running, wanted)
            return False
        _clean(state)
        if wanted.node:
            host.require_root()
        host.ensure_packages(node=wanted.node)
        builds.build(_modules(wanted))
        if wanted.node:
            images.build(["pause"])
        settings = replace(wanted, network=isolate.choose_network(wanted.mode))
        if not settings.has_pod_addresses:
            settings = replace(settings, ports=_free_ports())
        try:
            _say(start, "programs and packages")
            outer = _launch(state, settings)
            _follow(state, outer, start)
        except BaseException:
            _clean(state)
            raise
        _say(start, "up")
    return True


def down(state: State) -> list[str]:
    """End the lab and remove every trace of it but logs and keys; return what was there."""
    if not state.root.exists():
        return []
    with _locked(state):
        return _clean(state)


def running_settings(state: State) -> Settings | None:
    """Return what the lab was started with, if it lives."""
    outer = outer_process(state)
    return Settings.load(state.settings.read_text()) if outer is not None and outer.alive else None


def outer_process(state: State) -> Process | None:
    """Return the outermost process of the lab, alive or not."""
    with suppress(OSError, ValueError):
        return Process(**json.loads(state.process.read_text()))
    return None


def is_up(state: State) -> bool:
    """Say whether the start has come to its good end."""
    return any("up" in event for event in _events(state))


@contextmanager
def _locked(state: State) -> Iterator[None]:
    state.root.mkdir(parents=True, exist_ok=True)
    with (state.root / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _check_same(running: Settings, wanted: Settings) -> None:
    comparable = replace(wanted, network=running.network, ports=running.ports)
    have, want = asdict(running), asdict(comparable)
    differing = [f"{key} is {have[key]}, asked for {want[key]}" for key in have if have[key] != want[key]]
    if differing:
        raise LabError(f"a lab is up, but another one: {'; '.join(differing)}. Take it down first, or use another LLM_LAB_DIR")


def _modules(settings: Settings) -> list[str]:
    return ["cp", *(["containerd", "coredns"] if settings.node else []), *(["kwok"] if settings.kwok else []), "helm"]


def _free_ports() -> Ports:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(len(asdict(Ports())))]
        for taken in sockets:
            taken.bind(("127.0.0.1", 0))
        return Ports(*(taken.getsockname()[1] for taken in sockets))


def _launch(state: State, settings: Settings) -> Process:
    for folder in (state.logs, state.stopped, state.running):
        folder.mkdir(parents=True)
    pki.prepare(state, settings)
    configs.write_all(state, settings, configs.runc_path(host.search_path()) if settings.node else "")
    hierarchies: tuple[cgroups.Hierarchy, ...] = ()
    if settings.node:
        hierarchies = cgroups.discover(state.name)
        _prepare_host(state, hierarchies)
    write(state.settings, settings.dump())
    command = isolate.launch_command(state, settings, hierarchies)
    with (state.logs / "supervisor.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env={**os.environ, "PATH": host.search_path(), MARKER: str(state.root)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    outer = Process.of(process.pid)
    write(state.process, json.dumps(asdict(outer)))
    process.returncode = 0  # it outlives us on purpose: nobody is to wait for it
    return outer


def _prepare_host(state: State, hierarchies: tuple[cgroups.Hierarchy, ...]) -> None:
    """Make what has to be there before the namespaces; each thing is written down before it is made."""
    enable = cgroups.controllers_to_enable(hierarchies)
    folders = [str(folder) for folder in isolate.HIDDEN if not folder.exists()]
    left = {
        "groups": [str(hierarchy.group) for hierarchy in hierarchies],
        "enabled": enable,
        "root": str(hierarchies[0].mountpoint),
        "folders": folders,
    }
    write(state.leftovers, json.dumps(left))
    write(state.config / "cgroups.json", cgroups.dump(hierarchies))
    cgroups.create(hierarchies, enable)
    for folder in isolate.HIDDEN:
        folder.mkdir(parents=True, exist_ok=True)
    state.disk.mkdir(exist_ok=True)


def _follow(state: State, outer: Process, start: float) -> None:
    """Print each step of the start as it happens."""
    seen = 0

    def came_up() -> bool:
        nonlocal seen
        alive = outer.alive
        events = _events(state)
        for event in events[seen:]:
            if "step" in event:
                _say(start, str(event["step"]))
            if "failed" in event:
                raise LabError(f"{event['failed']}\n{_tail(state, str(event['component']))}")
        seen = len(events)
        if not alive:
            raise LabError(f"the lab ended while starting\n{_tail(state, 'supervisor')}")
        return any("up" in event for event in events)

    until(came_up, timeout_s=_UP_TIMEOUT_S, what="the lab to come up", interval_s=0.02)


def _say(start: float, what: str) -> None:
    say(f"{time.monotonic() - start:6.2f} s  {what}")


def _events(state: State) -> list[dict[str, object]]:
    try:
        lines = state.events.read_text().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def _tail(state: State, component: str) -> str:
    log = state.logs / f"{component}.log"
    lines = log.read_text(errors="replace").splitlines()[-_LOG_TAIL:] if log.exists() else []
    return "\n".join([f"--- the end of {log}", *lines])


def _clean(state: State) -> list[str]:
    """Remove what is there; every part of it works alone, whatever an interrupted start or end left."""
    removed = []
    outer = outer_process(state)
    if outer is not None and outer.alive:
        outer.kill()
        removed.append("processes")
    for process in marked(state):
        process.kill()
        removed.append(f"process {process.pid}")
    if state.leftovers.exists():
        left = json.loads(state.leftovers.read_text())
        cgroups.remove([Path(group) for group in left["groups"]])
        cgroups.restore(Path(left["root"]), left["enabled"])
        for folder in reversed(left["folders"]):
            with suppress(OSError):
                Path(folder).rmdir()
        removed.append("control groups")
    _remove_files(state)
    return removed


def _remove_files(state: State) -> None:
    if state.logs.exists():
        last = state.root / "log.last"
        shutil.rmtree(last, ignore_errors=True)
        state.logs.rename(last)
    for folder in (state.disk, state.stopped, state.running, state.config, state.root / "run"):
        if folder.exists():
            shutil.rmtree(folder)
    for file in (state.process, state.events, state.settings, state.leftovers, state.s3_credentials):
        file.unlink(missing_ok=True)
