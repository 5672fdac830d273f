import hashlib
import json
import os
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest

from llm_fetcher import fetch
from llm_fetcher.errors import FetchError, Reason
from llm_fetcher.source import S3Source
from tests.integration.programs.proxy import Proxy, http_answer
from tests.lab.s3 import S3Client
from tests.lab.wait import until
from tests.unit.fetcher.runner import Fetcher, write_model

MIB = 1024 * 1024


@pytest.fixture
def local(tmp_path: Path) -> Path:
    return write_model(tmp_path / "local", weights=os.urandom(3 * MIB), sub__vocab_txt=b"a b", empty_txt=b"")


@pytest.fixture
def model(client: S3Client, bucket: str, local: Path) -> str:
    client.upload(bucket, "tiny", local)
    return f"s3://{bucket}/tiny"


@pytest.fixture
def large(client: S3Client, bucket: str, tmp_path: Path) -> str:
    """A model of 24 MiB in two files, enough to be killed in."""
    directory = write_model(tmp_path / "large", weights=os.urandom(20 * MIB), other_safetensors=os.urandom(4 * MIB))
    client.upload(bucket, "large", directory)
    return f"s3://{bucket}/large"


def _files(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file() and path.name[:5] != ".llm-"}


def _manifest(target: Path) -> dict[str, object]:
    body: dict[str, object] = json.loads((target / ".llm-manifest.json").read_text())
    return body


def _kept_bytes(target: Path) -> int:
    return sum(path.stat().st_size for path in (target / ".llm-fetch").glob("*.part"))


def test_what_is_fetched_is_byte_for_byte_what_was_uploaded(fetcher: Fetcher, model: str, local: Path, target: Path) -> None:
    arguments = ["--source", model, "--digest", fetcher.digest_of(model), "--target", str(target)]
    ended = fetcher.end(fetcher.start("fetch", *arguments))
    assert ended.code == 0, ended.output
    assert _files(target) == _files(local)
    assert "fetched 3.0 MiB of 3.0 MiB (100 %), 4 of 4 files" in ended.output
    assert ended.last_line == f"ready: {model}"


def test_the_manifest_holds_path_size_sha256_and_checksum_of_each_file(fetcher: Fetcher, model: str, local: Path, target: Path) -> None:
    digest = fetcher.digest_of(model)
    fetcher.fetch(model, digest, target)
    manifest = _manifest(target)
    assert manifest["digest"] == digest
    expected = {name: (len(body), hashlib.sha256(body).hexdigest()) for name, body in _files(local).items()}
    rows = manifest["files"]
    assert isinstance(rows, list)
    assert {row["path"]: (row["size"], row["sha256"]) for row in rows} == expected
    assert all(row["checksum"].startswith('etag:"') for row in rows)


def test_every_user_may_read_what_was_fetched_whatever_the_umask(fetcher: Fetcher, model: str, target: Path) -> None:
    digest = fetcher.digest_of(model)
    mask = os.umask(0o077)
    try:
        fetcher.fetch(model, digest, target)
    finally:
        os.umask(mask)
    modes = {path.relative_to(target).as_posix(): path.stat().st_mode & 0o777 for path in target.rglob("*")}
    assert modes.pop("sub") == 0o755
    assert set(modes.values()) == {0o644}
    assert ".llm-manifest.json" in modes


def test_a_complete_target_needs_no_store(fetcher: Fetcher, model: str, target: Path) -> None:
    digest = fetcher.digest_of(model)
    fetcher.fetch(model, digest, target)
    again = fetcher.fetch(model, digest, target, AWS_ENDPOINT_URL="http://127.0.0.1:1")
    assert again.code == 0
    assert "complete already" in again.output


@pytest.mark.parametrize("damage", ["shorten", "remove", "manifest"])
def test_a_damaged_target_is_made_whole_again(fetcher: Fetcher, model: str, local: Path, target: Path, damage: str) -> None:
    digest = fetcher.digest_of(model)
    fetcher.fetch(model, digest, target)
    match damage:
        case "shorten":
            os.truncate(target / "model.safetensors", 100)
        case "remove":
            (target / "sub/vocab.txt").unlink()
        case "manifest":
            (target / ".llm-manifest.json").write_text("{")
    assert fetcher.fetch(model, digest, target).code == 0
    assert _files(target) == _files(local)


