import hashlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from llm_fetcher import fetch, patience
from llm_fetcher.download import Stream
from llm_fetcher.errors import FetchError, Reason
from llm_fetcher.listing import Entry, Listing
from llm_fetcher.workspace import Workspace

WEIGHTS = Entry("model.safetensors", 7, 'etag:"a-2"')
CONFIG = Entry("config.json", 2, 'etag:"b-2"')


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 0.0
        monkeypatch.setattr(patience, "time", SimpleNamespace(monotonic=lambda: self.now_s))


def _fetched(target: Path, stream: Stream, *entries: Entry) -> dict[str, str]:
    listing = Listing(entries)
    workspace = Workspace(target)
    workspace.claim(listing)
    return fetch._download_all(listing, stream, workspace, parallel=1, give_up_after_s=0.05)


def test_the_time_a_file_waits_for_others_is_no_time_without_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    failures = [FetchError(Reason.SOURCE_UNREACHABLE, "the store answered 503 SlowDown", transient=True)]

    def stream(entry: Entry, _offset: int) -> Iterator[memoryview]:
        if entry == WEIGHTS:
            clock.now_s += 3600
            yield memoryview(b"weights")
            return
        if failures:
            raise failures.pop()
        yield memoryview(b"{}")

    assert set(_fetched(tmp_path, stream, WEIGHTS, CONFIG)) == {"model.safetensors", "config.json"}
    assert (tmp_path / "config.json").read_bytes() == b"{}"
    assert failures == []


def test_one_file_whose_etag_of_parts_is_proven_makes_another_that_does_not_match_suspect(tmp_path: Path) -> None:
    larger, smaller = b"weights", b"{}"
    bodies = {"model.safetensors": [larger], "config.json": [b"!!", smaller]}

    def stream(entry: Entry, _offset: int) -> Iterator[memoryview]:
        yield memoryview(bodies[entry.path].pop(0))

    _fetched(tmp_path, stream, _in_one_part("model.safetensors", larger), _in_one_part("config.json", smaller))
    assert (tmp_path / "config.json").read_bytes() == smaller


def _in_one_part(path: str, body: bytes) -> Entry:
    part = hashlib.md5(body, usedforsecurity=False).digest()
    return Entry(path, len(body), f'etag:"{hashlib.md5(part, usedforsecurity=False).hexdigest()}-1"')
