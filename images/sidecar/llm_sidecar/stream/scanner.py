"""Cuts a byte stream at the ends of server-sent events. It never decodes, so a character split over two reads is no matter."""

import re

MAX_EVENT = 8 * 1024 * 1024
"""Bytes one unfinished event may hold."""

_BLANK_LINE = re.compile(rb"\r?\n\r?\n")


class EventTooLargeError(ValueError):
    """An event that does not end."""


class Scanner:
    """Hands out whole events only; the rest waits for more bytes."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    @property
    def rest(self) -> bytes:
        """Return the bytes of the unfinished event."""
        return self._rest

    def feed(self, data: bytes) -> bytes:
        """Return everything up to the last event that is complete now; the same object where nothing had to wait."""
        if not self._rest and data.endswith((b"\n\n", b"\n\r\n")):
            return data
        # A boundary has at most four bytes, so it can begin only in the last three of what was searched before.
        start = max(0, len(self._rest) - 3)
        data = self._rest + data
        end = max(_end(data, b"\n\n", start), _end(data, b"\n\r\n", start))
        self._rest = data[end:]
        if len(self._rest) > MAX_EVENT:
            raise EventTooLargeError(f"an event is larger than {MAX_EVENT} bytes")
        return data[:end]


def split(data: bytes) -> list[bytes]:
    """Split whole events, each with the blank line that ends it."""
    events = []
    start = 0
    for boundary in _BLANK_LINE.finditer(data):
        events.append(data[start : boundary.end()])
        start = boundary.end()
    return events


def payload(event: bytes) -> bytes:
    """Return the data of one event: its ``data:`` lines joined, without anything else; empty for comments."""
    if event.startswith(b"data: ") and event.find(b"\n", 0, -2) == -1:
        return event[6:].rstrip(b"\r\n")
    lines = (line for line in event.replace(b"\r\n", b"\n").split(b"\n") if line.startswith(b"data:"))
    return b"\n".join(line[5:].removeprefix(b" ") for line in lines)


def _end(data: bytes, boundary: bytes, start: int) -> int:
    at = data.rfind(boundary, start)
    return at + len(boundary) if at >= 0 else 0
