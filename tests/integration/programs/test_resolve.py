from pathlib import Path

import pytest

from tests.integration.programs.proxy import Proxy, http_answer, listing_answer
from tests.lab.s3 import S3Client
from tests.unit.fetcher.runner import Fetcher, write_model


@pytest.fixture
def model(client: S3Client, bucket: str, tmp_path: Path) -> str:
    """A small model in a bucket; the URL of its directory."""
    client.upload(bucket, "tiny", write_model(tmp_path / "local", sub__vocab_txt=b"a b", pytorch__model_bin=b"pickle"))
    return f"s3://{bucket}/tiny"


def test_a_prefix_is_resolved_to_digest_bytes_and_files(fetcher: Fetcher, model: str) -> None:
    ended = fetcher.end(fetcher.start("resolve", "--source", model))
    assert ended.code == 0
    assert ended.message == {"digest": ended.message["digest"], "bytes": 2 + 7 + 3, "files": 3}
    assert f"{model} holds 3 files, 12 B: sha256:" in ended.output


def test_a_digest_does_not_depend_on_where_the_files_are(
    fetcher: Fetcher, client: S3Client, bucket: str, model: str, tmp_path: Path
) -> None:
    client.upload(bucket, "a/copy", tmp_path / "local")
    assert fetcher.digest_of(f"s3://{bucket}/a/copy") == fetcher.digest_of(model)


def test_a_prefix_is_a_directory_and_never_part_of_a_name(fetcher: Fetcher, client: S3Client, bucket: str, model: str) -> None:
    before = fetcher.digest_of(model)
    client.put(bucket, "tiny-2/config.json", b"{}")
    assert fetcher.digest_of(model) == before


def test_any_changed_file_changes_the_digest(fetcher: Fetcher, client: S3Client, bucket: str, model: str) -> None:
    before = fetcher.digest_of(model)
    client.put(bucket, "tiny/model.safetensors", b"WEIGHTS")
    assert fetcher.digest_of(model) != before


def test_a_listing_of_several_pages_is_read_to_its_end(fetcher: Fetcher, client: S3Client, bucket: str, tmp_path: Path) -> None:
    files = {f"f{number}_txt": b"x" for number in range(1000)}
    client.upload(bucket, "many", write_model(tmp_path / "many", **files))
    assert fetcher.resolve(f"s3://{bucket}/many").message["files"] == 1002


def test_folder_markers_are_no_files(fetcher: Fetcher, proxy: Proxy) -> None:
    files = [("tiny/config.json", 2, '"c"'), ("tiny/sub/model.safetensors", 7, '"m"')]
    proxy.answers = [listing_answer(*files), listing_answer(("tiny/", 0, '"d"'), ("tiny/sub/", 0, '"d"'), *files)]
    plain, marked = (fetcher.resolve("s3://bucket/tiny", AWS_ENDPOINT_URL=proxy.endpoint) for _ in range(2))
    assert plain.code == 0, plain.output
    assert plain.message == marked.message


def test_a_whole_bucket_can_be_a_model(fetcher: Fetcher, client: S3Client, bucket: str, tmp_path: Path) -> None:
    client.upload(bucket, "", write_model(tmp_path / "local"))
    assert fetcher.resolve(f"s3://{bucket}").message["files"] == 2


