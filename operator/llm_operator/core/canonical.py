"""Canonical JSON and the hashes made from it: the same content gives the same bytes, whatever order or spelling it came in."""

import base64
import hashlib
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

HASH_VERSION = 1
"""Version of everything in this file; stored hashes are compared, never recomputed."""

IDENTITY_LENGTH = 10
_EXACT_INT = 2**53
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
_AS_IT_IS = msgspec.json.Encoder(order="deterministic")


def storable(value: Any) -> Any:
    """Return content as JSON the API server keeps exactly: no absent values, decimals and integers beyond 2^53 as strings."""
    if isinstance(value, (str, bool)):
        return value
    if isinstance(value, (dict, Mapping)):  # a dict is told at once, a Mapping is not
        return {str(key): item if isinstance(item, str) else storable(item) for key, item in sorted(value.items()) if item is not None}
    if isinstance(value, (list, tuple)):
        return [storable(item) for item in value]
    if isinstance(value, (float, Decimal)):
        return decimal_text(Decimal(repr(value)) if isinstance(value, float) else value)
    if isinstance(value, int) and abs(value) > _EXACT_INT:
        return str(value)
    return value


def decimal_text(value: Decimal) -> str:
    """Return a number without exponent and without zeros that do not count: 0.70 and 7E-1 are both 0.7."""
    text = format(value, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in {"-0", ""} else text


def canonical(value: Any) -> bytes:
    """Return content as canonical JSON: sorted keys, no white space, UTF-8."""
    return _ENCODER.encode(storable(value)).encode()


def alike(one: Any, other: Any) -> bool:
    """Return whether two contents have the same canonical JSON; most are spelt alike already, and that is told twenty times as fast."""
    return _AS_IT_IS.encode(one) == _AS_IT_IS.encode(other) or canonical(one) == canonical(other)


def digest(value: Any) -> str:
    """Return the full hash of content, as digests of images and weights are written."""
    return f"sha256:{hashlib.sha256(canonical(value)).hexdigest()}"


def identity(value: Any) -> str:
    """Return the short hash of content that names objects: ten characters of lower-case base32."""
    return base64.b32encode(hashlib.sha256(canonical(value)).digest()).decode().lower()[:IDENTITY_LENGTH]
