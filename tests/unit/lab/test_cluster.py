import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.lab.cluster import INSIDE, Lab
from tests.lab.files import write
from tests.lab.procs import Process
from tests.lab.state import Network, Settings, State
from tests.lab.up import LabError, down, running_settings, up


def pretend(root: Path, pid: int, network: Network) -> Lab:
    """Return a lab of which only the files and one process exist."""
    state = State(root)
    write(state.settings, Settings(mode="control-plane", network=network).dump())
    write(state.process, json.dumps(asdict(Process.of(pid))))
    write(state.events, '{"up": true}\n')
    state.running.mkdir()
    state.stopped.mkdir()
    return Lab(state)


@pytest.fixture
def process() -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        yield sleeper
        sleeper.kill()


@pytest.fixture
def lab(tmp_path: Path, process: "subprocess.Popen[bytes]") -> Lab:
    return pretend(tmp_path, process.pid, "loopback")


def test_without_a_lab_the_way_to_one_is_said(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"no lab is up: `python -m tests\.lab up`"):
        _ = Lab(State(tmp_path)).settings


def test_on_loopback_commands_run_as_they_are_with_the_labs_kubeconfig(lab: Lab) -> None:
    assert lab.command(["kubectl", "get", "nodes"]) == ["kubectl", "get", "nodes"]
    assert lab.exec(["sh", "-c", "echo $KUBECONFIG"]) == f"{lab.kubeconfig}\n"


def test_a_command_that_fails_tells_its_own_words(lab: Lab) -> None:
    with pytest.raises(LabError, match="exit 3: it broke"):
        lab.exec(["sh", "-c", "echo it broke >&2; exit 3"])
    assert lab.exec(["sh", "-c", "echo despite; exit 3"], check=False) == "despite\n"


def test_a_test_that_needs_pod_addresses_fails_in_words_on_loopback(lab: Lab) -> None:
    assert not lab.has_pod_addresses
    with pytest.raises(LabError, match="needs addresses of pods"):
        lab.require_pod_addresses()


def test_whoever_is_inside_already_enters_nothing_again(
    tmp_path: Path, process: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = pretend(tmp_path / "lab", process.pid, "netns")
    monkeypatch.delenv(INSIDE, raising=False)
    assert lab.command(["true"])[0] == "nsenter"
    monkeypatch.setenv(INSIDE, str(tmp_path / "lab"))
    assert lab.command(["true"]) == ["true"]
    lab.require_pod_addresses()


def test_a_component_nobody_knows_is_answered_with_those_there_are(lab: Lab) -> None:
    write(lab.state.running / "etcd", json.dumps({"pid": os.getpid(), "restarts": 2}))
    with pytest.raises(LabError, match="no component 'kubelet'; there are etcd"):
        lab.stop("kubelet")
    assert lab.components["etcd"]["restarts"] == 2
    assert lab.components["etcd"]["mib"] > 0


def test_images_need_a_node(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(LabError, match="no node that could hold images"):
        lab.load_image(tmp_path / "image.tar")


def test_the_audit_log_is_read_up_to_its_last_whole_line(lab: Lab) -> None:
    write(lab.state.audit_log, '{"verb": "get"}\n{"verb": "cre')
    assert [event["verb"] for event in lab.audit_events()] == ["get"]


def test_a_lab_that_is_up_is_left_alone_if_it_is_the_one_asked_for(lab: Lab) -> None:
    assert up(lab.state, Settings(mode="control-plane")) is False
    with pytest.raises(LabError, match=r"mode is control-plane, asked for full; .*s3 is False, asked for True"):
        up(lab.state, Settings(s3=True))


def test_down_ends_the_process_and_keeps_only_keys_and_logs(lab: Lab, process: "subprocess.Popen[bytes]") -> None:
    write(lab.state.pki / "complete", "")
    write(lab.state.logs / "etcd.log", "last words")
    assert down(lab.state) == ["the cluster"]
    assert process.wait() == -9
    assert running_settings(lab.state) is None
    assert {path.name for path in lab.state.root.iterdir()} == {"pki", "log.last", "lock"}
    assert down(lab.state) == []
