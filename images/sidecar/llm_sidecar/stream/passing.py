"""A stream that another sidecar has made already: it passes as it is, cut only where an error can be added if it breaks off."""

from llm_sidecar.errors import Refusal, error_event
from llm_sidecar.stream import scanner
from llm_sidecar.stream.scanner import EventTooLargeError, Scanner


class Events:
    """Server-sent events."""

    __slots__ = ("_scanner",)

    def __init__(self) -> None:
        self._scanner = Scanner()

    def feed(self, data: bytes) -> bytes:
        """Return the events that are complete now."""
        return self._scanner.feed(data)

    def finish(self) -> bytes:
        """Return the bytes after the last whole event."""
        return self._scanner.rest

    def fail(self, refusal: Refusal) -> bytes:
        """Return an error event and the end mark."""
        return error_event(refusal)


class WholeLines:
    """The line format of the classic route."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> bytes:
        """Return the lines that are complete now."""
        end = data.rfind(b"\n") + 1
        whole = bytes(self._rest) + data[:end] if end else b""
        if end:
            self._rest.clear()
        self._rest += data[end:]
        if len(self._rest) > scanner.MAX_EVENT:
            raise EventTooLargeError(f"a line is larger than {scanner.MAX_EVENT} bytes")
        return whole

    def finish(self) -> bytes:
        """Return the bytes after the last whole line."""
        return bytes(self._rest)

    def fail(self, refusal: Refusal) -> bytes:
        """Return the error as a line of its own."""
        return refusal.body() + b"\n"
