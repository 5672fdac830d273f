"""The lab itself: it comes up, keeps to itself, and leaves nothing behind, however it ends. Needs root; runs outside any lab."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.lab import cgroups, isolate, procs, up
from tests.lab.clean import outer_process
from tests.lab.cluster import Lab
from tests.lab.state import REPOSITORY, State
from tests.lab.wait import until

pytestmark = pytest.mark.timeout(240)

SYSCTLS = ("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "net/ipv4/ip_forward")
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "holder", "namespace": "default"},
    "spec": {
        "containers": [
            {
                "name": "main",
                "image": "lab.local/pause:1",
                "imagePullPolicy": "IfNotPresent",
                "resources": {"limits": {"nvidia.com/gpu": "1"}},
                "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
            }
        ],
        "volumes": [{"name": "scratch", "emptyDir": {"medium": "Memory"}}],
    },
}


@dataclass(frozen=True)
class Traces:
    """What of the machine a lab touches, or must not."""

    sysctls: dict[str, str]
    folders: list[str]
    processes: list[str]
    mounts: list[str]
    groups: list[str]
    addresses: list[str]

    @classmethod
    def of(cls, state: State) -> "Traces":
        """Look everywhere a lab could have left something."""
        processes, mounts = [], []
        for pid in procs.all_pids():
            try:
                mounted = (procs.PROC / str(pid) / "mountinfo").read_text()
                groups = (procs.PROC / str(pid) / "cgroup").read_text()
            except OSError:
                continue
            mounts += [line for line in mounted.splitlines() if str(state.root) in line]
            processes += [f"{pid} in {state.name}"] if state.name in groups else []
        processes += [f"{process.pid} marked" for process in procs.marked(state)]
        return cls(
            sysctls={name: (Path("/proc/sys") / name).read_text() for name in SYSCTLS},
            folders=[str(folder) for folder in isolate.HIDDEN if folder.exists()],
            processes=processes,
            mounts=mounts,
            groups=[str(entry.group) for entry in cgroups.discover(state.name) if entry.group.exists()],
            addresses=[line for line in output("ip", "-oneline", "address").splitlines() if "198.18." in line or "198.19." in line],
        )


def output(*argv: str) -> str:
    """Return what a command prints."""
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


@dataclass(frozen=True)
class Subject:
    """A lab of a test's own, driven as a user drives it."""

    state: State

    @property
    def lab(self) -> Lab:
        """Return it as tests see it."""
        return Lab(self.state)

    @property
    def environment(self) -> dict[str, str]:
        """Return an environment that names it."""
        return {**os.environ, "LLM_LAB_DIR": str(self.state.root)}

    def popen(self, *args: str) -> "subprocess.Popen[str]":
        """Start a command of the lab."""
        command = [sys.executable, "-m", "tests.lab", *args]
        return subprocess.Popen(command, cwd=REPOSITORY, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def run(self, *args: str, expect: int = 0) -> str:
        """Run a command of the lab and return what it said."""
        process = self.popen(*args)
        said, _ = process.communicate(timeout=120)
        assert process.returncode == expect, said
        return said

    def up_until(self, step: str) -> "subprocess.Popen[str]":
        """Start `up` and return when it has said a step."""
        process = self.popen("up", "--kwok-nodes", "1")
        assert process.stdout is not None
        assert any(step in line for line in process.stdout), f"up never said {step!r}"
        return process

    def hold_a_pod(self) -> None:
        """Have a pod with a mount, a veth pair and a control group run."""
        self.lab.kubectl("apply", "-f", "-", stdin=json.dumps(POD))
        self.lab.kubectl("wait", "--for=condition=Ready", "pod/holder", "--timeout=60s")

    def node(self) -> dict[str, Any]:
        """Return the real node."""
        found: dict[str, Any] = json.loads(self.lab.kubectl("get", "node", "node1", "-o", "json"))
        return found


@pytest.fixture
def subject(tmp_path: Path) -> Iterator[Subject]:
    assert os.geteuid() == 0, "a real node needs root"
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
    until(lambda: not procs.marked(subject.state), timeout_s=20, what="the end of every process")
    assert "interrupted" in subject.run("status", expect=3)


def test_a_command_that_still_runs_inside_ends_with_the_lab(subject: Subject) -> None:
    subject.run("up", "--mode", "control-plane")
    process = subject.popen("exec", "--", "sleep", "600")
    until(lambda: len(procs.marked(subject.state)) > len(subject.lab.components), timeout_s=10, what="the command inside")
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


def test_s3_answers_commands_and_hands_out_its_keys(subject: Subject) -> None:
    subject.run("up", "--s3")
    keys = dict(line.split("=", 1) for line in subject.state.s3_credentials.read_text().splitlines())
    assert subject.lab.exec(["curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}", keys["AWS_ENDPOINT_URL"]]) == "403"
    put = "from tests.lab.s3 import S3Client; c = S3Client('http://198.18.0.1:8333'); c.create_bucket('models'); c.put('models', 'a', b'x')"
    subject.lab.exec([sys.executable, "-c", put])
