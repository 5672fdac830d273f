import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_operator.api.sources import MAX_LENGTH, PATTERN, Source, parse_source
from llm_operator.cli.apiserver import holds, schema_of

RULES = [
    each["rule"]
    for each in schema_of("LLMDeployment")["properties"]["spec"]["properties"]["model"]["properties"]["source"]["x-kubernetes-validations"]
]


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("s3://models/llama-3.1-8b", Source("s3", "models", "llama-3.1-8b")),
        ("s3://my.bucket/a/b=1/c@v2/", Source("s3", "my.bucket", "a/b=1/c@v2")),
        ("pvc://claim", Source("pvc", "claim", "")),
        ("pvc://claim/", Source("pvc", "claim", "")),
        ("pvc://claim/a/.hidden", Source("pvc", "claim", "a/.hidden")),
        ("s3://models/..a", Source("s3", "models", "..a")),
    ],
)
def test_a_source_is_taken_apart(text: str, source: Source) -> None:
    assert parse_source(text) == source
    assert str(source) == text.rstrip("/")


@pytest.mark.parametrize(
    "text",
    [
        *("", "models", "/models", "S3://models/a", "s3:/models/a", "s3://models", "s3://models/", "s3://m/a", "s3://-ab/a", "s3://A/a"),
        *(
            "s3://models//a",
            "s3://models/a//b",
            "s3://models/a b",
            "s3://models/a?b",
            "s3://models/a#b",
            "s3://models/ä",
            "s3://models/a\n",
        ),
        *("hf://org/model", "file:///etc", "pvc:///a", "pvc://Claim/a", "pvc://claim//a", "pvc://claim/a%2e%2e"),
    ],
)
def test_anything_else_is_no_source(text: str) -> None:
    with pytest.raises(ValueError, match="must be s3://BUCKET/PREFIX or pvc://CLAIM/PATH"):
        parse_source(text)


@pytest.mark.parametrize("text", ["s3://models/../a", "s3://models/a/..", "s3://models/./a", "pvc://claim/.", "pvc://claim/a/../"])
def test_no_source_climbs_out_of_its_path(text: str) -> None:
    with pytest.raises(ValueError, match="must not contain"):
        parse_source(text)


def test_a_source_longer_than_the_schema_allows_is_refused() -> None:
    with pytest.raises(ValueError, match="must not be longer than 512"):
        parse_source("s3://models/" + "a" * MAX_LENGTH)


@given(st.one_of(st.from_regex(PATTERN, fullmatch=True), st.text(max_size=40), st.text(alphabet="s3pvc:/.ab", max_size=20)))
def test_the_server_and_the_parser_take_the_same_sources(text: str) -> None:
    if text.isascii() and "\n" not in text and len(text) <= MAX_LENGTH:  # Python's $ also matches in front of a last newline
        try:
            parse_source(text)
            parsed = True
        except ValueError:
            parsed = False
        assert parsed == all(holds(rule, text) for rule in RULES)
