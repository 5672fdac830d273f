"""JSON in pieces, such as the arguments of a tool call: a stage sees what is written in it, and what comes out is JSON if it was before.

Every string is a text of its own, read without its escapes. A number or word that a stage would change becomes a string. What stands
outside of strings and is not JSON is one text.
"""

import json
import re
from collections.abc import Callable

from llm_sidecar.stages import ALLOW, Allow, BlockedError, Field, Modify, Stage, StreamFilter, Verdict

MAX_OUTSIDE = 1_000_000
"""Characters between two strings, which wait until the second one begins."""

_STRING_STOP = re.compile(r'["\\]')
_SCALAR = re.compile(r"[^\s{}\[\],:]+")
_JSON_SCALAR = r"(?:-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)"
_OUTSIDE = re.compile(rf"[\s{{}}\[\],:]*(?:{_JSON_SCALAR}(?:[\s{{}}\[\],:]+{_JSON_SCALAR})*[\s{{}}\[\],:]*)?", re.ASCII)
_HEX = re.compile(r"[0-9A-Fa-f]{4}")
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "/": "/"}
_UNICODE = 6  # characters of \uXXXX
_HIGH, _LOW = range(0xD800, 0xDC00), range(0xDC00, 0xE000)  # the two halves of a character beyond the first 65,536


class JsonText:
    """Gives each string of a JSON text to a filter of its own."""

    __slots__ = ("_begin", "_escape", "_outside", "_size", "_string", "found")

    def __init__(self, begin: Callable[[], StreamFilter]) -> None:
        self._begin = begin
        self._string: StreamFilter | None = None
        self._escape = ""  # the beginning of an escape
        self._outside: list[str] = []
        self._size = 0
        self.found: set[str] = set()

    @property
    def held(self) -> str:
        """Return the text that is kept back."""
        return _written(self._string.held) + self._escape if self._string is not None else "".join(self._outside)

    def feed(self, text: str) -> str:
        """Return what can go on now."""
        out: list[str] = []
        text = self._escape + text
        self._escape = ""
        at = 0
        while at < len(text):
            at = self._outside_from(text, at, out) if self._string is None else self._inside_from(self._string, text, at, out)
        return "".join(out)

    def finish(self) -> str:
        """Return the rest: the text has ended, in the middle of a string perhaps."""
        if self._string is None:
            return self._between()
        rest = self._string.feed(self._escape) + self._string.finish()
        self._close()
        return _written(rest)

    def _outside_from(self, text: str, at: int, out: list[str]) -> int:
        quote = text.find('"', at)
        end = len(text) if quote < 0 else quote
        self._outside.append(text[at:end])
        self._size += end - at
        if self._size > MAX_OUTSIDE:
            raise ValueError(f"more than {MAX_OUTSIDE} characters of JSON without a string")
        if quote < 0:
            return end
        out += self._between(), '"'
        self._string = self._begin()
        return quote + 1

    def _inside_from(self, string: StreamFilter, text: str, at: int, out: list[str]) -> int:
        stop = _STRING_STOP.search(text, at)
        end = stop.start() if stop is not None else len(text)
        if end > at:
            out.append(_written(string.feed(text[at:end])))
        if stop is None:
            return end
        if stop.group() == '"':
            out += _written(string.finish()), '"'
            self._close()
            return end + 1
        meant, length = _unescape(text, end)
        if not length:
            self._escape = text[end:]
            return len(text)
        out.append(_written(string.feed(meant)))
        return end + length

    def _between(self) -> str:
        """Return what stood between two strings, judged."""
        outside = "".join(self._outside)
        self._outside.clear()
        self._size = 0
        if not _SCALAR.search(outside):
            return outside
        if not _OUTSIDE.fullmatch(outside):
            return self._judge(outside)
        return _SCALAR.sub(self._scalar, outside)

    def _scalar(self, scalar: re.Match[str]) -> str:
        text = scalar.group()
        judged = self._judge(text)
        return text if judged == text else json.dumps(judged, ensure_ascii=False)

    def _judge(self, text: str) -> str:
        self._string = self._begin()
        judged = self._string.feed(text) + self._string.finish()
        self._close()
        return judged

    def _close(self) -> None:
        if self._string is not None:
            self.found |= self._string.found
        self._string = None
        self._escape = ""


def stream(stage: Stage, field: Field) -> StreamFilter:
    """Return a stage's filter for a text of this kind."""
    return JsonText(stage.stream) if field == "arguments" else stage.stream()


def judge(stage: Stage, text: str) -> Verdict:
    """Let a stage judge a whole JSON text, string by string."""
    judged = JsonText(stage.stream)
    try:
        out = judged.feed(text) + judged.finish()
    except BlockedError as blocked:
        return blocked.block
    found = tuple(sorted(judged.found))
    if not found:
        return ALLOW
    return Modify(out, found) if stage.hides else Allow(found)


def _written(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _unescape(text: str, at: int) -> tuple[str, int]:
    r"""Return what the escape at this place means and how long it is; no length while that cannot be told. ``\q`` means itself."""
    kind = text[at + 1 : at + 2]
    if kind != "u":
        return (_ESCAPES.get(kind, f"\\{kind}"), 2) if kind else ("", 0)
    code = text[at + 2 : at + _UNICODE]
    if not _HEX.fullmatch(code):
        return ("", 0) if _may_become(code) and at + _UNICODE > len(text) else ("\\u", 2)
    unit = int(code, 16)
    if unit not in _HIGH and unit not in _LOW:
        return chr(unit), _UNICODE
    second = text[at + _UNICODE : at + 2 * _UNICODE]
    low = second[2:]
    if unit in _HIGH and second[:2] == "\\u"[: len(second)] and _may_become(low):
        if len(second) < _UNICODE:
            return "", 0
        if int(low, 16) in _LOW:
            return chr(0x10000 + ((unit - _HIGH.start) << 10) + int(low, 16) - _LOW.start), 2 * _UNICODE
    return "\ufffd", _UNICODE  # half a character


def _may_become(digits: str) -> bool:
    return all(digit in "0123456789abcdefABCDEF" for digit in digits)
