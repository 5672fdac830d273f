import os
from pathlib import Path

import pytest

from llm_fetcher import volume
from llm_fetcher.errors import FetchError, Reason
from llm_fetcher.listing import Entry
from llm_fetcher.source import VolumeSource
from tests.unit.fetcher.runner import write_model

SOURCE = VolumeSource("weights", "tiny")


def _entries(root: Path) -> list[Entry]:
    return sorted(volume.entries(SOURCE, root))


def _reason(root: Path) -> FetchError:
    with pytest.raises(FetchError) as caught:
        _entries(root)
    return caught.value


def test_files_are_listed_by_size_and_modification_time(tmp_path: Path) -> None:
    write_model(tmp_path, weights=b"12345", sub__x_txt=b"x")
    os.utime(tmp_path / "model.safetensors", ns=(0, 1_700_000_000_123_456_789))
    found = {entry.path: entry for entry in _entries(tmp_path)}
    assert sorted(found) == ["config.json", "model.safetensors", "sub/x.txt"]
    assert found["model.safetensors"] == Entry("model.safetensors", 5, "mtime:1700000000123456789")


def test_the_bytes_of_a_file_are_never_read(tmp_path: Path) -> None:
    write_model(tmp_path)
    os.truncate(tmp_path / "model.safetensors", 2**40)  # a hole: to read it would take longer than any test may
    assert max(entry.size for entry in _entries(tmp_path)) == 2**40


def test_what_the_file_system_keeps_is_not_part_of_the_model(tmp_path: Path) -> None:
    write_model(tmp_path, **{"lost+found__x": b"x"})
    assert [entry.path for entry in _entries(tmp_path)] == ["config.json", "model.safetensors"]


def test_a_link_inside_the_directory_counts_as_its_file(tmp_path: Path) -> None:
    write_model(tmp_path)
    (tmp_path / "other.safetensors").symlink_to("model.safetensors")
    assert "other.safetensors" in {entry.path for entry in _entries(tmp_path)}


def test_a_root_that_is_a_link_is_listed(tmp_path: Path) -> None:
    write_model(tmp_path / "real")
    (tmp_path / "link").symlink_to("real")
    assert [entry.path for entry in _entries(tmp_path / "link")] == ["config.json", "model.safetensors"]


@pytest.mark.parametrize(
    ("link", "reason", "words"),
    [
        ("/etc/passwd", Reason.UNSAFE_PATH, "a link that leaves the directory"),
        ("../outside", Reason.UNSAFE_PATH, "a link that leaves the directory"),
        ("gone", Reason.SOURCE_NOT_FOUND, "a link to nothing"),
        ("sub", Reason.UNSAFE_PATH, "no regular file"),
        ("x.safetensors", Reason.SOURCE_NOT_FOUND, "a link to nothing"),
    ],
)
def test_a_link_to_anything_else_is_refused(tmp_path: Path, link: str, reason: Reason, words: str) -> None:
    root = write_model(tmp_path / "root", sub__y=b"")
    (tmp_path / "outside").write_text("secret")
    (root / "x.safetensors").symlink_to(link)
    error = _reason(root)
    assert error.reason == reason
    assert words in error.message
    assert "x.safetensors" in error.message


def test_a_pipe_is_refused_and_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.json")
    assert "no regular file" in _reason(tmp_path).message


def test_a_directory_that_is_not_there_is_told_by_the_claim(tmp_path: Path) -> None:
    error = _reason(tmp_path / "gone")
    assert error.reason == Reason.SOURCE_NOT_FOUND
    assert error.message.startswith("pvc://weights/tiny has no such directory")
