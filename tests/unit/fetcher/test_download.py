import hashlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_fetcher import patience
from llm_fetcher.download import download
from llm_fetcher.errors import FetchError, Reason
from llm_fetcher.listing import Entry, Listing
from llm_fetcher.part import Part
from llm_fetcher.patience import Patience, StoppedError
from llm_fetcher.progress import Progress
from llm_fetcher.workspace import Workspace
from tests.properties import tried

BODY = bytes(range(256)) * 40
BROKEN = FetchError(Reason.SOURCE_UNREACHABLE, "broke off", transient=True)


def _entry(body: bytes = BODY, *, etag: str = "") -> Entry:
    return Entry("model.safetensors", len(body), f'etag:"{etag or hashlib.md5(body, usedforsecurity=False).hexdigest()}"')


def _in_one_part(body: bytes) -> str:
    part = hashlib.md5(body, usedforsecurity=False).digest()
    return f"{hashlib.md5(part, usedforsecurity=False).hexdigest()}-1"


class Store:
    """A store that sends what each call of it is told to send."""

    def __init__(self, *replies: Callable[[int], Iterator[memoryview]]) -> None:
        self.replies = list(replies)
        self.offsets: list[int] = []

    def __call__(self, _entry: Entry, offset: int) -> Iterator[memoryview]:
        self.offsets.append(offset)
        return self.replies.pop(0)(offset)


def sends(
    body: bytes, *, chunk: int = 1000, until: int | None = None, then: FetchError | None = None
) -> Callable[[int], Iterator[memoryview]]:
    def reply(offset: int) -> Iterator[memoryview]:
        for start in range(offset, len(body) if until is None else until, chunk):
            yield memoryview(body)[start : min(start + chunk, until or len(body))]
        if then is not None:
            raise then

    return reply


def _download(
    target: Path,
    entry: Entry,
    store: Store,
    *,
    give_up_after_s: float = 60.0,
    stop: threading.Event | None = None,
    parts_known: threading.Event | None = None,
) -> str:
    workspace = Workspace(target)
    workspace.claim(Listing((entry,)))
    patience = Patience(give_up_after_s, stop or threading.Event())
    return download(entry, store, workspace, Progress(entry.size, 1), patience, parts_known or threading.Event())


def test_a_file_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    def watching(offset: int) -> Iterator[memoryview]:
        for chunk in sends(BODY)(offset):
            assert not (tmp_path / "model.safetensors").exists()
            yield chunk

    assert _download(tmp_path, _entry(), Store(watching)) == hashlib.sha256(BODY).hexdigest()
    assert (tmp_path / "model.safetensors").read_bytes() == BODY


def test_an_empty_file_needs_no_request(tmp_path: Path) -> None:
    store = Store()
    _download(tmp_path, _entry(b""), store)
    assert (tmp_path / "model.safetensors").read_bytes() == b""
    assert store.offsets == []


@given(st.lists(st.integers(0, len(BODY) - 1), max_size=5).map(sorted))
@tried(25)
def test_wherever_runs_break_off_the_file_is_the_same_in_the_end(tmp_path_factory: pytest.TempPathFactory, breaks: list[int]) -> None:
    target = tmp_path_factory.mktemp("model")
    for at in breaks:
        with pytest.raises(FetchError):
            _download(target, _entry(), Store(sends(BODY, until=at, then=BROKEN)), give_up_after_s=0)
        assert not (target / "model.safetensors").exists()
    assert _download(target, _entry(), Store(sends(BODY))) == hashlib.sha256(BODY).hexdigest()
    assert (target / "model.safetensors").read_bytes() == BODY


def test_the_next_try_asks_for_what_is_missing(tmp_path: Path) -> None:
    store = Store(sends(BODY, until=3000, then=BROKEN), sends(BODY, until=7000, then=BROKEN), sends(BODY))
    _download(tmp_path, _entry(), store)
    assert store.offsets == [0, 3000, 7000]


def test_reading_what_a_killed_run_left_is_no_time_without_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FetchError):
        _download(tmp_path, _entry(), Store(sends(BODY, until=3000, then=BROKEN)), give_up_after_s=0)
    seconds = [0.0]
    monkeypatch.setattr(patience, "time", SimpleNamespace(monotonic=lambda: seconds[0]))
    catch_up = Part._catch_up

    def slowly(part: Part) -> None:
        seconds[0] += 3600
        catch_up(part)

    monkeypatch.setattr(Part, "_catch_up", slowly)
    store = Store(sends(BODY, until=3000, then=BROKEN), sends(BODY))
    _download(tmp_path, _entry(), store, give_up_after_s=0.05)
    assert store.offsets == [3000, 3000]


