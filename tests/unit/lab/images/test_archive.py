import io
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lab.images.archive import Entry, directory, script, tree, with_parents, write_tar

_name = st.text("abcxyz.-_0", min_size=1, max_size=8).filter(lambda name: name not in {".", ".."})
_paths = st.lists(st.lists(_name, min_size=1, max_size=3).map("/".join), max_size=12, unique=True)


def _tar(*entries: Entry) -> bytes:
    out = io.BytesIO()
    write_tar(out, entries)
    return out.getvalue()


def _members(data: bytes) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return tar.getmembers()


@pytest.fixture(name="folder")
def folder_fixture(tmp_path: Path) -> Path:
    (tmp_path / "lib/deep").mkdir(parents=True)
    (tmp_path / "lib/deep/private").write_text("secret to its owner")
    (tmp_path / "lib/deep/private").chmod(0o600)
    (tmp_path / "lib/run").write_text("#!/bin/sh")
    (tmp_path / "lib/run").chmod(0o700)
    (tmp_path / "lib/link").symlink_to("/usr/lib/elsewhere")
    (tmp_path / "skipped").mkdir()
    (tmp_path / "skipped/file").touch()
    return tmp_path


def test_what_is_on_disk_arrives_readable_by_everyone_and_owned_by_root(folder: Path) -> None:
    members = {member.name: member for member in _members(_tar(*tree(folder, "/app")))}
    assert members["app/lib/deep/private"].mode == 0o644
    assert members["app/lib/run"].mode == 0o755
    assert members["app/lib/deep"].mode == 0o755
    assert (members["app/lib/link"].issym(), members["app/lib/link"].linkname) == (True, "/usr/lib/elsewhere")
    assert {(member.uid, member.gid, member.mtime) for member in members.values()} == {(0, 0, 0)}


def test_times_and_order_on_disk_change_nothing(folder: Path) -> None:
    first = _tar(*tree(folder))
    os.utime(folder / "lib/run", (1, 1))
    assert _tar(*reversed(list(tree(folder)))) == first


def test_a_skipped_folder_is_left_out_with_all_that_is_in_it(folder: Path) -> None:
    paths = [entry.path for entry in tree(folder, skip=lambda path: path == "skipped")]
    assert not [path for path in paths if path.startswith("skipped")]
    assert "lib/run" in paths


def test_contents_arrive_as_they_were(folder: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(_tar(*tree(folder), script("usr/bin/tool", "#!/x\n")))) as tar:
        assert tar.extractfile("lib/deep/private").read() == b"secret to its owner"  # type: ignore[union-attr]  # a file: it was written above
        assert tar.extractfile("usr/bin/tool").read() == b"#!/x\n"  # type: ignore[union-attr]  # same
        assert tar.getmember("usr/bin/tool").mode == 0o755


def test_a_path_given_twice_is_an_error() -> None:
    with pytest.raises(ValueError, match="etc/hosts is in the layer twice"):
        with_parents([Entry("etc/hosts", b"a"), Entry("/etc/hosts", b"b")])


def test_a_folder_may_be_named_more_than_once_and_keeps_a_mode_of_its_own() -> None:
    (entry,) = with_parents([directory("tmp", 0o1777), directory("tmp/", 0o1777)])
    assert (entry.path, entry.mode) == ("tmp", 0o1777)


@given(_paths)
def test_every_parent_comes_before_its_children_and_nothing_twice(paths: list[str]) -> None:
    files = [path for path in paths if not any(other.startswith(f"{path}/") for other in paths)]
    entries = [entry.path for entry in with_parents(Entry(path, b"") for path in files)]
    assert len(set(entries)) == len(entries)
    for index, path in enumerate(entries):
        parent = path.rpartition("/")[0]
        assert not parent or parent in entries[:index]
    assert set(files) <= set(entries)
