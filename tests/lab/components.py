"""The argv of every component: pure functions of settings and paths."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.lab import addresses
from tests.lab.configs import run_dir
from tests.lab.state import Settings, State

Locate = Callable[[str], Path]

OWN_STAGES = Path(__file__).with_name("kwok-stages.yaml")
"""What simulated pods do beyond KWOK's own stages."""


@dataclass(frozen=True)
class Extra:
    """A component that is no part of Kubernetes."""

    name: str
    command: list[str]
    prepare: Callable[[], None]  # runs inside the lab before the start
    ready: Callable[[], bool]


def commands(state: State, settings: Settings, binary: Locate) -> dict[str, list[str]]:
    """Return what to run, in the order of the start; `binary` says where a program is."""
    k8s = str(binary("k8s"))
    run = run_dir(state, settings)
    found = {
        "etcd": [k8s, *_etcd(settings, run)],
        "kube-apiserver": [k8s, *_apiserver(state, settings)],
        "kube-controller-manager": [k8s, *_controller_manager(state, settings, run)],
        "kube-scheduler": [k8s, *_scheduler(state, settings)],
    }
    if settings.node:
        found |= {
            "containerd": [str(binary("containerd")), "--config", str(state.config / "containerd.toml")],
            "kubelet": [k8s, *_kubelet(state, run)],
            "kube-proxy": [k8s, "kube-proxy", f"--config={state.config}/kube-proxy.yaml", "--v=1"],
            "coredns": [str(binary("coredns")), "-conf", str(state.config / "Corefile")],
        }
    if settings.kwok:
        found["kwok"] = [str(binary("kwok")), *_kwok(state, settings, binary("kwok").with_name("stages.yaml"))]
    return found


def _etcd(settings: Settings, run: Path) -> list[str]:
    client = f"http://127.0.0.1:{settings.ports.etcd}"
    return [
        "etcd",
        f"--data-dir={run}/etcd",
        "--unsafe-no-fsync",  # a lab has nothing to lose in a power cut
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls=http://127.0.0.1:{settings.ports.etcd_peer}",
        "--log-level=warn",
    ]


def _apiserver(state: State, settings: Settings) -> list[str]:
    pki = state.pki
    alone = settings.network == "loopback"
    return [
        "kube-apiserver",
        f"--etcd-servers=http://127.0.0.1:{settings.ports.etcd}",
        f"--bind-address={'127.0.0.1' if alone else '0.0.0.0'}",
        f"--secure-port={settings.ports.apiserver}",
        f"--advertise-address={addresses.NODE_IP}",
        *(["--endpoint-reconciler-type=none"] if alone else []),
        f"--service-cluster-ip-range={addresses.SERVICE_CIDR}",
        f"--tls-cert-file={pki}/apiserver.crt",
        f"--tls-private-key-file={pki}/apiserver.key",
        f"--client-ca-file={pki}/ca.crt",
        f"--token-auth-file={pki}/tokens.csv",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={pki}/sa.pub",
        f"--service-account-signing-key-file={pki}/sa.key",
        f"--kubelet-client-certificate={pki}/apiserver-kubelet.crt",
        f"--kubelet-client-key={pki}/apiserver-kubelet.key",
        f"--kubelet-certificate-authority={pki}/ca.crt",
        "--kubelet-preferred-address-types=InternalIP",
        f"--requestheader-client-ca-file={pki}/ca.crt",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-username-headers=X-Remote-User",
        f"--proxy-client-cert-file={pki}/front-proxy.crt",
        f"--proxy-client-key-file={pki}/front-proxy.key",
        f"--audit-policy-file={state.config}/audit-policy.yaml",
        f"--audit-log-path={state.audit_log}",
        "--audit-log-maxsize=4096",  # MiB: a test that reads the log must not lose its beginning to rotation
        "--allow-privileged=true",
        "--profiling=false",
        "--event-ttl=30m",
        "--shutdown-delay-duration=0s",
        "--v=1",
    ]


def _controller_manager(state: State, settings: Settings, run: Path) -> list[str]:
    return [
        "kube-controller-manager",
        f"--kubeconfig={state.kubeconfig('kube-controller-manager')}",
        "--bind-address=127.0.0.1",
        f"--secure-port={settings.ports.controller_manager}",
        "--leader-elect=false",
        "--use-service-account-credentials=true",
        f"--service-account-private-key-file={state.pki}/sa.key",
        f"--root-ca-file={state.pki}/ca.crt",
        "--kube-api-qps=1000",  # the default of 20/s costs five seconds at the start
        "--kube-api-burst=2000",
        f"--flex-volume-plugin-dir={run}/volumeplugins",
        "--node-monitor-period=2s",
        # Tests take the kubelet or the API server away, and a slow machine takes long to bring them back. No node may count as lost
        # meanwhile: its pods would take no requests, and those that a test only pretends to run would never be ready again.
        "--node-monitor-grace-period=120s",
        "--v=1",
    ]


def _scheduler(state: State, settings: Settings) -> list[str]:
    return [
        "kube-scheduler",
        f"--kubeconfig={state.kubeconfig('kube-scheduler')}",
        "--bind-address=127.0.0.1",
        f"--secure-port={settings.ports.scheduler}",
        "--leader-elect=false",
        "--kube-api-qps=1000",
        "--kube-api-burst=2000",
        "--v=1",
    ]


def _kubelet(state: State, run: Path) -> list[str]:
    return [
        "kubelet",
        f"--config={state.config}/kubelet.yaml",
        f"--kubeconfig={state.kubeconfig('kubelet')}",
        f"--hostname-override={addresses.NODE_NAME}",
        f"--node-ip={addresses.NODE_IP}",
        f"--root-dir={run}/disk/kubelet",
        f"--cert-dir={run}/kubelet-pki",
        "--v=2",
    ]


def _kwok(state: State, settings: Settings, stages: Path) -> list[str]:
    return [
        f"--kubeconfig={state.kubeconfig('kwok')}",
        f"--config={stages}",
        f"--config={OWN_STAGES}",
        "--manage-all-nodes=false",
        "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake",
        f"--cidr={addresses.KWOK_POD_CIDR}",
        f"--node-ip={addresses.NODE_IP}",
        "--node-lease-duration-seconds=40",
        f"--server-address=127.0.0.1:{settings.ports.kwok}",
    ]
