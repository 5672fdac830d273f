import pytest

from llm_fetcher import s3
from llm_fetcher.errors import FetchError, Reason
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
