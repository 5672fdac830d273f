import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.lab import isolate
from tests.lab.cgroups import Hierarchy
from tests.lab.host import HostError
from tests.lab.state import Settings, State

STATE = State(Path("/state"))
SUPERVISOR = [sys.executable, "-m", "tests.lab", "supervise", "/state"]
V1 = Hierarchy("cgroup", Path("/cg/memory"), "memory", Path("/cg/memory/lab"))
V2 = Hierarchy("cgroup2", Path("/cg"), "", Path("/cg/lab"), unified=True)


def test_without_namespaces_the_supervisor_is_an_ordinary_process() -> None:
    assert isolate.launch_command(STATE, Settings(mode="control-plane", network="loopback"), ()) == SUPERVISOR


def test_an_ordinary_user_gets_the_network_through_a_user_namespace() -> None:
    command = isolate.launch_command(STATE, Settings(mode="control-plane", network="userns"), ())
    assert command[0] == "unshare"
    assert {"--net", "--pid", "--fork", "--kill-child", "--user", "--map-root-user"} <= set(command)
    assert command[-len(SUPERVISOR) :] == SUPERVISOR


def test_the_group_is_joined_before_the_cgroup_namespace_is_made() -> None:
    command = isolate.launch_command(STATE, Settings(), (V1,))
    script = command[2]
    assert script.index("/cg/memory/lab/cgroup.procs") < script.index("unshare --cgroup")
    assert "init" not in " ".join(command[3:8])
    assert command[-len(SUPERVISOR) :] == SUPERVISOR


def test_on_version_2_the_processes_step_down_into_a_leaf_inside_the_namespace() -> None:
    command = isolate.launch_command(STATE, Settings(), (V2,))
    inner = command[command.index("join") + 1 :]
    assert inner[:2] == ["sh", "-ec"]
    assert inner[2].startswith("echo $$ > /cg/lab/init/cgroup.procs; exec")


def test_the_scripts_of_the_launch_are_shell() -> None:
    for hierarchy in (V1, V2):
        command = isolate.launch_command(STATE, Settings(), (hierarchy,))
        for script in (command[2], command[command.index("join") + 3]):
            subprocess.run(["sh", "-nc", script], check=True)


def test_commands_enter_the_network_and_see_the_clusters_names() -> None:
    command = isolate.enter_command(7, Settings(), Path("/state/resolv.conf"))
    assert command[:3] == ["nsenter", "--target=7", "--net"]
    assert "mount --bind /state/resolv.conf /etc/resolv.conf" in command[-2]


def test_an_ordinary_users_commands_enter_the_user_namespace_too() -> None:
    command = isolate.enter_command(7, Settings(mode="control-plane", network="userns"), None)
    assert command == ["nsenter", "--target=7", "--net", "--user", "--preserve-credentials"]


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Have a host that allows no namespace, and return what was tried."""
    tried: list[list[str]] = []

    def run(command: Sequence[str], **_: object) -> "subprocess.CompletedProcess[str]":
        tried.append(list(command))
        return subprocess.CompletedProcess(command, 1)

    monkeypatch.setattr(subprocess, "run", run)
    return tried


def test_a_control_plane_falls_back_to_loopback_after_both_kinds_of_namespace(refused: list[list[str]]) -> None:
    assert isolate.choose_network("control-plane") == "loopback"
    assert ["--user" in command for command in refused] == [False, True]


@pytest.mark.usefixtures("refused")
def test_a_node_without_namespaces_is_refused_in_words() -> None:
    with pytest.raises(HostError, match="run it privileged"):
        isolate.choose_network("full")


def test_a_state_folder_that_the_lab_would_hide_from_itself_is_refused() -> None:
    isolate.check_places(Path("/work"), Path("/var/lib/other"))
    with pytest.raises(HostError, match="/run/user/0/lab lies below /run"):
        isolate.check_places(Path("/work"), Path("/run/user/0/lab"))


def test_on_loopback_there_is_nothing_to_enter() -> None:
    assert isolate.enter_command(7, Settings(mode="control-plane", network="loopback"), None) == []
