"""Whose request it is: the unit that is assigned to a revision and counts in the statistics, looked for where the table says."""

import functools
import hashlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import msgspec

from llm_sidecar.table import Subject

MAX_BYTES = 256
"""Longest subject that is a unit as it is; of a longer one the unit is the SHA-256, so that it fits into a header."""

Header = tuple[bytes, bytes]


async def find(sources: Iterable[Subject], headers: Sequence[Header], key: str, body: Callable[[], Awaitable[bytes]]) -> bytes:
    """Return the unit of a request from the first source that it has, or nothing.

    ``key`` is the id of the API key that was shown. The body is asked for only where no source before it has a unit.
    """
    for source in sources:
        if source.header:
            found = _header(headers, source.header.encode())
        elif source.body_field:
            found = _field(await body(), source.body_field)
        else:
            found = key.encode()
        if found:
            return found if len(found) <= MAX_BYTES else hashlib.sha256(found).digest()
    return b""


def _header(headers: Sequence[Header], wanted: bytes) -> bytes:
    return next((value for name, value in headers if name == wanted and value), b"")


def _field(body: bytes, name: str) -> bytes:
    """Return a field at the top of a JSON body, if it is a text or a whole number. Whoever serves a body says what is wrong with it."""
    try:
        value = _decoder(name).decode(body).value
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return b""
    return b"" if value is None else str(value).encode()


@functools.lru_cache(maxsize=64)
def _decoder(name: str) -> msgspec.json.Decoder[Any]:
    """Return what reads one field of a body and passes over the rest of it."""
    body = msgspec.defstruct("Body", [("value", str | int | None, None)], rename={"value": name})
    return msgspec.json.Decoder(body)
