"""Copies of objects as they come over the wire: decoded JSON that shares nothing with what was sent."""

from typing import TypeVar

import orjson

T = TypeVar("T")


def copied(value: T) -> T:
    """Return an equal value made of new dicts and lists. This is most of what a simulated cluster does, so it is not copy.deepcopy."""
    made: T = orjson.loads(orjson.dumps(value))
    return made
