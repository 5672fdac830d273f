"""Cuts a byte stream at the ends of server-sent events. It never decodes, so a character split over two reads is no matter."""

import re

MAX_EVENT = 8 * 1024 * 1024
"""Bytes one unfinished event may hold."""

# A line ends with CR LF, LF or CR. Of a CR at the end of what has come nobody knows yet whether an LF belongs to it.
_BLANK_LINE = re.compile(rb"(?:\n|\r(?!\n))(?:\r\n|\n|\r(?!\n|\Z))")
_BLANK_LINES = re.compile(rb"(?:\r\n|\n|\r(?!\n|\Z))*")
_EVENT = re.compile(rb"(?:[^\r\n]+(?>\r\n|\n|\r))*(?>\r\n|\n|\r)")
_LONGEST_END = 3


class EventTooLargeError(ValueError):
    """An event that does not end."""


class Scanner:
    """Hands out whole events only; the rest waits for more bytes."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = bytearray()

    @property
    def rest(self) -> bytes:
        """Return the bytes of the unfinished event."""
        return bytes(self._rest)

    def feed(self, data: bytes) -> bytes:
        """Return everything up to the last event that is complete now; the same object where nothing had to wait."""
        rest = self._rest
        if not rest and data.endswith((b"\n\n", b"\n\r\n")):
            return data
        searched = max(0, len(rest) - _LONGEST_END)
        rest += data
        end = _last_end(rest, searched)
        ready = bytes(rest[:end])
        del rest[:end]
        if len(rest) > MAX_EVENT:
            raise EventTooLargeError(f"an event is larger than {MAX_EVENT} bytes")
        return ready


def split(data: bytes) -> list[bytes]:
    """Split whole events, each with the blank line that ends it."""
    return _EVENT.findall(data)


def payload(event: bytes) -> bytes:
    """Return the data of one event: its ``data:`` lines joined, without anything else; empty for comments."""
    if event.startswith(b"data: ") and event.find(b"\n", 0, -2) == -1 and b"\r" not in event:
        return event[6:].rstrip(b"\n")
    lines = (line for line in event.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n") if line.startswith(b"data:"))
    return b"\n".join(line[5:].removeprefix(b" ") for line in lines)


def _last_end(data: bytearray, start: int) -> int:
    """Return where the last blank line ends; one at the very beginning ends an empty event."""
    end = 0
    if data.find(b"\r", start) < 0:
        at = data.rfind(b"\n\n", start)
        end = at + 2 if at >= 0 else 0
    else:
        for blank in _BLANK_LINE.finditer(data, start):
            end = blank.end()
    return _BLANK_LINES.match(data, end).end()  # type: ignore[union-attr]  # it matches, were it nothing
