from pathlib import Path

import pytest

from llm_fetcher import fetch
from tests.unit.fetcher.runner import Fetcher


class PanicError(BaseException):
    """What a library in Rust ends with when it has a bug: no Exception."""


@pytest.fixture
def fetcher(tmp_path: Path) -> Fetcher:
    return Fetcher({"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ALLOW_HTTP": "true"}, tmp_path / "termination-log")


def _raising(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def raised(*_given: object, **_named: object) -> None:
        raise error

    monkeypatch.setattr(fetch, "list_bucket", raised)


@pytest.mark.parametrize("error", [PanicError("hidden"), RuntimeError("hidden")])
def test_a_bug_of_whatever_kind_leaves_a_reason_where_the_operator_looks(
    fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    _raising(monkeypatch, error)
    ended = fetcher.resolve("s3://models/tiny")
    assert (ended.code, ended.reason) == (1, "FetcherFailed")
    assert ended.message["error"]["message"] == f"unexpected {type(error).__name__}: see the container's log"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)])
def test_being_told_to_stop_is_no_bug(fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    _raising(monkeypatch, error)
    with pytest.raises(type(error)):
        fetcher.resolve("s3://models/tiny")


def test_the_client_does_not_read_the_settings_behind_our_back(fetcher: Fetcher) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "key\n", "AWS_SECRET_ACCESS_KEY": "secret\n", "AWS_SESSION_TOKEN": " \n"}
    ended = fetcher.end(fetcher.start("resolve", "--source", "s3://models/tiny", "--give-up-after", "0.1", **keys))
    assert (ended.code, ended.reason) == (1, "SourceUnreachable"), ended.output