def test_a_killed_fetch_is_continued_and_not_begun_again(fetcher: Fetcher, proxy: Proxy, large: str, target: Path, tmp_path: Path) -> None:
    digest = fetcher.digest_of(large)
    proxy.bytes_per_s = 12 * MIB
    arguments = ["fetch", "--source", large, "--digest", digest, "--target", str(target)]
    run = fetcher.start(*arguments, AWS_ENDPOINT_URL=proxy.endpoint)
    until(lambda: (target / ".llm-fetch").exists() and _kept_bytes(target) >= 8 * MIB, timeout_s=30, what="8 MiB on disk")
    run.send_signal(signal.SIGKILL)
    fetcher.end(run)
    kept = _kept_bytes(target) + (4 * MIB if (target / "other.safetensors").exists() else 0)
    assert 8 * MIB <= kept < 24 * MIB
    assert not (target / "model.safetensors").exists()
    proxy.bytes_per_s, before = 0.0, proxy.relayed
    ended = fetcher.end(fetcher.start(*arguments, AWS_ENDPOINT_URL=proxy.endpoint))
    assert ended.code == 0, ended.output
    assert _files(target) == _files(tmp_path / "large")
    assert proxy.relayed - before < 24 * MIB - kept + MIB
    assert sorted(path.name for path in target.iterdir()) == [".llm-manifest.json", "config.json", "model.safetensors", "other.safetensors"]


def test_sigterm_ends_a_fetch_at_once(fetcher: Fetcher, proxy: Proxy, large: str, target: Path) -> None:
    digest = fetcher.digest_of(large)
    proxy.bytes_per_s = MIB
    run = fetcher.start("fetch", "--source", large, "--digest", digest, "--target", str(target), AWS_ENDPOINT_URL=proxy.endpoint)
    until((target / ".llm-fetch").exists, timeout_s=30, what="the download")
    run.terminate()
    assert run.wait(5) == 143
    fetcher.end(run)


def test_a_connection_that_breaks_is_continued_where_it_was(
    fetcher: Fetcher, proxy: Proxy, large: str, target: Path, tmp_path: Path
) -> None:
    digest = fetcher.digest_of(large)
    proxy.break_each_after = 6 * MIB
    ended = fetcher.fetch(large, digest, target, "--give-up-after", "30", AWS_ENDPOINT_URL=proxy.endpoint)
    assert ended.code == 0, ended.output
    assert _files(target) == _files(tmp_path / "large")


def test_a_store_that_goes_away_is_waited_for_and_then_named(fetcher: Fetcher, proxy: Proxy, large: str, target: Path) -> None:
    digest = fetcher.digest_of(large)
    proxy.bytes_per_s = 4 * MIB
    arguments = ["fetch", "--source", large, "--digest", digest, "--target", str(target), "--give-up-after", "1", "--parallel", "1"]
    run = fetcher.start(*arguments, AWS_ENDPOINT_URL=proxy.endpoint)
    until(lambda: (target / ".llm-fetch").exists() and _kept_bytes(target) >= 4 * MIB, timeout_s=30, what="4 MiB on disk")
    proxy.answers = [http_answer("503 Slow Down", "<Error><Code>SlowDown</Code></Error>")] * 100
    proxy.break_each_after = 0
    ended = fetcher.end(run)
    assert ended.code == 1
    assert ended.last_line.startswith("SourceUnreachable: ")
    assert "without progress" in ended.last_line


def test_a_slow_store_is_only_slow(fetcher: Fetcher, proxy: Proxy, model: str, target: Path) -> None:
    digest = fetcher.digest_of(model)
    proxy.bytes_per_s = 2 * MIB
    ended = fetcher.fetch(model, digest, target, AWS_ENDPOINT_URL=proxy.endpoint)
    assert ended.code == 0, ended.output
    assert "trying again" not in ended.output


def test_a_source_that_changed_since_it_was_resolved_is_refused_with_the_way_out(
    fetcher: Fetcher, client: S3Client, bucket: str, model: str, target: Path
) -> None:
    digest = fetcher.digest_of(model)
    client.put(bucket, "tiny/config.json", b'{"new": 1}')
    ended = fetcher.fetch(model, digest, target)
    assert ended.code == 1
    assert ended.last_line == (
        f"SourceChanged: {model} was changed or deleted since it was resolved: put the old files back, or serve the new ones with "
        "`kubectl llm refresh` or spec.model.updatePolicy: Rollout"
    )
    assert f"wanted {digest}" in ended.output
    assert list(target.iterdir()) == []


