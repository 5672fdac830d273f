import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab import cgroups
from tests.lab.host import HostError

Tree = Callable[[str, list[str]], Path]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Write a /proc and a /sys/fs/cgroup; mount lines are `TYPE ROOT POINT OPTIONS`."""

    def make(own: str, mounts: list[str]) -> Path:
        lines = ["21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw"]
        for number, mount in enumerate(mounts):
            kind, root, point, options = mount.split()
            (tmp_path / point).mkdir(parents=True, exist_ok=True)
            lines.append(f"{number + 30} 21 0:{number + 26} {root} {tmp_path / point} rw,nosuid shared:9 - {kind} {kind} {options}")
        (tmp_path / "self").mkdir()
        (tmp_path / "self" / "mountinfo").write_text("\n".join(lines) + "\n")
        (tmp_path / "self" / "cgroup").write_text(own)
        return tmp_path

    return make


@pytest.fixture
def unified(tree: Tree) -> Path:
    """Return a host with version 2 alone, where systemd hands down memory and pids."""
    root = tree("0::/user.slice/session-1.scope\n", ["cgroup2 / cgroup rw,nsdelegate"])
    (root / "cgroup" / "cgroup.controllers").write_text("cpuset cpu io memory hugetlb pids rdma misc\n")
    (root / "cgroup" / "cgroup.subtree_control").write_text("memory pids\n")
    return root


def test_on_version_1_the_lab_lives_below_the_caller_in_every_tree(tree: Tree) -> None:
    root = tree(
        "3:name=systemd:/\n2:cpu,cpuacct:/user\n1:memory:/user/one\n",
        ["cgroup / cg/systemd rw,name=systemd", "cgroup / cg/cpu rw,cpu,cpuacct", "cgroup / cg/memory rw,memory"],
    )
    found = cgroups.discover("lab", proc=root)
    assert [(h.controllers, h.group.relative_to(root).as_posix()) for h in found] == [
        ("name=systemd", "cg/systemd/lab"),
        ("cpu,cpuacct", "cg/cpu/user/lab"),
        ("memory", "cg/memory/user/one/lab"),
    ]
    assert not any(h.unified for h in found)


def test_on_a_hybrid_host_the_second_version_is_joined_but_has_no_controllers_to_give(tree: Tree) -> None:
    root = tree("1:memory:/a\n0::/a\n", ["cgroup / cg/memory rw,memory", "cgroup2 / cg/unified rw"])
    found = cgroups.discover("lab", proc=root)
    assert [(h.filesystem, h.unified) for h in found] == [("cgroup", False), ("cgroup2", False)]
    assert found[1].group == root / "cg/unified/a/lab"
    assert cgroups.controllers_to_enable(found) == []


def test_in_a_container_the_part_of_the_tree_that_is_mounted_counts(tree: Tree) -> None:
    root = tree("1:memory:/docker/abc/inner\n", ["cgroup /docker/abc cg/memory rw,memory"])
    assert cgroups.discover("lab", proc=root)[0].group == root / "cg/memory/inner/lab"


@pytest.mark.parametrize("own", ["/../../outside", "/elsewhere"])
def test_a_caller_outside_of_what_is_mounted_gets_the_mounts_root(tree: Tree, own: str) -> None:
    root = tree(f"1:memory:{own}\n", ["cgroup /docker/abc cg/memory rw,memory"])
    assert cgroups.discover("lab", proc=root)[0].group == root / "cg/memory/lab"


def test_a_tree_that_is_mounted_twice_is_joined_once(tree: Tree) -> None:
    root = tree("1:memory:/\n", ["cgroup / cg/memory rw,memory", "cgroup / again rw,memory"])
    assert [h.mountpoint for h in cgroups.discover("lab", proc=root)] == [root / "cg/memory"]


def test_a_machine_without_control_groups_is_refused(tree: Tree) -> None:
    with pytest.raises(HostError, match="no control groups"):
        cgroups.discover("lab", proc=tree("", []))


def test_on_version_2_the_lab_hangs_off_the_root_with_a_leaf_for_its_processes(unified: Path) -> None:
    found = cgroups.discover("lab", proc=unified)
    assert [(h.group, h.unified) for h in found] == [(unified / "cgroup/lab", True)]
    cgroups.create(found, [])
    assert (unified / "cgroup/lab" / cgroups.INIT_LEAF).is_dir()


def test_on_version_2_the_root_is_made_to_hand_down_what_it_does_not_yet(unified: Path) -> None:
    found = cgroups.discover("lab", proc=unified)
    enable = cgroups.controllers_to_enable(found)
    assert enable == ["cpu", "cpuset", "io", "hugetlb"]
    cgroups.create(found, enable)
    control = unified / "cgroup" / "cgroup.subtree_control"
    assert control.read_text() == "+cpu +cpuset +io +hugetlb"
    cgroups.take_back(unified / "cgroup", enable)
    assert control.read_text() == "-cpu -cpuset -io -hugetlb"


def test_on_version_2_a_controller_the_kubelet_needs_and_nobody_offers_is_named(unified: Path) -> None:
    (unified / "cgroup" / "cgroup.controllers").write_text("cpuset io memory\n")
    with pytest.raises(HostError, match="no cgroup controller cpu, pids"):
        cgroups.controllers_to_enable(cgroups.discover("lab", proc=unified))


def test_a_refusal_of_the_kernel_says_where_and_what_to_do(unified: Path) -> None:
    control = unified / "cgroup" / "cgroup.subtree_control"
    control.unlink()
    control.mkdir()  # a write to it fails, as it does where the root has processes
    with pytest.raises(HostError, match="move its processes to a child group first"):
        cgroups.create(cgroups.discover("lab", proc=unified), ["cpu"])
    cgroups.take_back(unified / "cgroup", ["cpu"])  # on the way out a refusal is nobody's problem


def test_inside_everything_available_is_handed_down_to_the_pods(unified: Path) -> None:
    cgroups.enable_inside(unified / "cgroup")
    assert (unified / "cgroup" / "cgroup.subtree_control").read_text() == "+cpu +cpuset +memory +pids +io +hugetlb"


def test_a_cpuset_group_of_version_1_starts_with_its_parents_processors(tree: Tree) -> None:
    root = tree("1:cpuset:/\n", ["cgroup / cg/cpuset rw,cpuset"])
    for file in ("cpuset.cpus", "cpuset.mems"):
        (root / "cg/cpuset" / file).write_text("0-1\n")
    cgroups.create(cgroups.discover("lab", proc=root), [])
    assert (root / "cg/cpuset/lab/cpuset.cpus").read_text() == "0-1\n"


def test_hierarchies_survive_being_written_down(unified: Path) -> None:
    found = cgroups.discover("lab", proc=unified)
    assert cgroups.load(cgroups.dump(found)) == found


def test_removal_ends_what_lives_in_nested_groups_and_removes_them_from_the_leaves_up(tmp_path: Path) -> None:
    leaf = tmp_path / "lab" / "kubepods" / "pod1"
    leaf.mkdir(parents=True)
    (leaf / "cgroup.procs").write_text("0\n4711\n")
    killed: list[int] = []

    def kill(pid: int, _signal: int) -> None:
        killed.append(pid)
        os.unlink(leaf / "cgroup.procs")  # noqa: PTH108  # the kernel's files vanish with the group; a plain folder's must go first

    cgroups.remove([tmp_path / "lab", tmp_path / "never-made"], kill)
    assert killed == [4711]
    assert not (tmp_path / "lab").exists()
