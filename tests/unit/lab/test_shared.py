import os
import subprocess
from pathlib import Path

import pytest

from tests.lab.shared import Change, held, undo_if_last


@pytest.fixture
def record(tmp_path: Path) -> Path:
    return tmp_path / "record.jsonl"


def make(tmp_path: Path, name: str) -> str:
    folder = tmp_path / name
    folder.mkdir()
    return str(folder)


def test_the_last_lab_removes_what_any_of_them_made(tmp_path: Path, record: Path) -> None:
    outer, inner = make(tmp_path, "a"), make(tmp_path, "a/b")
    with held(Change(folders=(outer,)), record), held(Change(folders=(inner,)), record):
        pass
    assert undo_if_last(record)
    assert not Path(outer).exists()
    assert not record.exists()


def test_nothing_is_undone_while_a_lab_lives(tmp_path: Path, record: Path) -> None:
    folder = make(tmp_path, "a")
    with held(Change(folders=(folder,)), record):
        assert not undo_if_last(record)
        assert Path(folder).exists()


def test_the_lock_lives_in_whoever_inherits_the_file(tmp_path: Path, record: Path) -> None:
    with held(Change(folders=(make(tmp_path, "a"),)), record) as descriptor:
        inherited = os.dup(descriptor)
    assert not undo_if_last(record)
    os.close(inherited)
    assert undo_if_last(record)


def test_a_process_that_is_just_ending_is_waited_for(tmp_path: Path, record: Path) -> None:
    with held(Change(folders=(make(tmp_path, "a"),)), record) as descriptor:
        ending = subprocess.Popen(["sleep", "0.3"], pass_fds=[descriptor])
    assert not undo_if_last(record)
    assert undo_if_last(record, patience_s=30)
    assert ending.wait(timeout=20) == 0


def test_a_folder_that_somebody_uses_by_now_stays(tmp_path: Path, record: Path) -> None:
    folder = make(tmp_path, "a")
    with held(Change(folders=(folder,)), record):
        (Path(folder) / "file").touch()
    assert undo_if_last(record)
    assert Path(folder).exists()


def test_controllers_are_taken_back_from_the_root_that_hands_them_down(tmp_path: Path, record: Path) -> None:
    with held(Change(controllers=("cpu", "io"), cgroup_root=str(tmp_path)), record):
        pass
    undo_if_last(record)
    assert (tmp_path / "cgroup.subtree_control").read_text() == "-cpu -io"


def test_without_a_record_there_is_nothing_to_undo(record: Path) -> None:
    assert not undo_if_last(record)