@pytest.mark.parametrize("change", ["replace", "delete"])
def test_a_file_that_changes_while_it_is_fetched_is_never_mixed(
    fetcher: Fetcher, client: S3Client, proxy: Proxy, bucket: str, large: str, target: Path, change: str
) -> None:
    digest = fetcher.digest_of(large)
    proxy.bytes_per_s = 4 * MIB
    arguments = ["fetch", "--source", large, "--digest", digest, "--target", str(target), "--parallel", "1"]
    run = fetcher.start(*arguments, AWS_ENDPOINT_URL=proxy.endpoint)
    until(lambda: (target / ".llm-fetch").exists() and _kept_bytes(target) >= 4 * MIB, timeout_s=30, what="4 MiB on disk")
    if change == "replace":
        client.put(bucket, "large/model.safetensors", os.urandom(20 * MIB))
    else:
        client.delete(bucket, "large/model.safetensors")
    proxy.bytes_per_s, proxy.break_each_after = 0.0, 4 * MIB
    ended = fetcher.end(run)
    assert ended.code == 1
    assert ended.last_line.startswith("SourceChanged: ")
    assert not (target / "model.safetensors").exists()


def test_what_another_version_left_is_removed(
    fetcher: Fetcher, client: S3Client, bucket: str, model: str, target: Path, tmp_path: Path
) -> None:
    fetcher.fetch(model, fetcher.digest_of(model), target)
    client.upload(bucket, "next", write_model(tmp_path / "next", weights=b"other"))
    following = f"s3://{bucket}/next"
    assert fetcher.fetch(following, fetcher.digest_of(following), target).code == 0
    assert _files(target) == _files(tmp_path / "next")
    assert not (target / "sub").exists()


def test_a_directory_with_somebodys_files_is_left_alone(fetcher: Fetcher, model: str, target: Path) -> None:
    (target / "thesis.tex").write_text("precious")
    ended = fetcher.fetch(model, fetcher.digest_of(model), target)
    assert ended.last_line == f"TargetInUse: {target} already holds 'thesis.tex', which the fetcher did not put there: give it an empty one"
    assert [path.name for path in target.iterdir()] == ["thesis.tex"]


def test_a_target_that_is_not_there_is_named(fetcher: Fetcher, model: str, target: Path) -> None:
    ended = fetcher.fetch(model, fetcher.digest_of(model), target / "gone")
    assert ended.last_line.startswith(f"TargetNotWritable: {target}/gone cannot be written by user {os.getuid()}")


def test_a_bad_key_is_named_by_fetch_too(fetcher: Fetcher, model: str, target: Path) -> None:
    ended = fetcher.fetch(model, "sha256:" + "0" * 64, target, AWS_SECRET_ACCESS_KEY="wrong")
    assert ended.last_line.startswith("SourceDenied: ")


def test_a_digest_that_is_none_is_refused(fetcher: Fetcher, model: str, target: Path) -> None:
    assert fetcher.fetch(model, "latest", target).last_line.startswith("SourceInvalid: digest 'latest'")


def test_a_volume_is_verified_where_it_is_mounted_and_never_copied(fetcher: Fetcher, local: Path) -> None:
    digest = fetcher.resolve("pvc://weights/tiny", "--path", str(local)).message["digest"]
    arguments = ["fetch", "--source", "pvc://weights/tiny", "--digest", digest, "--path", str(local)]
    before = sorted(local.rglob("*"))
    assert fetcher.run(*arguments).code == 0
    assert sorted(local.rglob("*")) == before
    os.utime(local / "config.json", ns=(1, 1))
    ended = fetcher.run(*arguments)
    assert ended.code == 1
    assert ended.last_line.startswith("SourceChanged: pvc://weights/tiny was changed")


def test_a_model_that_does_not_fit_is_refused_before_the_first_byte(
    client: S3Client, bucket: str, tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.upload(bucket, "tiny", write_model(tmp_path / "local", weights=b"x" * 5000))
    source = S3Source(bucket, "tiny")
    digest = fetch.list_bucket(source, client.env(), give_up_after_s=5).digest
    monkeypatch.setattr(os, "statvfs", lambda _path: SimpleNamespace(f_bavail=1, f_frsize=4096))
    with pytest.raises(FetchError, match=r"has 4.0 KiB free and the model needs 4.9 KiB more") as caught:
        fetch.fetch_bucket(source, client.env(), target, digest, parallel=1, give_up_after_s=5)
    assert caught.value.reason == Reason.DISK_FULL
    assert [path.name for path in target.iterdir()] == [".llm-fetch"]
