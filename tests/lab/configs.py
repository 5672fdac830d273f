"""Configuration files of the components."""

import json
import os
from pathlib import Path
from typing import Any

from tests.lab import addresses
from tests.lab.files import write
from tests.lab.host import CNI_BIN
from tests.lab.state import Settings, State

PAUSE_IMAGE = "lab.local/pause:1"
_UNUSED_CONTAINERD_PLUGINS = (
    "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.zfs",
    "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.blockfile",
    "io.containerd.snapshotter.v1.erofs",
    "io.containerd.internal.v1.tracing",
    "io.containerd.tracing.processor.v1.otlp",
    "io.containerd.nri.v1.nri",
)


def run_dir(state: State, settings: Settings) -> Path:
    """Return the folder of sockets and volatile data: short (sockets have 108 bytes), in memory where mounts are ours to make."""
    return Path("/run/llm-lab") if settings.node else state.volatile


def write_all(state: State, settings: Settings, runc: str) -> None:
    """Write every configuration file the lab's components read."""
    run = run_dir(state, settings)
    write(state.config / "audit-policy.yaml", json.dumps(audit_policy()))
    if settings.node:
        write(state.config / "resolv.conf", f"nameserver {addresses.NODE_IP}\n")
        write(state.config / "exec-resolv.conf", exec_resolv_conf())
        write(state.config / "cni" / "10-lab.conflist", json.dumps(cni(run)))
        write(state.config / "containerd.toml", containerd(state, run, runc))
        write(state.config / "kubelet.yaml", json.dumps(kubelet(state, run)))
        write(state.config / "kube-proxy.yaml", json.dumps(kube_proxy(state)))
        write(state.config / "Corefile", corefile(state))


def audit_policy() -> dict[str, Any]:
    """Return a policy that records who did what to which object, once a request; bodies only of what an account under test writes.

    An account of a namespace called bench-system is one: its writes are told apart by whether they changed anything.
    """
    tested = {"userGroups": ["system:serviceaccounts:bench-system"], "verbs": ["create", "update", "patch"]}
    rules = [{"level": "RequestResponse", "omitManagedFields": True, **tested}, {"level": "Metadata"}]
    return {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": rules}


def exec_resolv_conf() -> str:
    """Return what makes service names resolve for commands run inside the lab."""
    return f"nameserver {addresses.NODE_IP}\nsearch default.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n"


def cni(run: Path) -> dict[str, object]:
    """Return a point-to-point network: a veth pair and a host route a pod."""
    ipam = {
        "type": "host-local",
        "dataDir": str(run / "ipam"),
        "ranges": [[{"subnet": addresses.NODE_POD_CIDR}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    plugins = [{"type": "ptp", "ipMasq": False, "ipam": ipam}, {"type": "portmap", "capabilities": {"portMappings": True}}]
    return {"cniVersion": "0.4.0", "name": "lab", "plugins": plugins}


def containerd(state: State, run: Path, runc: str) -> str:
    """Return containerd's configuration."""
    return f"""version = 3
root = "{run}/disk/containerd"
state = "{run}/containerd"
disabled_plugins = {json.dumps(_UNUSED_CONTAINERD_PLUGINS)}

[grpc]
  address = "{run}/containerd.sock"

[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"

[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "{PAUSE_IMAGE}"

[plugins."io.containerd.cri.v1.runtime"]
  disable_apparmor = true
  # Without CAP_SYS_RESOURCE a lower score than our own is refused, and runc dies of it.
  restrict_oom_score_adj = true
  enable_unprivileged_ports = true
  enable_unprivileged_icmp = true

[plugins."io.containerd.cri.v1.runtime".containerd]
  default_runtime_name = "runc"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
  BinaryName = "{runc}"
  SystemdCgroup = false

[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = ["{CNI_BIN}"]
  conf_dir = "{state.config}/cni"
"""


def kubelet(state: State, run: Path) -> dict[str, object]:
    """Return the kubelet's configuration; syncFrequency and the way ConfigMaps arrive stay at their defaults on purpose."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": addresses.NODE_IP,
        "healthzBindAddress": "127.0.0.1",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(state.pki / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(state.pki / "kubelet.crt"),
        "tlsPrivateKeyFile": str(state.pki / "kubelet.key"),
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "failSwapOn": False,
        "containerRuntimeEndpoint": f"unix://{run}/containerd.sock",
        "clusterDomain": "cluster.local",
        "clusterDNS": [addresses.NODE_IP],
        "resolvConf": str(state.config / "resolv.conf"),
        # A developer's full disk is no reason to evict test pods or to delete images that no registry has.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": dict.fromkeys(("memory.available", "nodefs.available", "imagefs.available", "nodefs.inodesFree"), "0%"),
        "nodeStatusUpdateFrequency": "2s",
        "nodeStatusReportFrequency": "10s",
        "kubeAPIQPS": 500,
        "kubeAPIBurst": 1000,
        "registryPullQPS": 0,
        "eventRecordQPS": 0,
        "shutdownGracePeriod": "0s",
        "volumePluginDir": str(run / "volumeplugins"),
    }


def kube_proxy(state: State) -> dict[str, object]:
    """Return kube-proxy's configuration: nftables, and hands off the machine's connection tracking limits."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "bindAddress": addresses.NODE_IP,
        "clusterCIDR": addresses.POD_CIDR,
        "hostnameOverride": addresses.NODE_NAME,
        "clientConnection": {"kubeconfig": str(state.kubeconfig("kube-proxy"))},
        "nodePortAddresses": ["primary"],
        "nftables": {"minSyncPeriod": "1s"},
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }


def corefile(state: State) -> str:
    """Return a DNS that knows the cluster and nothing else; two blocks, as `template` would answer before `kubernetes`."""
    return f"""cluster.local:53 {{
  bind {addresses.NODE_IP}
  errors
  kubernetes cluster.local {{
    kubeconfig {state.kubeconfig("coredns")}
    ttl 1
    pods insecure
  }}
}}
.:53 {{
  bind {addresses.NODE_IP}
  template ANY ANY {{
    rcode NXDOMAIN
  }}
}}
"""


def runc_path(search: str) -> str:
    """Return runc's absolute path, which containerd's shim wants."""
    for folder in search.split(os.pathsep):
        candidate = Path(folder) / "runc"
        if os.access(candidate, os.X_OK):
            return str(candidate)
    raise LookupError("runc is not installed")
