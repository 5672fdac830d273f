"""The file of API keys: what it may say, and which key a client has shown. Keys themselves are nowhere, only their hashes."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

FILE = "api-keys.json"
"""Name of the file, and of the key in the Secret."""

MOST_KEYS = 1000
"""Each key has series of its own in the metrics."""

PREVIEW = "preview"
"""The permission to say which live revision serves a request."""

_ID = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?")
_HASH = re.compile(r"[0-9a-f]{64}")
_MOST = 10**12
_SCHEME, _USUAL = b"bearer", b"Bearer "


class KeysError(ValueError):
    """A file of keys that cannot be used, and why. Never holds what a key is."""


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    pass


class Limits(_Part, frozen=True, kw_only=True):
    """What a key may use of the whole deployment; without a number as much as it likes."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrency: int | None = None


class Key(_Part, frozen=True, kw_only=True):
    """One key: the name it has in metrics, and the SHA-256 of the key in hexadecimal.

    A permission that is not known gives nothing, so that a file may name one that only newer sidecars know.
    """

    id: str
    sha256: str
    limits: Limits = Limits()
    permissions: tuple[str, ...] = ()


class _File(_Part, frozen=True, kw_only=True):
    keys: tuple[Key, ...]


_decoder = msgspec.json.Decoder(_File)


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one file. Built whole, never changed."""

    by_id: Mapping[str, Key] = field(default_factory=dict)
    by_digest: Mapping[bytes, Key] = field(default_factory=dict)

    def find(self, shown: bytes) -> Key | None:
        """Return the key a client has shown.

        The time this takes says nothing of any key. Only hashes are compared, found by a hash of theirs under a secret of this process: to
        come near one a client would have to know what it looks for.
        """
        return self.by_digest.get(hashlib.sha256(shown).digest())


def read(data: bytes) -> Keys:
    """Read a file, or raise KeysError. Whatever is wrong with one entry is wrong with the file: a limit misspelt is no limit at all."""
    try:
        entries = _decoder.decode(data).keys
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise KeysError(str(error)) from error
    if len(entries) > MOST_KEYS:
        raise KeysError(f"{len(entries)} keys; at most {MOST_KEYS} are read")
    for index, entry in enumerate(entries):
        _check(entry, f"keys[{index}]")
    by_id = {entry.id: entry for entry in entries}
    by_digest = {bytes.fromhex(entry.sha256): entry for entry in entries}
    if len(by_id) < len(entries) or len(by_digest) < len(entries):
        raise KeysError("two entries have the same id or the same sha256")
    return Keys(by_id, by_digest)


def bearer(authorization: bytes) -> bytes:
    """Return what a client shows in its header ``Authorization: Bearer …``; nothing where it shows something else."""
    if authorization.startswith(_USUAL):
        return authorization[len(_USUAL) :].strip()
    scheme, _, shown = authorization.partition(b" ")
    return shown.strip() if scheme.lower() == _SCHEME else b""


def _check(entry: Key, where: str) -> None:
    if not _ID.fullmatch(entry.id):
        raise KeysError(f"{where}.id: up to 63 of a-z, 0-9, '.', '_' and '-', a letter or digit first and last")
    if not _HASH.fullmatch(entry.sha256):
        raise KeysError(f"{where}.sha256: a SHA-256 has 64 hexadecimal digits in small letters")
    for name, value in zip(Limits.__struct_encode_fields__, msgspec.structs.astuple(entry.limits), strict=True):
        if value is not None and not 1 <= value <= _MOST:
            raise KeysError(f"{where}.limits.{name}: {value} is out of range: at least 1")
