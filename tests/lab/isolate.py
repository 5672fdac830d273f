"""The lab's world: how its outermost process is started, and what its first process does before anything else."""

import os
import subprocess
import sys
from pathlib import Path

from tests.lab import addresses, cgroups
from tests.lab.cgroups import Hierarchy
from tests.lab.configs import run_dir
from tests.lab.host import HostError, search_path
from tests.lab.state import Mode, Network, Settings, State

# Written to by programs of a node with no way to tell them another place.
HIDDEN = tuple(Path(path) for path in ("/run", "/var/lib/cni", "/var/lib/kubelet", "/var/log/pods", "/var/log/containers"))

_UNSHARE = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
_AS_ROOT = ("--user", "--map-root-user")

# The kubelet sets these for the whole machine. Inside the lab they already look as it wants them.
_TUNABLES = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}


# A connection to a service that kube-proxy does not know yet is refused at once. Without this it would be tracked as it is, and its
# repeated attempts would stay lost for two minutes although the service is there by then.
_REFUSE = "add table inet lab\n" + "".join(
    f"add chain inet lab {hook} {{ type filter hook {hook} priority 10; }}\n"
    f"add rule inet lab {hook} ip daddr {addresses.SERVICE_CIDR} meta l4proto tcp reject with tcp reset\n"
    f"add rule inet lab {hook} ip daddr {addresses.SERVICE_CIDR} reject\n"
    for hook in ("output", "forward")
)


def choose_network(mode: Mode) -> Network:
    """Return the best isolation this host and user allow."""
    if _works(*_UNSHARE, "ip", "link", "set", "lo", "up"):
        return "netns"
    if mode == "full":
        raise HostError("a real node needs namespaces of its own, and this host refuses them: in a container, run it privileged")
    return "userns" if _works(*_UNSHARE, *_AS_ROOT, "ip", "link", "set", "lo", "up") else "loopback"


def _works(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False, env={"PATH": search_path()}).returncode == 0


def check_places(*folders: Path) -> None:
    """Refuse folders that the lab's first process could not see, because it mounts something over them."""
    for folder in folders:
        for hidden in HIDDEN:
            if folder.is_relative_to(hidden):
                raise HostError(
                    f"{folder} lies below {hidden}, which the lab replaces by its own: set LLM_LAB_DIR or LLM_CACHE_DIR elsewhere"
                )


def launch_command(state: State, settings: Settings, hierarchies: tuple[Hierarchy, ...]) -> list[str]:
    """Return the command that becomes the lab: its first process supervises all others and takes them along when it ends."""
    supervisor = [sys.executable, "-m", "tests.lab", "supervise", str(state.root)]
    if settings.network == "loopback":
        return supervisor
    unshare = [*_UNSHARE, *(_AS_ROOT if settings.network == "userns" else ())]
    if not hierarchies:
        return [*unshare, *supervisor]
    # Joining comes first: the group a process is in when it unshares is the root of the new cgroup namespace. On a unified host it then
    # steps down into a leaf, since a group with processes of its own cannot hand controllers to its children.
    join = "".join(f"echo $$ > {hierarchy.join}; " for hierarchy in hierarchies)
    descend = "".join(f"echo $$ > {hierarchy.group}/{cgroups.INIT_LEAF}/cgroup.procs; " for hierarchy in hierarchies if hierarchy.unified)
    second = ["sh", "-ec", f'{descend}exec "$@"', "descend", *unshare, *supervisor]
    return ["sh", "-ec", f'{join}exec unshare --cgroup -- "$@"', "join", *second]


def enter_command(outer_pid: int, settings: Settings, resolv_conf: Path | None) -> list[str]:
    """Return the prefix that runs a command inside the lab's network, with the host's files and the cluster's name service."""
    if settings.network == "loopback":
        return []
    prefix = ["nsenter", f"--target={outer_pid}", "--net"]
    if settings.network == "userns":
        prefix += ["--user", "--preserve-credentials"]
    if resolv_conf is not None:
        bind = f'! [ -e /etc/resolv.conf ] || mount --bind {resolv_conf} /etc/resolv.conf; exec "$@"'
        prefix += ["unshare", "--mount", "sh", "-ec", bind, "resolve"]
    return prefix


def settle(state: State, settings: Settings, hierarchies: tuple[Hierarchy, ...]) -> None:
    """Furnish the fresh namespaces; runs as the first process in them."""
    run = run_dir(state, settings)
    if settings.node:
        _mount_cgroups(hierarchies)
        _mount_run(state, settings, run)
        _mount_tunables()
    run.mkdir(parents=True, exist_ok=True)
    if settings.network != "loopback":
        _configure_network(settings)


def _mount(*args: str) -> None:
    subprocess.run(["mount", *args], check=True, env={"PATH": search_path()})


def _mount_cgroups(hierarchies: tuple[Hierarchy, ...]) -> None:
    """Mount the same trees again, now rooted at the lab's groups."""
    root = Path("/sys/fs/cgroup")
    if hierarchies[0].unified:
        _mount("-t", "cgroup2", "none", str(root))
        cgroups.enable_inside(root)
        return
    _mount("-t", "tmpfs", "-o", "mode=755", "lab-cgroup", str(root))
    for hierarchy in hierarchies:
        hierarchy.mountpoint.mkdir(parents=True, exist_ok=True)
        if hierarchy.filesystem == "cgroup2":
            _mount("-t", "cgroup2", "none", str(hierarchy.mountpoint))
        else:
            named = f"none,{hierarchy.controllers}" if hierarchy.controllers.startswith("name=") else hierarchy.controllers
            _mount("-t", "cgroup", "-o", named, "none", str(hierarchy.mountpoint))


def _mount_run(state: State, settings: Settings, run: Path) -> None:
    for folder in HIDDEN:
        _mount("-t", "tmpfs", "-o", "mode=755", "lab", str(folder))
    Path("/run/netns").mkdir()
    disk = run / "disk"
    disk.mkdir(parents=True)
    if settings.disk:
        _mount("--bind", str(state.disk), str(disk))


def _mount_tunables() -> None:
    for name, value in _TUNABLES.items():
        shown = Path("/run/tunables") / name.replace("/", ".")
        shown.parent.mkdir(exist_ok=True)
        shown.write_text(value + "\n")
        target = Path("/proc/sys") / name
        if target.exists():
            _mount("--bind", str(shown), str(target))


def _configure_network(settings: Settings) -> None:
    ip = ["ip", "-batch", "-"]
    lines = ["link set lo up", f"address add {addresses.NODE_IP}/32 dev lo"]
    if settings.node:
        lines.append(f"route add {addresses.SERVICE_CIDR} dev lo src {addresses.NODE_IP}")
    if settings.kwok:
        lines.append(f"route add local {addresses.KWOK_POD_CIDR} dev lo")  # simulated pods are answered by whoever listens there
    if settings.node:
        subprocess.run(["nft", "-f", "-"], input=_REFUSE, text=True, check=True, env={"PATH": search_path()})
    subprocess.run(ip, input="\n".join(lines) + "\n", text=True, check=True, env={"PATH": search_path()})
    for key in ("ip_forward", "conf/all/route_localnet") if settings.node else ():
        (Path("/proc/sys/net/ipv4") / key).write_text("1\n")


def environment(state: State, path_entries: list[str], marker: str) -> dict[str, str]:
    """Return the environment of the lab's own processes."""
    return {**os.environ, "PATH": os.pathsep.join([*path_entries, search_path()]), marker: str(state.root)}