@pytest.mark.parametrize(
    ("source", "env", "reason", "words"),
    [
        ("s3://{bucket}/nothing", {}, "SourceEmpty", "holds no files"),
        ("s3://no-such-bucket/x", {}, "SourceNotFound", "no such bucket"),
        ("s3://{bucket}/tiny", {"AWS_ACCESS_KEY_ID": "WRONG"}, "SourceDenied", "AWS_ACCESS_KEY_ID is not known"),
        ("s3://{bucket}/tiny", {"AWS_SECRET_ACCESS_KEY": "wrong"}, "SourceDenied", "AWS_SECRET_ACCESS_KEY does not belong"),
        (
            "s3://{bucket}/tiny",
            {"AWS_ACCESS_KEY_ID": "STRANGER", "AWS_SECRET_ACCESS_KEY": "stranger-secret"},
            "SourceDenied",
            "AccessDenied",
        ),
        ("s3://{bucket}/tiny", {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "SourceDenied", "no keys were given"),
        ("s3://{bucket}/tiny", {"AWS_ACCESS_KEY_ID": ""}, "SourceMisconfigured", "has no AWS_ACCESS_KEY_ID"),
        ("s3://{bucket}/tiny", {"AWS_ALLOW_HTTP": "false"}, "SourceMisconfigured", "AWS_ALLOW_HTTP=true"),
        ("s3://{bucket}/tiny", {"AWS_ENDPOINT_URL": "store:8333"}, "SourceMisconfigured", "is not a URL"),
        ("s3://{bucket}/tiny", {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "SourceUnreachable", "Connection refused (gave up after"),
        ("s3://{bucket}/tiny", {"AWS_ENDPOINT_URL": "http://no-such-host.invalid"}, "SourceUnreachable", "cannot be resolved"),
        ("s3://{bucket}", {}, "NotAModel", "There is one in 'tiny'"),
        ("s3://{bucket}/tiny/sub", {}, "NotAModel", "it holds vocab.txt"),
        ("http://{bucket}/tiny", {}, "SourceInvalid", "neither s3://bucket/prefix nor pvc://claim/path"),
        ("pvc://weights/tiny", {}, "SourceInvalid", "--path must name that directory"),
    ],
)
@pytest.mark.usefixtures("model")
def test_a_source_that_cannot_be_resolved_says_why(
    fetcher: Fetcher, bucket: str, source: str, env: dict[str, str], reason: str, words: str
) -> None:
    ended = fetcher.resolve(source.format(bucket=bucket), **env)
    assert (ended.code, ended.reason) == (1, reason), ended.output
    assert words in ended.message["error"]["message"]
    assert ended.last_line == f"{reason}: {ended.message['error']['message']}"
    assert "Traceback" not in ended.output


def test_weights_that_are_only_pickles_are_refused(fetcher: Fetcher, client: S3Client, bucket: str) -> None:
    client.put(bucket, "tiny/config.json", b"{}")
    client.put(bucket, "tiny/pytorch_model.bin", b"pickle")
    assert fetcher.resolve(f"s3://{bucket}/tiny").reason == "UnsafeWeights"


def test_a_store_that_is_busy_for_a_moment_is_asked_again(fetcher: Fetcher, proxy: Proxy, model: str) -> None:
    proxy.answers = [http_answer("503 Slow Down", "<Error><Code>SlowDown</Code></Error>")] * 4
    ended = fetcher.resolve(model, "--give-up-after", "20", AWS_ENDPOINT_URL=proxy.endpoint)
    assert ended.code == 0
    assert "the store answered 503 SlowDown; trying again in 0.5 s" in ended.output


def test_a_store_that_accepts_and_says_nothing_is_not_waited_for_for_ever(fetcher: Fetcher, proxy: Proxy) -> None:
    proxy.silent = True
    ended = fetcher.resolve("s3://bucket/tiny", "--give-up-after", "0.2", AWS_ENDPOINT_URL=proxy.endpoint)
    assert (ended.code, ended.reason) == (1, "SourceUnreachable")
    assert "did not answer in time" in ended.last_line


@pytest.mark.parametrize(
    ("answer", "reason", "words"),
    [
        (listing_answer(("../../evil", 1, '"x"')), "UnsafePath", "rename that object"),
        (listing_answer(("tiny//config.json", 1, '"x"')), "UnsafePath", "rename that object"),
        (listing_answer(("tiny/config.json", 1, "")), "SourceMisconfigured", "without an ETag"),
        (listing_answer(("tiny/config.json", 1, '"x"'), ("tiny/config.json/y", 1, '"x"')), "UnsafePath", "holds both"),
        (http_answer("301 Moved", "<Error><Code>PermanentRedirect</Code></Error>"), "SourceMisconfigured", "set AWS_REGION"),
        (http_answer("404 Not Found", "<html>nginx</html>", kind="text/html"), "SourceMisconfigured", "is AWS_ENDPOINT_URL an S3 service?"),
    ],
)
def test_a_store_that_answers_strangely_is_not_believed(fetcher: Fetcher, proxy: Proxy, answer: bytes, reason: str, words: str) -> None:
    proxy.answers = [answer] * 10
    ended = fetcher.resolve("s3://bucket/tiny", AWS_ENDPOINT_URL=proxy.endpoint)
    assert (ended.code, ended.reason) == (1, reason), ended.output
    assert words in ended.message["error"]["message"]


def test_a_mounted_volume_is_resolved_where_it_is(fetcher: Fetcher, tmp_path: Path) -> None:
    root = write_model(tmp_path / "volume")
    ended = fetcher.resolve("pvc://weights/tiny", "--path", str(root))
    assert (ended.code, ended.message["files"], ended.message["bytes"]) == (0, 2, 9)


def test_without_a_place_for_the_answer_the_run_fails_rather_than_being_silent(fetcher: Fetcher, model: str, tmp_path: Path) -> None:
    ended = fetcher.run("resolve", "--source", model, TERMINATION_LOG=str(tmp_path / "no" / "such"))
    assert ended.code == 1
    assert "cannot write the answer" in ended.last_line


@pytest.mark.parametrize(
    "arguments", [["--bogus"], ["--source", "s3://models", "--give-up-after", "0"], ["--source", "s3://models", "--give-up-after", "x"]]
)
def test_a_wrong_command_line_fails(fetcher: Fetcher, arguments: list[str]) -> None:
    ended = fetcher.end(fetcher.start("resolve", *arguments))
    assert ended.code == 1
    assert "usage: llm_fetcher" in ended.output
