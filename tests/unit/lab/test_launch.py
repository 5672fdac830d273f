from dataclasses import astuple
from pathlib import Path

from tests.lab.cgroups import Hierarchy
from tests.lab.launch import free_ports, planned_change


def test_free_ports_are_all_different() -> None:
    ports = astuple(free_ports())
    assert len(set(ports)) == len(ports)


def test_only_what_is_not_there_yet_counts_as_a_change(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    hierarchy = Hierarchy("cgroup", tmp_path / "memory", "memory", tmp_path / "memory" / "lab")
    change = planned_change((hierarchy,), (tmp_path / "there", tmp_path / "missing"))
    assert change.folders == (str(tmp_path / "missing"),)
    assert change.controllers == ()
