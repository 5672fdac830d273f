"""`up` and `down`, as seen from outside the lab."""

import fcntl
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace

from tests.lab import builds, host, isolate
from tests.lab.clean import clean, outer_process
from tests.lab.launch import free_ports, launch
from tests.lab.procs import Process
from tests.lab.say import say
from tests.lab.state import Settings, State
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
        clean(state)
        _prepare_machine(wanted)
        settings = replace(wanted, network=isolate.choose_network(wanted.mode))
        if not settings.has_pod_addresses:
            settings = replace(settings, ports=free_ports())
        try:
            _say_step(start, "programs and packages")
            _follow(state, launch(state, settings), start)
        except BaseException:
            clean(state)
            raise
        _say_step(start, "up")
    return True


def down(state: State) -> list[str]:
    """End the lab and remove every trace of it but logs and keys; return what was there."""
    if not state.root.exists():
        return []
    with _locked(state):
        return clean(state)


def running_settings(state: State) -> Settings | None:
    """Return what the lab was started with, if it lives."""
    outer = outer_process(state)
    return Settings.load(state.settings.read_text()) if outer is not None and outer.alive else None


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
    have, want = asdict(running), asdict(replace(wanted, network=running.network, ports=running.ports))
    differing = [f"{key} is {have[key]}, asked for {want[key]}" for key in have if have[key] != want[key]]
    if differing:
        raise LabError(f"a lab is up, but another one: {'; '.join(differing)}. Take it down first, or use another LLM_LAB_DIR")


def _prepare_machine(settings: Settings) -> None:
    if settings.node:
        host.require_root()
    host.ensure_packages(node=settings.node)
    builds.build(["cp", *(["containerd", "coredns"] if settings.node else []), *(["kwok"] if settings.kwok else []), "helm"])
    if settings.node:
        from tests.lab.images.build import build  # noqa: PLC0415  # needs packages that a lab without a node does without

        build(["pause"])


def _follow(state: State, outer: Process, start: float) -> None:
    """Print each step of the start as it happens."""
    seen = 0

    def came_up() -> bool:
        nonlocal seen
        alive = outer.alive  # asked first: what a dying lab has said last is read below
        events = _events(state)
        for event in events[seen:]:
            if "step" in event:
                _say_step(start, str(event["step"]))
            if "failed" in event:
                raise LabError(f"{event['failed']}\n{_tail(state, str(event['component']))}")
        seen = len(events)
        if not alive:
            raise LabError(f"the lab ended while starting\n{_tail(state, 'supervisor')}")
        return any("up" in event for event in events)

    until(came_up, timeout_s=_UP_TIMEOUT_S, what="the lab to come up", interval_s=0.02)


def _say_step(start: float, what: str) -> None:
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
    return "\n".join([f"--- the end of {log.name}", *lines])
