"""The lab itself: it comes up, keeps to itself, and leaves nothing behind, however it ends. Needs root; runs outside any lab."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.lab_kit import NOBODY, POD, SIMULATED_POD, Subject, Traces, interpreter_for, looking_pod
from tests.lab import procs, shared, up
from tests.lab.clean import outer_process
from tests.lab.images import build as images
from tests.lab.state import State
from tests.lab.wait import until

pytestmark = pytest.mark.timeout(240)

LOOK_AROUND = """
import pathlib, socket, urllib.request
print(socket.gethostbyname("kubernetes.default"))
print(urllib.request.urlopen("http://198.18.0.1:8333/healthz", timeout=5).status)
print(pathlib.Path("/data/file").read_text())
"""
MEET = """
import socket, sys
with socket.create_server(("", 9090)), socket.create_connection((sys.argv[1], 9090), 5) as client:
    print(client.getpeername()[0])
"""


@pytest.fixture
def subject(tmp_path: Path) -> Iterator[Subject]:
    assert os.geteuid() == 0, "a real node needs root"
    shared.undo_if_last()  # what an interrupted lab has left of its own would go with this one
    subject = Subject(State(tmp_path / "lab"))
    before = Traces.of(subject.state)
    assert before.processes == before.mounts == before.groups == []
    yield subject
    subject.run("down")
    assert Traces.of(subject.state) == before


def test_it_comes_up_once_serves_and_changes_nothing_of_the_machine(subject: Subject) -> None:
    sysctls = Traces.of(subject.state).sysctls
    assert "up" in subject.run("up", "--kwok-nodes", "1").splitlines()[-1]
    assert subject.run("up", "--kwok-nodes", "1") == "already up\n"
    assert "kwok_nodes is 1, asked for 3" in subject.run("up", "--kwok-nodes", "3", expect=1)
    assert "up: full" in subject.run("status")
    subject.hold_a_pod()
    assert Traces.of(subject.state).sysctls == sysctls
    assert subject.node()["status"]["allocatable"]["nvidia.com/gpu"] == "8"
    assert "sim-1" in subject.lab.kubectl("get", "nodes", "-o", "name")
    assert subject.lab.has_pod_addresses


def test_commands_inside_reach_services_by_name_and_nothing_outside(subject: Subject) -> None:
    subject.run("up")
    assert subject.lab.exec(["getent", "hosts", "kubernetes.default.svc"]).split()[0] == "198.19.0.1"
    get = ["curl", "--silent", "--cacert", str(subject.state.pki / "ca.crt"), "https://kubernetes.default.svc/livez"]
    assert subject.lab.exec(get) == "ok"
    assert "default" not in subject.lab.exec(["ip", "route"])
    reach = "import socket; socket.create_connection(('192.0.2.1', 80), 5)"
    refused = subprocess.run(subject.lab.command([sys.executable, "-c", reach]), capture_output=True, text=True, check=False)
    assert "Network is unreachable" in refused.stderr


def test_pods_outside_the_restricted_standard_are_refused_in_test_namespaces(subject: Subject) -> None:
    subject.run("up")
    subject.lab.create_namespace("strict")
    pod = {**POD, "metadata": {"name": "holder", "namespace": "strict"}}
    with pytest.raises(up.LabError, match='violates PodSecurity "restricted:latest"'):
        subject.lab.kubectl("apply", "-f", "-", stdin=json.dumps(pod))


def test_what_was_asked_of_the_api_server_is_in_the_audit_log(subject: Subject) -> None:
    subject.run("up")
    subject.lab.kubectl("create", "configmap", "witness", "--from-literal=key=not-for-the-log")
    events = [event for event in subject.lab.audit_events() if event.get("objectRef", {}).get("name") == "witness"]
    assert [(event["verb"], event["stage"], event["level"]) for event in events] == [("create", "ResponseComplete", "Metadata")]
    assert "not-for-the-log" not in subject.state.audit_log.read_text()


@pytest.mark.parametrize("step", ["programs and packages", "namespaces", "containerd", "API server ready", "node Ready"])
def test_a_start_that_is_killed_half_way_leaves_nothing_after_down(subject: Subject, step: str) -> None:
    process = subject.up_until(step)
    process.kill()
    process.communicate(timeout=20)
    assert "already up" not in subject.run("down")


def test_a_start_cleans_up_after_one_that_was_killed(subject: Subject) -> None:
    process = subject.up_until("containerd")
    process.kill()
    process.communicate(timeout=20)
    subject.run("up")
    assert "up: full" in subject.run("status")


@pytest.mark.parametrize("victim", ["outermost", "supervisor"])
def test_everything_ends_with_the_supervisor_and_down_removes_the_rest(subject: Subject, victim: str) -> None:
    subject.run("up")
    subject.hold_a_pod()
    outer = outer_process(subject.state)
    assert outer is not None
    os.kill(outer.pid if victim == "outermost" else procs.inner_pids(outer)[1], signal.SIGKILL)
    until(lambda: not outer.alive and not procs.marked(subject.state), timeout_s=20, what="the end of every process")
    assert "interrupted" in subject.run("status", expect=3)


def test_a_command_that_still_runs_inside_ends_with_the_lab(subject: Subject) -> None:
    subject.run("up", "--mode", "control-plane")
    process = subject.popen("exec", "--", "sleep", "600")
    until(lambda: "sleep" in [procs.status_field(it.pid, "Name") for it in procs.marked(subject.state)], timeout_s=20, what="the command")
    subject.run("down")
    process.communicate(timeout=20)
    assert process.returncode == -signal.SIGKILL


def test_a_component_that_cannot_start_is_named_with_the_end_of_its_log(subject: Subject) -> None:
    subject.run("up", "--mode", "control-plane")
    subject.run("down")
    (subject.state.pki / "sa.pub").write_text("not a key")
    said = subject.run("up", expect=1)
    assert "kube-apiserver keeps ending right after its start" in said
    assert "sa.pub" in said


def test_a_stopped_component_stays_down_until_it_is_started(subject: Subject) -> None:
    subject.run("up")
    subject.run("stop", "etcd")
    assert "etcd" not in subject.lab.components
    subject.run("start", "etcd")
    until(lambda: "etcd" in subject.lab.components, timeout_s=10, what="etcd")
    until(lambda: is_served(subject), timeout_s=60, what="the API after etcd's return")


def is_served(subject: Subject) -> bool:
    """Say whether the API server reads from etcd."""
    try:
        return bool(subject.node())
    except up.LabError:
        return False


def test_two_labs_with_the_same_addresses_do_not_see_each_other(subject: Subject, tmp_path: Path) -> None:
    other = Subject(State(tmp_path / "other"))
    try:
        subject.run("up")
        other.run("up")
        subject.lab.kubectl("create", "configmap", "mine")
        assert "mine" not in other.lab.kubectl("get", "configmaps", "-o", "name")
        other.hold_a_pod()
        subject.hold_a_pod()
    finally:
        other.run("down")
    assert "up: full" in subject.run("status")


def test_a_restricted_pod_resolves_services_reaches_s3_and_reads_a_volume(subject: Subject, tmp_path: Path) -> None:
    (python,) = images.build(["python"])
    subject.run("up", "--s3")
    subject.run("image", str(python))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file").write_text("from the machine")
    subject.lab.create_namespace("strict")
    subject.lab.kubectl("apply", "-f", "-", stdin=json.dumps(looking_pod(tmp_path / "data", LOOK_AROUND)))
    subject.lab.kubectl("wait", "-n", "strict", "--for=jsonpath={.status.phase}=Succeeded", "pod/looking", "--timeout=30s")
    assert subject.lab.kubectl("logs", "-n", "strict", "looking").split("\n") == ["198.19.0.1", "200", "from the machine", ""]


def test_s3_answers_commands_and_hands_out_its_keys(subject: Subject) -> None:
    subject.run("up", "--s3")
    keys = dict(line.split("=", 1) for line in subject.state.s3_credentials.read_text().splitlines())
    assert subject.lab.exec(["curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}", keys["AWS_ENDPOINT_URL"]]) == "403"
    put = "from tests.lab.s3 import S3Client; c = S3Client('http://198.18.0.1:8333'); c.create_bucket('models'); c.put('models', 'a', b'x')"
    subject.lab.exec([sys.executable, "-c", put])


@pytest.fixture
def ordinary(tmp_path: Path) -> Iterator[Subject]:
    """Return a lab of a user without any right, and check its end."""
    for folder in (tmp_path, *tmp_path.parents[:2]):  # the test runner keeps them to itself
        folder.chmod(0o711)
    root = tmp_path / "lab"
    root.mkdir()
    os.chown(root, 65534, 65534)
    subject = Subject(State(root), NOBODY, interpreter_for(NOBODY), {"HOME": str(root)})
    yield subject
    subject.run("down")
    assert procs.marked(subject.state) == []


def user_namespaces_allowed() -> bool:
    """Say whether the host lets ordinary users have a network of their own."""
    return (
        subprocess.run([*NOBODY, "unshare", "--user", "--map-root-user", "--net", "true"], capture_output=True, check=False).returncode == 0
    )


def test_an_ordinary_user_gets_a_control_plane_whose_pods_have_addresses(ordinary: Subject) -> None:
    if not user_namespaces_allowed():
        pytest.skip("this host allows ordinary users no network namespace")
    ordinary.run("up", "--mode", "control-plane", "--kwok-nodes", "1")
    assert "network userns" in ordinary.run("status")
    ordinary.run("kubectl", "run", "simulated", "--image=none", f"--overrides={json.dumps(SIMULATED_POD)}")
    ordinary.run("kubectl", "wait", "--for=condition=Ready", "pod/simulated", "--timeout=30s")
    address = ordinary.run("kubectl", "get", "pod", "simulated", "-o", "jsonpath={.status.podIP}")
    assert address.startswith("198.18.")
    assert ordinary.run("exec", "--", ordinary.python, "-c", MEET, address) == f"{address}\n"


def test_where_no_namespace_is_allowed_the_control_plane_runs_on_loopback_and_says_so(ordinary: Subject, tmp_path: Path) -> None:
    refusing = tmp_path / "bin" / "unshare"
    refusing.parent.mkdir()
    refusing.write_text("#!/bin/sh\nexit 1\n")
    refusing.chmod(0o755)
    subject = replace(ordinary, extra={**ordinary.extra, "PATH": f"{refusing.parent}:{os.environ['PATH']}"})
    subject.run("up", "--mode", "control-plane")
    assert "pod addresses reachable from inside: no" in subject.run("status")
    assert "default" in subject.run("kubectl", "get", "namespaces", "-o", "name")
    outer = outer_process(subject.state)
    assert outer is not None
    os.kill(outer.pid, signal.SIGKILL)
    until(lambda: not procs.marked(subject.state), timeout_s=20, what="the end of every component")
