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


class Ended(msgspec.Struct, gc=False):
    """Why a choice ended."""

    finish_reason: Any = None


class Function(msgspec.Struct, gc=False):
    """What a model wants to call."""

    arguments: Any = None


class ToolCall(msgspec.Struct, gc=False):
    """A call of a tool."""

    function: Function | None = None


class Message(msgspec.Struct, gc=False):
    """What a model has said in a chat."""

    content: Any = None
    reasoning: Any = None
    reasoning_content: Any = None
    refusal: Any = None
    tool_calls: list[ToolCall] | None = None


class Said(Ended, gc=False):
    """One choice of a whole answer, of a chat or of a completion."""

    text: Any = None
    message: Message | None = None


class Answer(msgspec.Struct, gc=False):
    """A whole answer as far as stages read it, and its usage as it is written there."""

    choices: list[Said]
    usage: msgspec.Raw = msgspec.Raw()


class Accounted(msgspec.Struct, gc=False):
    """What an answer has cost, and how it ended."""

    choices: list[Ended] = []
    usage: Usage | None = None


answer = msgspec.json.Decoder(Answer)
completion = msgspec.json.Decoder(Completion)
_usage = msgspec.json.Decoder(Usage)
accounted = msgspec.json.Decoder(Accounted)


def read_usage(data: bytes) -> Usage | None:
    """Return usage from its own JSON, or nothing when it has another shape."""
    try:
        return _usage.decode(data)
    except msgspec.DecodeError:
        return None


def account_of(body: bytes) -> Accounted:
    """Return what a whole answer has cost and how it ended, as far as it says so."""
    try:
        return accounted.decode(body)
    except msgspec.DecodeError:
        return Accounted()
