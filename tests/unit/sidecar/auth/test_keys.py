"""The file of keys: read whole or not at all."""

import hashlib
import json
from typing import Any

import pytest

from llm_sidecar.auth.keys import MOST_KEYS, KeysError, Limits, bearer, read
from tests.unit.sidecar.support.keys import entry

GOOD = entry("team-a", "secret-a", requestsPerMinute=60, tokensPerMinute=1000, concurrency=4)


def text(*entries: Any) -> bytes:
    return json.dumps({"keys": entries}).encode()


def test_a_key_is_found_by_what_the_client_shows() -> None:
    keys = read(text(GOOD, entry("team-b", "secret-b")))
    found = keys.find(b"secret-a")
    assert found is not None
    assert (found.id, found.limits) == ("team-a", Limits(requests_per_minute=60, tokens_per_minute=1000, concurrency=4))
    assert (keys.find(b"secret-b") or found).id == "team-b"


def test_neither_another_text_nor_the_hash_itself_is_a_key() -> None:
    keys = read(text(GOOD))
    for shown in (b"", b"secret-", b"secret-A", b"secret-a ", hashlib.sha256(b"secret-a").hexdigest().encode(), b"\xff\xfe"):
        assert keys.find(shown) is None


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "truncated"),
        (b"[]", "object"),
        (b"{}", "keys"),
        (b"\xff", "malformed"),
        (text({**GOOD, "sha256": "secret-a"}), "keys[0].sha256"),
        (text({**GOOD, "sha256": GOOD["sha256"].upper()}), "keys[0].sha256"),
        (text({**GOOD, "id": "Team A"}), "keys[0].id"),
        (text({**GOOD, "id": "a\r\nx"}), "keys[0].id"),
        (text({**GOOD, "id": "a" * 64}), "keys[0].id"),
        (text({**GOOD, "limits": {"requestPerMinute": 1}}), "requestPerMinute"),
        (text({**GOOD, "limits": {"concurrency": 0}}), "keys[0].limits.concurrency"),
        (text({**GOOD, "limits": {"concurrency": "4"}}), "concurrency"),
        (text({**GOOD, "permissons": []}), "permissons"),
        (text(GOOD, entry("team-a", "other")), "same id"),
        (text(GOOD, entry("team-b", "secret-a")), "same id or the same sha256"),
        (text(*(entry(f"k{number}", str(number)) for number in range(MOST_KEYS + 1))), "at most"),
    ],
)
def test_a_file_with_anything_wrong_is_refused_as_a_whole(data: bytes, words: str) -> None:
    with pytest.raises(KeysError) as refused:
        read(data)
    assert words in str(refused.value)
    assert "secret-a" not in str(refused.value)


@pytest.mark.parametrize(
    ("header", "shown"),
    [
        (b"Bearer abc", b"abc"),
        (b"bearer  abc ", b"abc"),
        (b"BEARER abc", b"abc"),
        (b"Basic abc", b""),
        (b"Bearer", b""),
        (b"Bearerabc", b""),
        (b"abc", b""),
        (b"", b""),
    ],
)
def test_only_a_bearer_shows_a_key(header: bytes, shown: bytes) -> None:
    assert bearer(header) == shown
