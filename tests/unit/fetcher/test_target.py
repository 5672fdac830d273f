import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from llm_fetcher import fetch
from llm_fetcher.errors import FetchError, Reason
from llm_fetcher.listing import Entry, Listing
from llm_fetcher.manifest import Manifest, is_complete
from llm_fetcher.patience import Patience, retried
from llm_fetcher.progress import Progress, human
from llm_fetcher.workspace import Workspace
from tests.unit.fetcher.runner import write_model

LISTING = Listing((Entry("config.json", 2, "etag:a"), Entry("sub/model.safetensors", 7, "etag:b")))


def _filled(target: Path) -> Path:
    write_model(target)
    (target / "sub").mkdir()
    (target / "model.safetensors").rename(target / "sub/model.safetensors")
    return target


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ENOSPC, Reason.DISK_FULL),
        (errno.EDQUOT, Reason.DISK_FULL),
        (errno.EROFS, Reason.TARGET_NOT_WRITABLE),
        (errno.EACCES, Reason.TARGET_NOT_WRITABLE),
        (errno.EIO, Reason.INTERNAL),
    ],
)
def test_an_error_of_the_file_system_is_named_for_what_it_is(number: int, reason: Reason) -> None:
    error = fetch._target_error(Path("/model"), OSError(number, os.strerror(number)))
    assert error.reason == reason
    assert error.message.startswith("/model")


def test_a_directory_with_manifest_and_all_files_is_complete(tmp_path: Path) -> None:
    Manifest.of(LISTING, {"config.json": "1", "sub/model.safetensors": "2"}).write(_filled(tmp_path))
    assert is_complete(tmp_path, LISTING.digest)
    assert not is_complete(tmp_path, "sha256:" + "0" * 64)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"version": 2}', '{"version": 1, "digest": "D"}', '{"version": 1, "digest": "D", "files": [1]}']
)
def test_a_manifest_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / ".llm-manifest.json").write_text(text)
    assert not is_complete(tmp_path, "D")


def test_a_note_without_its_file_is_not_believed(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.claim(LISTING)
    entry = LISTING.entries[0]
    workspace.part(entry).write_bytes(b"{}")
    workspace.finish(entry, "sum")
    assert workspace.finished(entry) == "sum"
    assert workspace.missing_bytes(LISTING) == 7
    (tmp_path / "config.json").unlink()
    assert workspace.finished(entry) is None
    assert workspace.missing_bytes(LISTING) == 9


def test_claiming_removes_leftovers_of_other_versions_and_keeps_our_own(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.claim(LISTING)
    other = Entry("config.json", 3, "etag:c")
    workspace.part(other).write_bytes(b"old")
    workspace.part(LISTING.entries[1]).write_bytes(b"half")
    (tmp_path / "gone/deeper").mkdir(parents=True)
    (tmp_path / "gone/deeper/old.txt").write_text("x")
    (tmp_path / "link").symlink_to("/etc")
    (tmp_path / "links").mkdir()
    (tmp_path / "links/link").symlink_to("/etc")
    workspace.claim(LISTING)
    assert not workspace.part(other).exists()
    assert workspace.part_size(LISTING.entries[1]) == 4
    assert [path.name for path in tmp_path.iterdir()] == [".llm-fetch"]
    assert Path("/etc/passwd").exists()


def test_a_download_from_before_the_node_went_down_is_begun_again(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.claim(LISTING)
    whole, half = LISTING.entries
    workspace.part(whole).write_bytes(b"{}")
    workspace.finish(whole, "sum")
    workspace.part(half).write_bytes(b"half")
    workspace.claim(LISTING)
    assert workspace.part_size(half) == 4
    (tmp_path / ".llm-fetch/boot").write_text("another boot")
    workspace.claim(LISTING)
    assert workspace.part_size(half) == 0
    assert workspace.finished(whole) == "sum"
    workspace.part(half).write_bytes(b"half")
    workspace.claim(LISTING)
    assert workspace.part_size(half) == 4


def test_a_volume_that_was_just_formatted_counts_as_empty(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    Workspace(tmp_path).claim(LISTING)
    assert (tmp_path / "lost+found").is_dir()


def _failing(times: int) -> Callable[[], str]:
    left = [FetchError(Reason.SOURCE_UNREACHABLE, "away", transient=True)] * times

    def work() -> str:
        if left:
            raise left.pop()
        return "done"

    return work


def test_work_that_fails_for_a_moment_is_done_again() -> None:
    assert retried(_failing(1), give_up_after_s=30) == "done"


def test_patience_ends_and_says_after_how_long() -> None:
    with pytest.raises(FetchError, match=r"away \(gave up after 0 s without progress\)"):
        retried(_failing(99), give_up_after_s=0)


def test_progress_makes_patience_new() -> None:
    patience = Patience(0.05, threading.Event())
    error = FetchError(Reason.SOURCE_UNREACHABLE, "away", transient=True)
    for _ in range(5):
        patience.after(error)
        patience.progressed()
    patience.after(error)
    with pytest.raises(FetchError, match="gave up"):
        patience.after(error)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (16 * 2**30, "16.0 GiB"), (2**40, "1.0 TiB"), (2**52, "4096.0 TiB")],
)
def test_bytes_are_said_in_a_unit_that_fits(count: int, text: str) -> None:
    assert human(count) == text


def test_kept_bytes_count_as_there_but_not_as_speed() -> None:
    progress = Progress(100, 2)
    progress.kept(50)
    assert progress.line() == "fetched 50 B of 100 B (50 %), 0 of 2 files, 0 B/s"
    progress.lost(50)
    progress.file_done()
    assert progress.line().startswith("fetched 0 B of 100 B (0 %), 1 of 2 files")
