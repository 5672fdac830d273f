"""A stream on its way to the client: the engine's events unchanged, except for the usage the client did not ask for."""

import contextlib
from typing import Any, Protocol

import msgspec
import orjson

from llm_sidecar.errors import Refusal, error_event
from llm_sidecar.stream.answers import Usage
from llm_sidecar.stream.scanner import Scanner, payload, split

_DONE = b"[DONE]"
# A quote inside JSON text is escaped, so these byte strings are keys and values of the engine and never part of an answer's text.
_ABORTED = b'"finish_reason":"abort"'


def aborted(answer: bytes) -> bool:
    """Return whether the engine cut this answer short; it says so only in the body, with status 200."""
    return _ABORTED in answer


class Filter(Protocol):
    """Turns the engine's stream into the client's, piece by piece."""

    usage: Usage | None
    done: bool
    error: bool

    def feed(self, data: bytes) -> bytes:
        """Return what can go to the client now."""

    def finish(self) -> bytes:
        """Return what is left when the engine has ended its answer."""

    def fail(self, refusal: Refusal) -> bytes:
        """Return what tells the client that the stream ends here and why."""


class Relay:
    """Passes OpenAI streams on. The engine always reports usage; it is counted, and left in only where it was asked for."""

    __slots__ = ("_keep_usage", "_scanner", "done", "error", "usage")

    def __init__(self, *, keep_usage: bool) -> None:
        self._keep_usage = keep_usage
        self._scanner = Scanner()
        self.usage: Usage | None = None
        self.done = False
        self.error = False

    def feed(self, data: bytes) -> bytes:
        """Return the events that are complete now, cleaned."""
        ready = self._scanner.feed(data)
        if _ABORTED in ready:
            self.error = True
        if b'"usage"' not in ready and b'"error"' not in ready and _DONE not in ready:
            return ready
        events = split(ready)
        kept = [self._look(event) for event in events]
        return b"".join(kept) if any(new is not old for new, old in zip(kept, events, strict=True)) else ready

    def finish(self) -> bytes:
        """Return the bytes after the last whole event."""
        return self._scanner.rest

    def fail(self, refusal: Refusal) -> bytes:
        """Return an error event and the end mark."""
        return error_event(refusal)

    def _look(self, event: bytes) -> bytes:
        data = payload(event)
        if data == _DONE:
            self.done = True
            return event
        if b'"usage"' not in data and b'"error"' not in data:
            return event
        try:
            chunk = msgspec.json.decode(data)
        except msgspec.DecodeError:
            return event
        return self._clean(event, chunk) if isinstance(chunk, dict) else event

    def _clean(self, event: bytes, chunk: dict[str, Any]) -> bytes:
        if chunk.get("error"):
            self.error = True
        if "usage" not in chunk:
            return event
        usage = chunk.pop("usage")
        if usage is not None:
            with contextlib.suppress(msgspec.ValidationError):
                self.usage = msgspec.convert(usage, Usage)
        if self._keep_usage:
            return event
        if usage is not None and not chunk.get("choices"):
            return b""
        return b"data: " + orjson.dumps(chunk) + b"\n\n"
