"""What the stub answers: tokens that follow from the request's bytes alone, and how many tokens a prompt has."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

HASH_LENGTH = 16
_WORDS = (
    " the",
    " of",
    " a",
    " model",
    " answers",
    " what",
    " it",
    " was",
    " asked",
    " and",
    " no",
    " more",
    " caf",
    " été",
    " then",
    " so",
)
_SILENT_EVERY = 11
"""Every so many tokens one shows no text and the next shows both, as when a character's bytes end in the next token."""


def body_hash(body: bytes) -> str:
    """Return the hash that an answer carries of the request the stub saw."""
    return hashlib.sha256(body).hexdigest()[:HASH_LENGTH]


class Text:
    """The endless text of one choice; token 0 is the hash of the request."""

    def __init__(self, request_hash: str, choice: int) -> None:
        self._first = request_hash if choice == 0 else f"{request_hash}.{choice}"
        self._seed = int(request_hash, 16) + choice

    def token(self, index: int) -> str:
        """Return what a client sees when this token is made; it may be nothing."""
        if index % _SILENT_EVERY == _SILENT_EVERY - 2:
            return ""
        if index % _SILENT_EVERY == _SILENT_EVERY - 1:
            return self._word(index - 1) + self._word(index)
        return self._word(index)

    def span(self, start: int, end: int) -> str:
        """Return the text of the tokens from ``start`` up to ``end``."""
        return "".join(self.token(index) for index in range(start, end))

    def _word(self, index: int) -> str:
        return _WORDS[(self._seed + index * 7) % len(_WORDS)] if index else self._first


def completion_tokens_of(prompt: str | Sequence[int]) -> int:
    """Return how many tokens a completion prompt has: the start token, and one for each character or token id."""
    return 1 + len(prompt)


def chat_tokens_of(messages: Iterable[Any]) -> int:
    """Return how many tokens a chat has: start token, two marks and the characters of each message, and the assistant's mark."""
    return 2 + sum(2 + len(content_text(message)) for message in messages)


def content_text(message: Any) -> str:
    """Return the text of a message whose content is a string or a list of parts."""
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""
