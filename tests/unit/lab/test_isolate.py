import subprocess
import sys
from pathlib import Path

from tests.lab import isolate
from tests.lab.cgroups import Hierarchy
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


def test_on_loopback_there_is_nothing_to_enter() -> None:
    assert isolate.enter_command(7, Settings(mode="control-plane", network="loopback"), None) == []
