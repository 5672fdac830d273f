"""Keeps the components running; in the lab's pid namespace it is process 1, so its end is everybody's end."""

import json
import os
import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import NoReturn, TypeVar

from tests.lab.files import write
from tests.lab.say import say
from tests.lab.state import State
from tests.lab.wait import until

T = TypeVar("T")

_RESPAWN_AFTER_S = 0.5
_QUICK_EXIT_S = 5.0
_QUICK_EXITS = 3


class ComponentError(RuntimeError):
    """A component does not stay up."""

    def __init__(self, component: str, message: str) -> None:
        super().__init__(message)
        self.component = component


class Supervisor:
    """Starts components, starts them again when they end, and holds those down that a test wants down."""

    def __init__(self, state: State, commands: dict[str, list[str]], environment: dict[str, str], *, alone: bool) -> None:
        """Take what to run; `alone` means that no pid namespace ends the components with us."""
        self._state = state
        self._commands = commands
        self._environment = environment
        self._prefix = ["setpriv", "--pdeathsig", "KILL"] if alone else []
        self._pids: dict[str, int] = {}
        self._started: dict[str, float] = {}
        self._starts: dict[str, int] = {}
        self._quick_exits: dict[str, int] = {}
        self._settled = False

    def start(self, *names: str) -> None:
        """Start components, from now on for good."""
        for name in names:
            self._spawn(name)

    def until(self, condition: Callable[[], T], *, timeout_s: float, what: str) -> T:
        """Wait for a condition while looking after the components."""
        return until(condition, timeout_s=timeout_s, what=what, between=self._tick)

    def run_forever(self) -> NoReturn:
        """Look after the components until killed; from now on one that crashes again and again is the test's own business."""
        self._settled = True
        signal.signal(signal.SIGTERM, self._terminate)
        while True:
            until(self._tick, timeout_s=float("inf"), what="nothing", interval_s=0.1)

    def end_all(self) -> None:
        """Kill every component."""
        for pid in self._pids.values():
            os.kill(pid, signal.SIGKILL)

    def _terminate(self, _number: int, _frame: FrameType | None) -> None:
        self.end_all()
        raise SystemExit(0)

    def _spawn(self, name: str) -> None:
        log = str(self._state.logs / f"{name}.log")
        argv = [*self._prefix, *self._commands[name]]
        self._pids[name] = os.posix_spawnp(
            argv[0],
            argv,
            self._environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )
        self._started[name] = time.monotonic()
        self._starts[name] = self._starts.get(name, 0) + 1
        said = {"pid": self._pids[name], "restarts": self._starts[name] - 1}
        write(self._state.running / name, json.dumps(said))

    def _tick(self) -> bool:
        self._reap()
        for name in list(self._started):
            held = (self._state.stopped / name).exists()
            if name in self._pids:
                if held:
                    os.kill(self._pids[name], signal.SIGKILL)
            elif not held and time.monotonic() - self._started[name] > _RESPAWN_AFTER_S:
                self._spawn(name)
        return False

    def _reap(self) -> None:
        """Collect ended children: components, and orphans that process 1 inherits."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for name in [name for name, known in self._pids.items() if known == pid]:
                self._ended(name, os.waitstatus_to_exitcode(status))

    def _ended(self, name: str, code: int) -> None:
        del self._pids[name]
        (self._state.running / name).unlink(missing_ok=True)
        say(f"{name} ended with {code}")
        held = (self._state.stopped / name).exists()
        if self._settled or held or time.monotonic() - self._started[name] > _QUICK_EXIT_S:
            return
        self._quick_exits[name] = self._quick_exits.get(name, 0) + 1
        if self._quick_exits[name] > _QUICK_EXITS:
            raise ComponentError(name, f"{name} keeps ending right after its start, last with exit code {code}")
