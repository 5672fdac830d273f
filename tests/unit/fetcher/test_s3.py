import obstore
import pytest
from obstore.exceptions import PermissionDeniedError

from llm_fetcher import s3
from llm_fetcher.errors import FetchError, Reason
from llm_fetcher.listing import Entry
from llm_fetcher.source import S3Source

SOURCE = S3Source("models", "tiny")
ENV = {
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_SESSION_TOKEN": "token",
    "AWS_REGION": "eu-west-1",
    "AWS_ENDPOINT_URL": "http://store:9000",
    "AWS_ALLOW_HTTP": "true",
}


def _listed(monkeypatch: pytest.MonkeyPatch, prefix: str, **sizes: int) -> list[str]:
    """The paths of a bucket whose keys the client gives as it does: without a slash at their end."""
    page = [{"path": key.replace("__", "/"), "size": size, "e_tag": '"x"'} for key, size in sizes.items()]
    monkeypatch.setattr(obstore, "list", lambda _store, _prefix: [page])
    return [entry.path for entry in s3.open_bucket(S3Source("models", prefix), ENV, give_up_after_s=1).entries()]


def test_folder_markers_of_the_prefix_and_below_are_no_files(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _listed(monkeypatch, "tiny", tiny=0, tiny__sub=0, tiny__sub__x=3, tiny__config=2) == ["sub/x", "config"]
    assert _listed(monkeypatch, "", tiny=0, tiny__config=2) == ["tiny/config"]


def test_an_ordinary_empty_file_stays_even_if_it_has_the_prefixs_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _listed(monkeypatch, "tiny", tiny__config=2, tiny__tiny=0, tiny__py=0) == ["config", "tiny", "py"]


@pytest.mark.parametrize(
    ("env", "words"), [(ENV, "the keys may not"), ({"AWS_ACCESS_KEY_ID": "\n", "AWS_SECRET_ACCESS_KEY": ""}, "no keys were given")]
)
def test_a_refusal_says_whether_keys_were_given(monkeypatch: pytest.MonkeyPatch, env: dict[str, str], words: str) -> None:
    def refused(*_given: object, **_named: object) -> None:
        raise PermissionDeniedError("status code: 403 <Code>AccessDenied</Code>")

    monkeypatch.setattr(obstore, "list", refused)
    monkeypatch.setattr(obstore, "get", refused)
    opened = s3.open_bucket(SOURCE, env, give_up_after_s=1)
    for asked in (opened.entries(), opened.stream(Entry("config.json", 2, 'etag:"x"'), 0)):
        with pytest.raises(FetchError, match=words):
            next(asked)


def test_white_space_around_the_values_of_a_secret_does_not_count() -> None:
    opened = s3.open_bucket(SOURCE, {name: f" {value}\r\n" for name, value in ENV.items()}, give_up_after_s=1)
    assert opened.store.config == s3.open_bucket(SOURCE, ENV, give_up_after_s=1).store.config
    assert opened.store.client_options == s3.open_bucket(SOURCE, ENV, give_up_after_s=1).store.client_options


@pytest.mark.parametrize("name", ENV)
def test_a_value_of_nothing_but_white_space_is_none(name: str) -> None:
    assert name not in s3.settings({**ENV, name: " \n"})


@pytest.mark.parametrize("name", ENV)
@pytest.mark.parametrize("inside", ["\n", "\0", "\t", "\x7f"])
def test_a_control_character_inside_a_value_is_refused_by_its_key_alone(name: str, inside: str) -> None:
    with pytest.raises(FetchError, match=f"{name} in the credentials Secret has a line break") as caught:
        s3.open_bucket(SOURCE, {**ENV, name: f"hidden{inside}part"}, give_up_after_s=1)
    assert caught.value.reason == Reason.SOURCE_MISCONFIGURED
    assert "hidden" not in caught.value.message
    assert "part" not in caught.value.message


@pytest.mark.parametrize("endpoint", ["store:9000", "https://", "https://sto re", "https://störe"])
def test_an_endpoint_no_request_could_be_sent_to_is_refused(endpoint: str) -> None:
    with pytest.raises(FetchError, match="is not a URL") as caught:
        s3.open_bucket(SOURCE, {**ENV, "AWS_ENDPOINT_URL": endpoint}, give_up_after_s=1)
    assert caught.value.reason == Reason.SOURCE_MISCONFIGURED
