"""A stream on its way to the client: the engine's events unchanged, except for the usage the client did not ask for.

The engine is told to report usage always, and then puts it on every event. Taking it out is the one thing that happens to
each token, so it is done on bytes: parsing and writing the event anew would cost several times as much.
"""

import enum
import re
from typing import Any, Protocol

import msgspec
import orjson

from llm_sidecar.errors import Refusal, error_event
from llm_sidecar.stream.answers import Usage, read_usage
from llm_sidecar.stream.scanner import Scanner, payload, split

# A quote inside JSON text is escaped, so these byte strings are keys and values of the engine and never part of an answer's text.
_ABORTED = b'"finish_reason":"abort"'
_DONE = b"[DONE]"
_USAGE = b'"usage"'
_ERROR = b'"error"'
_ON_EVENT = b'],"usage":{'
_OBJECT = re.compile(rb"\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}")
_EMPTY_LIST = b"["


class Wish(enum.Enum):
    """What a client wants to know about usage in its stream."""

    NOTHING = 0
    AT_END = 1
    ALWAYS = 2


class Filter(Protocol):
    """Turns the engine's stream into the client's, piece by piece."""

    @property
    def done(self) -> bool:
        """Return whether the end mark was seen."""

    @property
    def error(self) -> bool:
        """Return whether the engine reported an error."""

    @property
    def usage(self) -> Usage | None:
        """Return the newest usage the engine reported."""

    def feed(self, data: bytes) -> bytes:
        """Return what can go to the client now."""

    def finish(self) -> bytes:
        """Return what is left when the engine has ended its answer."""

    def fail(self, refusal: Refusal) -> bytes:
        """Return what tells the client that the stream ends here and why."""


class Relay:
    """Passes OpenAI streams on."""

    __slots__ = ("_newest", "_scanner", "_wish", "done", "error")

    def __init__(self, wish: Wish) -> None:
        self._wish = wish
        self._scanner = Scanner()
        self._newest: bytes | None = None
        self.done = False
        self.error = False

    @property
    def usage(self) -> Usage | None:
        """Return the newest usage the engine reported."""
        return read_usage(self._newest) if self._newest is not None else None

    def feed(self, data: bytes) -> bytes:
        """Return the events that are complete now, cleaned."""
        ready = self._scanner.feed(data)
        if _ABORTED in ready:
            self.error = True
        if _ON_EVENT in ready:
            ready = self._strip(ready)
        if not (self._has_unread_usage(ready) or _ERROR in ready or _DONE in ready):
            return ready
        return b"".join([self._look(event) for event in split(ready)])

    def finish(self) -> bytes:
        """Return the bytes after the last whole event."""
        return self._scanner.rest

    def fail(self, refusal: Refusal) -> bytes:
        """Return an error event and the end mark."""
        return error_event(refusal)

    def _strip(self, ready: bytes) -> bytes:
        """Read usage where vLLM writes it, right after the choices, and cut it out of events that have choices."""
        kept = []
        start = 0
        while (at := ready.find(_ON_EVENT, start)) >= 0:
            found = _OBJECT.match(ready, at + len(_ON_EVENT) - 1)
            if found is None:
                break
            self._newest = found.group()
            cut = self._wish is not Wish.ALWAYS and ready[at - 1 : at] != _EMPTY_LIST
            kept.append(ready[start : at + 1 if cut else found.end()])
            start = found.end()
        return b"".join([*kept, ready[start:]])

    def _has_unread_usage(self, ready: bytes) -> bool:
        return (self._wish is not Wish.ALWAYS or self._newest is None) and _USAGE in ready

    def _look(self, event: bytes) -> bytes:
        data = payload(event)
        if data == _DONE:
            self.done = True
            return event
        if _USAGE not in data and _ERROR not in data:
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
            self._newest = orjson.dumps(usage)
        at_end = usage is not None and not chunk.get("choices")
        if self._wish is Wish.ALWAYS or (at_end and self._wish is Wish.AT_END):
            return event
        return b"" if at_end else b"data: " + orjson.dumps(chunk) + b"\n\n"
