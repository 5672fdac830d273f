"""The lab's own control groups: made before the start, its whole world inside, removed after.

cgroup v1 and hybrid hosts are what this is used on daily; the unified (v2) path is written from the kernel's documentation and tested
on a made-up tree only.
"""

import json
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from tests.lab.host import HostError
from tests.lab.wait import until

# What the kubelet insists on; the rest is used where it exists.
_NEEDED = ("cpu", "cpuset", "memory", "pids")
_USED = (*_NEEDED, "io", "hugetlb")
INIT_LEAF = "init"


@dataclass(frozen=True)
class Hierarchy:
    """One mounted cgroup tree and the lab's directory in it."""

    filesystem: str  # cgroup or cgroup2
    mountpoint: Path
    controllers: str  # v1's mount option, empty for v2
    group: Path
    unified: bool = False  # v2 without v1 beside it: it has the controllers

    @property
    def join(self) -> Path:
        """Return the file that takes a process in."""
        return self.group / "cgroup.procs"


@dataclass(frozen=True)
class _Mount:
    filesystem: str
    root: str  # which part of the tree is shown
    point: Path
    options: frozenset[str]

    def place(self, path: str) -> Path:
        """Return where a group of the tree is seen; the mount's own root for one that lies outside it."""
        inside = PurePosixPath(path)
        if ".." in inside.parts or not inside.is_relative_to(self.root):
            return self.point
        return self.point / inside.relative_to(self.root)


def discover(name: str, proc: Path = Path("/proc")) -> tuple[Hierarchy, ...]:
    """Return every cgroup tree this process lives in, with the lab's place in it."""
    own = _own_groups((proc / "self" / "cgroup").read_text())
    mounts = _mounts((proc / "self" / "mountinfo").read_text())
    unified = all(mount.filesystem == "cgroup2" for mount in mounts)
    found: dict[str, Hierarchy] = {}
    for mount in mounts:
        if mount.filesystem == "cgroup2":
            # With v2's controllers a group that has processes cannot have children that use them, so ours hangs off the root.
            parent = mount.point if unified else mount.place(own.get("", "/"))
            found.setdefault("", Hierarchy("cgroup2", mount.point, "", parent / name, unified))
            continue
        for controllers, path in own.items():
            if controllers and mount.options.issuperset(controllers.split(",")):
                found.setdefault(controllers, Hierarchy("cgroup", mount.point, controllers, mount.place(path) / name))
    if not found:
        raise HostError("no control groups are mounted on this machine; the lab's kubelet needs them")
    return tuple(found.values())


def _own_groups(text: str) -> dict[str, str]:
    return {controllers: path for _, controllers, path in (line.split(":", 2) for line in text.splitlines())}


def _mounts(text: str) -> list[_Mount]:
    found = []
    for line in text.splitlines():
        left, right = line.split(" - ", 1)
        filesystem, _, options = right.split()[:3]
        if filesystem in {"cgroup", "cgroup2"}:
            root, point = left.split()[3:5]
            found.append(_Mount(filesystem, root, Path(point), frozenset(options.split(","))))
    return found


def dump(hierarchies: tuple[Hierarchy, ...]) -> str:
    """Return the hierarchies as JSON, for the process inside, whose own view no longer shows them."""
    return json.dumps([{**asdict(h), "mountpoint": str(h.mountpoint), "group": str(h.group)} for h in hierarchies])


def load(text: str) -> tuple[Hierarchy, ...]:
    """Return what `dump` wrote."""
    return tuple(
        Hierarchy(**{**entry, "mountpoint": Path(entry["mountpoint"]), "group": Path(entry["group"])}) for entry in json.loads(text)
    )


def controllers_to_enable(hierarchies: tuple[Hierarchy, ...]) -> list[str]:
    """Return the controllers the root has to hand down for the lab to have them; only a unified host needs that."""
    for hierarchy in hierarchies:
        if hierarchy.unified:
            there = (hierarchy.mountpoint / "cgroup.controllers").read_text().split()
            on = (hierarchy.mountpoint / "cgroup.subtree_control").read_text().split()
            lacking = [name for name in _NEEDED if name not in there]
            if lacking:
                raise HostError(f"the kernel or the container this runs in offers no cgroup controller {', '.join(lacking)}")
            return [name for name in _USED if name in there and name not in on]
    return []


def create(hierarchies: tuple[Hierarchy, ...], enable: list[str]) -> None:
    """Make the lab's groups."""
    for hierarchy in hierarchies:
        if hierarchy.unified and enable:
            _write_control(hierarchy.mountpoint, "+", enable)
        hierarchy.group.mkdir(parents=True, exist_ok=True)
        if hierarchy.unified:
            (hierarchy.group / INIT_LEAF).mkdir(exist_ok=True)
        if "cpuset" in hierarchy.controllers.split(","):
            for file in ("cpuset.cpus", "cpuset.mems"):
                (hierarchy.group / file).write_text((hierarchy.group.parent / file).read_text())


def _write_control(group: Path, sign: str, controllers: list[str]) -> None:
    try:
        (group / "cgroup.subtree_control").write_text(" ".join(sign + name for name in controllers))
    except OSError as error:
        raise HostError(
            f"{group}/cgroup.subtree_control refuses {' '.join(controllers)} ({error.strerror}): in a container, move its processes to a "
            "child group first, as systemd or kind's entry point does"
        ) from error


def enable_inside(root: Path) -> None:
    """Hand the lab's controllers down to its pods; called where the lab's group is the root of the world and holds no process."""
    there = (root / "cgroup.controllers").read_text().split()
    _write_control(root, "+", [name for name in _USED if name in there])


def remove(groups: list[Path], kill: Callable[[int, int], None] = os.kill) -> None:
    """End whatever lives in the groups and remove them."""
    for group in groups:
        if group.exists():
            until(lambda group=group: _empty(group, kill), timeout_s=10, what=f"{group} removed")  # type: ignore[misc]  # mypy cannot infer a lambda's default


def _empty(group: Path, kill: Callable[[int, int], None]) -> bool:
    folders = [Path(folder) for folder, _, _ in os.walk(group, topdown=False)]
    for folder in folders:
        for pid in _processes(folder):
            try:
                kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        try:
            folder.rmdir()
        except OSError:
            continue
    return not group.exists()


def _processes(folder: Path) -> list[int]:
    try:
        pids = [int(pid) for pid in (folder / "cgroup.procs").read_text().split()]
    except OSError:
        return []
    return [pid for pid in pids if pid > 0]  # 0 stands for a process of a namespace above


def take_back(root: Path, controllers: list[str]) -> None:
    """Stop the root from handing down controllers that only labs wanted; the kernel refuses if somebody else uses them by now."""
    if root.exists():
        with suppress(HostError):
            _write_control(root, "-", controllers)
