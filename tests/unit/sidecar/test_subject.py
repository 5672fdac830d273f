"""A request's unit is the first subject it has, whatever else is in it."""

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_sidecar.subject import MAX_BYTES, find
from llm_sidecar.table import Subject

HEADER, KEY, FIELD = Subject(header="x-user-id"), Subject(api_key=True), Subject(body_field="user")


async def unit(*sources: Subject, headers: tuple[tuple[bytes, bytes], ...] = (), key: str = "", body: bytes = b"{}") -> bytes:
    async def read() -> bytes:
        return body

    return await find(sources, headers, key, read)


async def test_each_source_finds_its_subject() -> None:
    assert await unit(HEADER, headers=((b"x-user", b"bob"), (b"x-user-id", b"alice"))) == b"alice"
    assert await unit(KEY, key="team-a") == b"team-a"
    assert await unit(FIELD, body=b'{"prompt": ["x", {"user": "bob"}], "user": "alice"}') == b"alice"


async def test_the_first_source_that_has_one_counts() -> None:
    alice = ((b"x-user-id", b"alice"),)
    assert await unit(HEADER, KEY, FIELD, headers=alice, key="team-a", body=b'{"user": "bob"}') == b"alice"
    assert await unit(KEY, HEADER, headers=alice, key="team-a") == b"team-a"
    assert await unit(HEADER, FIELD, headers=((b"x-user-id", b""),), body=b'{"user": "bob"}') == b"bob"
    assert await unit(HEADER, KEY, FIELD) == b""
    assert await unit() == b""


async def test_a_body_is_read_only_where_nothing_before_it_says_whose_it_is() -> None:
    async def unread() -> bytes:
        raise AssertionError("the body was read")

    assert await find((HEADER, FIELD), ((b"x-user-id", b"alice"),), "", unread) == b"alice"


@pytest.mark.parametrize(
    ("value", "expected"),
    [("ä", "ä"), (42, "42"), (10**30, str(10**30)), ("", ""), (None, ""), (True, ""), (1.5, ""), (["a"], ""), ({"id": "a"}, "")],
)
async def test_only_texts_and_whole_numbers_are_subjects(value: Any, expected: str) -> None:
    assert await unit(FIELD, body=json.dumps({"user": value}).encode()) == expected.encode()


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'"alice"', b'{"user": "\xff"}', b'{"user": "a"', b'{"x":' + b"[" * 100_000])
async def test_a_body_that_cannot_be_read_says_nothing(body: bytes) -> None:
    assert await unit(FIELD, body=body) == b""


async def test_a_field_may_have_a_name_that_is_a_word_of_the_language() -> None:
    assert await unit(Subject(body_field="class"), body=b'{"class": "a"}') == b"a"
    assert await unit(Subject(body_field="safety-identifier"), body=b'{"safety-identifier": "a"}') == b"a"


@given(st.text(min_size=1, max_size=2 * MAX_BYTES))
async def test_a_subject_is_its_text_and_a_long_one_its_hash(text: str) -> None:
    data = text.encode()
    expected = data if len(data) <= MAX_BYTES else hashlib.sha256(data).digest()
    assert await unit(FIELD, body=json.dumps({"user": text}).encode()) == expected