def test_a_stream_that_ends_early_without_an_error_is_continued(tmp_path: Path) -> None:
    store = Store(sends(BODY, until=4000), sends(BODY))
    _download(tmp_path, _entry(), store)
    assert store.offsets == [0, 4000]


def test_more_bytes_than_were_listed_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="more bytes than the 10240") as caught:
        _download(tmp_path, _entry(), Store(sends(BODY + b"x")))
    assert caught.value.reason == Reason.SOURCE_CORRUPT


def test_bytes_that_do_not_match_the_etag_are_fetched_again(tmp_path: Path) -> None:
    store = Store(sends(b"\0" * len(BODY)), sends(BODY))
    _download(tmp_path, _entry(), store)
    assert store.offsets == [0, 0]
    assert (tmp_path / "model.safetensors").read_bytes() == BODY


def test_a_half_that_went_bad_on_disk_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(FetchError):
        _download(tmp_path, _entry(), Store(sends(BODY, until=5000, then=BROKEN)), give_up_after_s=0)
    part = next((tmp_path / ".llm-fetch").glob("*.part"))
    part.write_bytes(b"\0" * 5000)
    store = Store(sends(BODY), sends(BODY))
    assert _download(tmp_path, _entry(), store) == hashlib.sha256(BODY).hexdigest()
    assert store.offsets == [5000, 0]


def test_an_encrypted_stores_etag_is_accepted_after_two_equal_downloads(tmp_path: Path) -> None:
    store = Store(sends(BODY), sends(BODY))
    assert _download(tmp_path, _entry(etag="0" * 32), store) == hashlib.sha256(BODY).hexdigest()


def test_bytes_that_differ_each_time_are_given_up(tmp_path: Path) -> None:
    store = Store(*(sends(bytes([number]) * len(BODY)) for number in range(3)))
    with pytest.raises(FetchError, match="other bytes each of 3 times") as caught:
        _download(tmp_path, _entry(), store)
    assert caught.value.reason == Reason.SOURCE_CORRUPT


def test_an_etag_of_parts_that_is_made_in_no_known_way_is_not_compared(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "llm_fetcher")
    store = Store(sends(BODY))
    _download(tmp_path, _entry(etag=f"{'0' * 32}-1"), store)
    assert store.offsets == [0]
    assert "only length and version are checked" in caplog.text


def test_an_etag_of_parts_that_matches_is_known_to_the_other_files(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "llm_fetcher")
    known = threading.Event()
    _download(tmp_path, _entry(etag=_in_one_part(BODY)), Store(sends(BODY)), parts_known=known)
    assert known.is_set()
    assert "only length" not in caplog.text


def test_bytes_that_do_not_match_an_etag_of_parts_are_fetched_again_when_another_files_did(tmp_path: Path) -> None:
    known = threading.Event()
    known.set()
    store = Store(sends(b"\0" * len(BODY)), sends(BODY))
    _download(tmp_path, _entry(etag=_in_one_part(BODY)), store, parts_known=known)
    assert store.offsets == [0, 0]
    assert (tmp_path / "model.safetensors").read_bytes() == BODY


def test_an_etag_of_more_parts_than_any_known_size_gives_raises_no_suspicion(tmp_path: Path) -> None:
    known = threading.Event()
    known.set()
    store = Store(sends(BODY))
    _download(tmp_path, _entry(etag=f"{'0' * 32}-4"), store, parts_known=known)
    assert store.offsets == [0]


def test_a_finished_file_is_not_read_again(tmp_path: Path) -> None:
    first = _download(tmp_path, _entry(), Store(sends(BODY)))
    assert _download(tmp_path, _entry(), Store()) == first


def test_a_file_of_an_older_version_is_replaced(tmp_path: Path) -> None:
    _download(tmp_path, _entry(BODY[::-1]), Store(sends(BODY[::-1])))
    _download(tmp_path, _entry(), Store(sends(BODY)))
    assert (tmp_path / "model.safetensors").read_bytes() == BODY


def test_when_another_file_failed_this_one_stops(tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(StoppedError):
        _download(tmp_path, _entry(), Store(sends(BODY)), stop=stop)


def test_an_error_that_cannot_pass_is_not_tried_again(tmp_path: Path) -> None:
    changed = FetchError(Reason.SOURCE_CHANGED, "changed")
    store = Store(sends(BODY, until=1000, then=changed))
    with pytest.raises(FetchError, match="changed"):
        _download(tmp_path, _entry(), store)
