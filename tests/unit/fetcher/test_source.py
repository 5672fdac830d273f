import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_fetcher.errors import FetchError, Reason
from llm_fetcher.source import S3Source, VolumeSource, parse


@pytest.mark.parametrize(
    ("url", "source"),
    [
        ("s3://models/llama", S3Source("models", "llama")),
        ("s3://models/a/b c/", S3Source("models", "a/b c")),
        ("s3://models", S3Source("models", "")),
        ("s3://models/", S3Source("models", "")),
        ("pvc://weights/llama/v1", VolumeSource("weights", "llama/v1")),
        ("pvc://weights", VolumeSource("weights", "")),
    ],
)
def test_a_source_is_read(url: str, source: S3Source | VolumeSource) -> None:
    assert parse(url) == source
    assert parse(str(source)) == source


@pytest.mark.parametrize(
    "url",
    [
        "",
        "models/llama",
        "http://models/llama",
        "s3:///x",
        "s3://Models/x",
        "s3://a/x",
        "s3://user@models/x",
        "pvc://UPPER/x",
        "file:///etc",
    ],
)
def test_what_is_no_source_is_refused_with_the_forms_that_are(url: str) -> None:
    with pytest.raises(FetchError, match="is neither s3://bucket/prefix nor pvc://claim/path") as caught:
        parse(url)
    assert caught.value.reason == Reason.SOURCE_INVALID


@pytest.mark.parametrize("url", ["s3://models/../other", "pvc://weights/../../etc", "s3://models/a//b", "pvc://weights/a/./b"])
def test_a_source_cannot_climb_out(url: str) -> None:
    with pytest.raises(FetchError) as caught:
        parse(url)
    assert caught.value.reason == Reason.UNSAFE_PATH


@pytest.mark.parametrize("url", ["s3://models/x?versionId=1", "s3://models/x#main"])
def test_a_query_is_refused_rather_than_ignored(url: str) -> None:
    with pytest.raises(FetchError, match="remove it"):
        parse(url)


@given(st.text(max_size=40))
def test_any_text_is_either_a_source_or_refused_in_words(text: str) -> None:
    for url in (text, f"s3://{text}", f"pvc://{text}", f"s3://models/{text}"):
        try:
            found = parse(url)
        except FetchError:
            continue
        assert ".." not in str(found).split("/")
