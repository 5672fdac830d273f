import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab.procs import Process
from tests.lab.state import State
from tests.lab.supervisor import ComponentError, Supervisor
from tests.lab.wait import until

Make = Callable[[dict[str, list[str]]], Supervisor]


@pytest.fixture
def state(tmp_path: Path) -> State:
    state = State(tmp_path)
    for folder in (state.logs, state.running, state.stopped):
        folder.mkdir()
    return state


@pytest.fixture
def supervise(state: State) -> Iterator[Make]:
    made: list[Supervisor] = []

    def make(commands: dict[str, list[str]]) -> Supervisor:
        made.append(Supervisor(state, commands, dict(os.environ), alone=True))
        return made[-1]

    yield make
    for supervisor in made:
        supervisor.end_all()


def pid(state: State, name: str) -> int:
    return int((state.running / name).read_text().split('"pid": ')[1].split(",")[0])


def test_a_component_that_ends_is_started_again_and_counted(state: State, supervise: Make) -> None:
    supervisor = supervise({"sleeper": ["sleep", "60"]})
    supervisor.start("sleeper")
    first = pid(state, "sleeper")
    os.kill(first, 9)
    supervisor.until(lambda: pid(state, "sleeper") != first, timeout_s=10, what="another sleeper")
    assert '"restarts": 1' in (state.running / "sleeper").read_text()


def test_a_component_that_is_held_down_stays_down_until_it_is_released(state: State, supervise: Make) -> None:
    supervisor = supervise({"sleeper": ["sleep", "60"]})
    supervisor.start("sleeper")
    (state.stopped / "sleeper").touch()
    supervisor.until(lambda: not (state.running / "sleeper").exists(), timeout_s=10, what="its end")
    (state.stopped / "sleeper").unlink()
    supervisor.until((state.running / "sleeper").exists, timeout_s=10, what="its return")


def test_a_component_that_ends_again_and_again_during_the_start_is_named(state: State, supervise: Make) -> None:
    supervisor = supervise({"broken": ["sh", "-c", "echo I cannot; exit 7"]})
    supervisor.start("broken")
    with pytest.raises(ComponentError, match="broken keeps ending right after its start, last with exit code 7") as raised:
        supervisor.until(lambda: False, timeout_s=30, what="nothing")
    assert raised.value.component == "broken"
    assert "I cannot" in (state.logs / "broken.log").read_text()


def test_orphans_that_are_inherited_are_collected(supervise: Make) -> None:
    supervisor = supervise({"sleeper": ["sleep", "60"]})
    supervisor.start("sleeper")
    orphan = Process.of(os.posix_spawnp("true", ["true"], os.environ))
    supervisor.until(lambda: not Path(f"/proc/{orphan.pid}").exists(), timeout_s=10, what="the orphan collected")


def test_without_a_pid_namespace_components_die_with_their_supervisor(state: State) -> None:
    script = (
        "import os, sys; from pathlib import Path; from tests.lab.state import State; from tests.lab.supervisor import Supervisor\n"
        "state = State(Path(sys.argv[1])); s = Supervisor(state, {'sleeper': ['sleep', '60']}, dict(os.environ), alone=True)\n"
        "s.start('sleeper')\n"
        "s.until(lambda: 'sleep' in Path('/proc', str(s._pids['sleeper']), 'comm').read_text(), timeout_s=9, what='it')\n"
        "os.kill(os.getpid(), 9)"
    )
    supervisor = os.posix_spawn(sys.executable, [sys.executable, "-c", script, str(state.root)], os.environ)
    assert os.waitstatus_to_exitcode(os.waitpid(supervisor, 0)[1]) == -9
    until(lambda: not Path(f"/proc/{pid(state, 'sleeper')}").exists(), timeout_s=10, what="the end of the component")
