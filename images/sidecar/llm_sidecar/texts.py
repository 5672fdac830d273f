"""Where text is in a request and in an answer. What a stage must see is found here, so what is missed here is seen by no stage."""

import operator
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from llm_sidecar.errors import Refusal
from llm_sidecar.stages import Field
from llm_sidecar.stream.answers import Answer, Message, answer

_MEDIA = frozenset({"image_url", "input_audio", "audio_url", "video_url", "file"})
"""Keys of a message below which there are encoded bytes; anything else may be text to one chat template or another."""

_IDENTIFIERS = frozenset({"role", "type", "id", "tool_call_id"})
_IDENTIFIER = re.compile(r"[A-Za-z0-9_-]{1,64}")

_ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})
_FIELDS: dict[str, Field] = {
    **dict.fromkeys(("content", "text", "prompt", "suffix"), "content"),
    **dict.fromkeys(("reasoning", "reasoning_content", "thinking"), "reasoning"),
    "arguments": "arguments",
}
_beside = operator.attrgetter("reasoning", "reasoning_content", "refusal", "tool_calls")
_NOTHING_BESIDE = (None,) * 4


@dataclass(slots=True)
class Text:
    """One text and its place, so that it can be named, and written there once it is another one."""

    value: str
    field: Field
    key: str | int
    inside: tuple[str | int, ...]

    @property
    def path(self) -> str:
        """Return the place as people write it: ``messages[0].content``."""
        steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in (*self.inside, self.key))
        return "".join(steps).removeprefix(".")

    def write(self, body: Any) -> None:
        """Write it to its place in a body."""
        for step in self.inside:
            body = body[step]
        body[self.key] = self.value


def of_request(body: dict[str, Any]) -> list[Text]:
    """Return all text a client sent; raise Refusal for a prompt that is no text but numbers, which no stage could read."""
    found: list[Text] = []
    messages = body.get("messages")
    if isinstance(messages, list):
        for index, message in enumerate(messages):
            if _is_plain(message):
                found.append(Text(message["content"], "content", "content", ("messages", index)))
            else:
                found += (text for text in _below(messages, index, ("messages",), "content") if not _is_no_text(text))
    elif messages is not None:
        found += _below(body, "messages", (), "content")
    prompt = body.get("prompt")
    if isinstance(prompt, list) and any(not isinstance(item, str) for item in prompt):
        raise Refusal(400, "prompt_not_text", "this deployment's stages read text, so prompt cannot be token ids", param="prompt")
    for name in ("prompt", "suffix"):
        if name in body:
            found += _below(body, name, (), "content")
    for name in ("tools", "functions"):
        if name in body:
            found += (text for text in _below(body, name, (), "other") if text.key == "description")
    return found


def _is_plain(message: Any) -> bool:
    if not isinstance(message, dict) or len(message) != 2:  # noqa: PLR2004  # role and content, as nearly all have it
        return False
    return message.get("role") in _ROLES and isinstance(message.get("content"), str)


def read_answer(body: bytes) -> Answer:
    """Read a whole answer as far as there can be text in it, or raise Refusal."""
    try:
        return answer.decode(body)
    except msgspec.DecodeError as error:
        raise Refusal(502, "engine_broken", f"the engine's answer cannot be read, so it cannot be checked: {error}") from error


def of_answer(body: Answer) -> list[Text]:
    """Return all text of a whole answer, choice by choice."""
    found: list[Text] = []
    for index, choice in enumerate(body.choices):
        text, message = choice.text, choice.message
        if isinstance(text, str):
            found.append(Text(text, "content", "text", ("choices", index)))
        if message is None:
            continue
        inside = ("choices", index, "message")
        if isinstance(message.content, str):
            found.append(Text(message.content, "content", "content", inside))
        if _beside(message) != _NOTHING_BESIDE:
            found += _rest_of(message, inside)
    return found


def _rest_of(message: Message, inside: tuple[str | int, ...]) -> Iterator[Text]:
    """Return what is in a message beside its content, which is all there is in nearly every one."""
    for name in ("reasoning", "reasoning_content", "refusal"):
        value = getattr(message, name)
        if isinstance(value, str):
            yield Text(value, _FIELDS.get(name, "other"), name, inside)
    for number, call in enumerate(message.tool_calls or ()):
        if call.function is not None and isinstance(call.function.arguments, str):
            yield Text(call.function.arguments, "arguments", "arguments", (*inside, "tool_calls", number, "function"))


def _below(holder: Any, key: str | int, inside: tuple[str | int, ...], field: Field) -> Iterator[Text]:
    """Return every string at a place and below, wherever a chat template might find it."""
    value = holder[key]
    if isinstance(value, str):
        yield Text(value, field, key, inside)
    elif isinstance(value, list):
        for index in range(len(value)):
            yield from _below(value, index, (*inside, key), field)
    elif isinstance(value, dict):
        for name in value:
            yield from _below(value, name, (*inside, key), _FIELDS.get(name, "other"))


def _is_no_text(text: Text) -> bool:
    """Return whether a string in a message says nothing: it names something, or encodes bytes."""
    if text.key in _IDENTIFIERS:
        return _IDENTIFIER.fullmatch(text.value) is not None
    return text.key in _MEDIA or not _MEDIA.isdisjoint(text.inside)
