"""The file is followed while the sidecar runs, and whenever it cannot be used nobody is let in."""

import json
import logging
from pathlib import Path

import pytest

from llm_sidecar.auth.doorman import Doorman
from llm_sidecar.errors import Refusal
from llm_sidecar.metrics import Metrics
from tests.unit.sidecar.support.keys import SecretDir, entry


def make(path: Path) -> Doorman:
    return Doorman(path, lambda: 1, Metrics("chat", "e1", "vllm", "chat").keys)


def says(doorman: Doorman, key: str) -> str:
    """Return whom a key belongs to, or the code of the refusal."""
    try:
        return doorman.authenticate(f"Bearer {key}".encode()).id
    except Refusal as refusal:
        return refusal.code


@pytest.fixture
def secret(tmp_path: Path) -> SecretDir:
    return SecretDir(tmp_path / "secrets")


async def test_keys_come_and_go_with_the_file(secret: SecretDir) -> None:
    doorman = make(secret.path)
    secret.keys(entry("a", "one"), entry("b", "two"))
    await doorman.look()
    assert (says(doorman, "one"), says(doorman, "two"), says(doorman, "three")) == ("a", "b", "api_key_invalid")
    secret.keys(entry("b", "two"), entry("c", "three"))
    await doorman.look()
    assert (says(doorman, "one"), says(doorman, "two"), says(doorman, "three")) == ("api_key_invalid", "b", "c")


async def test_a_plain_directory_will_do(tmp_path: Path) -> None:
    doorman = make(tmp_path)
    (tmp_path / "api-keys.json").write_text(json.dumps({"keys": [entry("a", "one")]}))
    await doorman.look()
    assert says(doorman, "one") == "a"


async def test_a_file_that_breaks_or_goes_revokes_every_key(secret: SecretDir) -> None:
    doorman = make(secret.path)
    for breaks in (secret.nothing, lambda: secret.text("{"), lambda: secret.keys({"id": "a"})):
        secret.keys(entry("a", "one"))
        await doorman.look()
        assert says(doorman, "one") == "a"
        breaks()
        await doorman.look()
        assert says(doorman, "one") == "keys_unavailable"


async def test_without_a_secret_nobody_is_let_in_and_nobody_is_alarmed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    doorman = make(tmp_path / "not-there")
    assert says(doorman, "one") == "keys_unavailable"
    for _ in range(3):
        await doorman.look()
    assert says(doorman, "one") == "keys_unavailable"
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


async def test_what_is_logged_of_a_broken_file_is_said_once_and_holds_no_key(secret: SecretDir, caplog: pytest.LogCaptureFixture) -> None:
    doorman = make(secret.path)
    secret.keys({"id": "a", "sha256": "the-key-itself"})
    for _ in range(3):
        await doorman.look()
    assert [record.getMessage() for record in caplog.records] == [
        "no api keys: api-keys.json of the Secret cannot be used: keys[0].sha256: a SHA-256 has 64 hexadecimal digits in small letters"
    ]


async def test_what_a_key_has_used_outlives_a_new_file(secret: SecretDir) -> None:
    doorman = make(secret.path)
    secret.keys(entry("a", "one", requestsPerMinute=1))
    await doorman.look()
    assert doorman.enter("a") is not None
    secret.keys(entry("a", "rotated", requestsPerMinute=1), entry("b", "two"))
    await doorman.look()
    with pytest.raises(Refusal, match="1 requests a minute"):
        doorman.enter("a")


async def test_a_request_that_ends_after_its_key_is_gone_does_not_bring_it_back_to_the_metrics(secret: SecretDir) -> None:
    metrics = Metrics("chat", "e1", "vllm", "chat")
    doorman = Doorman(secret.path, lambda: 1, metrics.keys)
    secret.keys(entry("team-a", "one"))
    await doorman.look()
    let_in = doorman.enter("team-a")
    assert let_in is not None
    secret.keys()
    await doorman.look()
    let_in.end(7, 5)
    assert b"team-a" not in metrics.expose()


async def test_a_key_let_in_elsewhere_that_is_not_known_here_yet_is_served(secret: SecretDir) -> None:
    doorman = make(secret.path)
    secret.keys(entry("a", "one"))
    await doorman.look()
    assert doorman.enter("new") is None
