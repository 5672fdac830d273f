"""The line format of the classic ``POST /generate``: one JSON object per step with the whole text so far."""

import json

import msgspec

from llm_sidecar.errors import Refusal, given_up
from llm_sidecar.stream.answers import Completion, Usage, completion
from llm_sidecar.stream.scanner import Scanner, payload, split


def unary(echo: str, answer: bytes) -> tuple[bytes, Usage | None]:
    """Return the classic answer for a whole completion; raises msgspec.DecodeError for something else."""
    decoded = completion.decode(answer)
    texts = [echo + choice.text for choice in sorted(decoded.choices, key=lambda choice: choice.index)]
    return json.dumps({"text": texts}).encode(), decoded.usage


class Lines:
    """Turns completion events into classic lines. Every line repeats everything, as the classic server did.

    What the engine gave up on ends with an error: a text that stops short looks like a whole one, and this format has no end mark.
    """

    __slots__ = ("_scanner", "_texts", "done", "error", "usage")

    def __init__(self, echo: str, count: int) -> None:
        self._scanner = Scanner()
        self._texts = [echo] * count
        self.usage: Usage | None = None
        self.done = False
        self.error = False

    def feed(self, data: bytes) -> bytes:
        """Return the lines of the events that are complete now."""
        return b"".join([self._line(payload(event)) for event in split(self._scanner.feed(data))])

    def finish(self) -> bytes:
        """Return nothing: half an event is no line."""
        return b""

    def fail(self, refusal: Refusal) -> bytes:
        """Return the error as a line of its own: this format has no end mark."""
        return refusal.body() + b"\n"

    def _line(self, data: bytes) -> bytes:
        if data == b"[DONE]":
            self.done = True
        if not data.startswith(b"{"):
            return b""
        try:
            chunk = completion.decode(data)
        except msgspec.DecodeError:
            return b""
        if chunk.error is not None:
            self.error = True
            return data + b"\n"
        return self._grow(chunk)

    def _grow(self, chunk: Completion) -> bytes:
        self.usage = chunk.usage or self.usage
        if not chunk.choices:
            return b""
        for choice in chunk.choices:
            if 0 <= choice.index < len(self._texts):
                self._texts[choice.index] += choice.text
        line = json.dumps({"text": self._texts}).encode() + b"\n"
        if any(choice.finish_reason == "abort" for choice in chunk.choices):
            self.error = True
            line += self.fail(given_up())
        return line
