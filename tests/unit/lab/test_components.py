from pathlib import Path

import pytest

from tests.lab.components import commands
from tests.lab.state import Network, Ports, Settings, State

STATE = State(Path("/state"))
PLANE = {"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"}


def argv(settings: Settings) -> dict[str, list[str]]:
    return commands(STATE, settings, lambda name: Path("/bin") / name)


def test_a_full_lab_has_a_node_and_no_simulated_one() -> None:
    assert set(argv(Settings())) == PLANE | {"containerd", "kubelet", "kube-proxy", "coredns"}


def test_a_control_plane_simulates_its_nodes() -> None:
    assert set(argv(Settings(mode="control-plane"))) == PLANE | {"kwok"}


def test_every_kubernetes_component_is_the_one_executable_called_by_its_name() -> None:
    found = argv(Settings())
    for name in (*PLANE, "kubelet", "kube-proxy"):
        assert found[name][:2] == ["/bin/k8s", name]


def test_rights_are_checked_and_requests_recorded() -> None:
    apiserver = argv(Settings())["kube-apiserver"]
    assert "--authorization-mode=Node,RBAC" in apiserver
    assert "--audit-log-path=/state/log/audit.log" in apiserver
    assert not any("disable-admission" in word for word in apiserver)


@pytest.mark.parametrize(
    ("network", "address"), [("netns", "0.0.0.0"), ("userns", "0.0.0.0"), ("loopback", "127.0.0.1")]
)  # in a namespace of its own
def test_only_a_network_of_its_own_is_listened_on_whole(network: Network, address: str) -> None:
    assert f"--bind-address={address}" in argv(Settings(mode="control-plane", network=network))["kube-apiserver"]


def test_every_port_is_the_settings() -> None:
    ports = Ports(apiserver=1, etcd=2, etcd_peer=3, controller_manager=4, scheduler=5, kwok=6)
    found = argv(Settings(mode="control-plane", network="loopback", ports=ports))
    assert {"--secure-port=1", "--etcd-servers=http://127.0.0.1:2"} <= set(found["kube-apiserver"])
    assert {"--listen-client-urls=http://127.0.0.1:2", "--listen-peer-urls=http://127.0.0.1:3"} <= set(found["etcd"])
    assert "--secure-port=4" in found["kube-controller-manager"]
    assert "--secure-port=5" in found["kube-scheduler"]
    assert "--server-address=127.0.0.1:6" in found["kwok"]
