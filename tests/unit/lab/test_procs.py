import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import procs
from tests.lab.procs import Process
from tests.lab.state import MARKER, REPOSITORY, State
from tests.lab.wait import until


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path)


@pytest.fixture
def child(state: State) -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(["sleep", "60"], env={**os.environ, MARKER: str(state.root)}) as process:
        # Until it has become sleep, the copy of this process has this process' environment.
        until(lambda: procs.marked(state), timeout_s=10, what="the child's mark")
        yield process
        process.kill()


def test_a_process_is_found_by_its_mark_and_by_no_other(state: State, child: "subprocess.Popen[bytes]", tmp_path: Path) -> None:
    assert [process.pid for process in procs.marked(state)] == [child.pid]
    assert procs.marked(State(tmp_path / "other")) == []


def test_killing_waits_until_the_process_is_gone(child: "subprocess.Popen[bytes]") -> None:
    process = Process.of(child.pid)
    assert process.alive
    process.kill()
    assert not process.alive  # a zombie until we collect it, and that counts as gone
    assert child.wait() == -9
    process.kill()  # once more is no error


def test_a_later_process_of_the_same_number_is_not_mistaken_for_it(child: "subprocess.Popen[bytes]") -> None:
    now = Process.of(child.pid)
    assert not Process(now.pid, now.started - 1).alive


def test_who_asks_is_never_found_nor_are_its_ancestors(state: State) -> None:
    script = "from tests.lab import procs; from tests.lab.state import State; import sys; print(procs.marked(State(sys.argv[1])))"
    command = ["sh", "-c", '"$@"; true', "sh", sys.executable, "-c", script, str(state.root)]
    done = subprocess.run(command, env={**os.environ, MARKER: str(state.root)}, capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert done.stdout == "[]\n"


def test_a_processs_facts_are_read_from_its_status() -> None:
    assert procs.memory_mib(os.getpid()) > 5
    assert procs.parent(os.getpid()) == os.getppid()
    with pytest.raises(OSError, match="has no Favourite"):
        procs.status_field(os.getpid(), "Favourite")
