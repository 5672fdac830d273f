"""The parts of the engine's answers the sidecar reads; everything else passes unseen."""

from typing import Any

import msgspec


class Usage(msgspec.Struct, gc=False):
    """Token counts of one request."""

    prompt_tokens: int = 0
    completion_tokens: int | None = 0


class Choice(msgspec.Struct, gc=False):
    """One choice of a text completion, whole or a piece of it."""

    index: int = 0
    text: str = ""
    finish_reason: str | None = None


class Completion(msgspec.Struct):
    """A text completion or one chunk of it."""

    choices: tuple[Choice, ...] = ()
    usage: Usage | None = None
    error: Any = None


class Accounted(msgspec.Struct, gc=False):
    """Only the usage of an answer."""

    usage: Usage | None = None


completion = msgspec.json.Decoder(Completion)
_usage = msgspec.json.Decoder(Usage)
accounted = msgspec.json.Decoder(Accounted)


def read_usage(data: bytes) -> Usage | None:
    """Return usage from its own JSON, or nothing when it has another shape."""
    try:
        return _usage.decode(data)
    except msgspec.DecodeError:
        return None


def usage_of(body: bytes) -> Usage | None:
    """Return the usage of a whole answer, if it has one."""
    try:
        return accounted.decode(body).usage
    except msgspec.DecodeError:
        return None


def usage_in(body: Any) -> Usage | None:
    """Return the usage of an answer that is decoded already, if it has one."""
    try:
        return msgspec.convert(body, Accounted).usage
    except msgspec.ValidationError:
        return None
