"""Reads a pattern and derives from it what may still grow into a match: the pattern of all its beginnings.

RE2 runs in linear time whatever a tenant writes, but cannot say that a text might go on to match. It does not have to: the beginnings of
a regular language are regular too, so they can be written down as a pattern of their own. For ``ab{1,2}`` that is ``(?:a(?:b{0,2}))?``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

LONGEST = 512
"""Characters a match may have: so much of a stream waits at most."""

MAX_SOURCE = 512
_MAX_DEPTH = 20
_UNBOUNDED = 10_000_000

_CLASSES = frozenset("dDwWsS")
_CHARACTERS = frozenset("afnrtv")
_ASSERTIONS = frozenset("bB")
_SPECIAL = frozenset("\\.+*?()|[]{}^$")


class PatternError(ValueError):
    """A pattern that cannot be used, and why."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A part of a pattern: its text, the text of the pattern of its beginnings, and how many characters a match has."""

    source: str
    beginnings: str
    shortest: int
    longest: int
    single: bool = False  # one character: its beginnings are itself and nothing


def parse(source: str) -> Pattern:
    """Read a pattern in RE2's syntax, or raise PatternError. Each match must have a length, at least 1 and at most ``LONGEST``."""
    if len(source) > MAX_SOURCE:
        raise PatternError(f"the pattern has more than {MAX_SOURCE} characters")
    pattern = _Reader(f"(?i:{source[4:]})" if source.startswith("(?i)") else source).read()
    if pattern.shortest == 0:
        raise PatternError("the pattern also matches where there is nothing")
    if pattern.longest >= _UNBOUNDED:
        raise PatternError("* , + and {n,} have no end, and a stream must know how long to wait: write {0,40} or the like instead")
    if pattern.longest > LONGEST:
        raise PatternError(f"a match may have {pattern.longest} characters; at most {LONGEST} can be kept back in a stream")
    return pattern


def literal(text: str) -> Pattern:
    """Return what matches exactly this text."""
    if not 1 <= len(text) <= LONGEST:
        raise PatternError(f"a text to look for has 1 to {LONGEST} characters")
    return _sequence([_character(character) for character in text])


def any_of(patterns: Sequence[Pattern]) -> Pattern:
    """Return what matches any of these, the first one first."""
    if len(patterns) == 1:
        return patterns[0]
    return Pattern(
        source=f"(?:{'|'.join(each.source for each in patterns)})",
        beginnings=f"(?:{'|'.join(each.beginnings for each in patterns)})",
        shortest=min(each.shortest for each in patterns),
        longest=max(each.longest for each in patterns),
    )


def _character(character: str) -> Pattern:
    return _single(f"\\{character}" if character in _SPECIAL else character)


def _single(source: str) -> Pattern:
    return Pattern(source, f"{source}?", 1, 1, single=True)


def _sequence(parts: Sequence[Pattern]) -> Pattern:
    if len(parts) == 1:
        return parts[0]
    beginnings = ""
    for part in reversed(parts):
        on = part.source + beginnings
        beginnings = f"(?:{on})?" if part.single or not part.longest else f"(?:{part.beginnings}|{on})"
    return Pattern(
        source="".join(part.source for part in parts),
        beginnings=beginnings,
        shortest=sum(part.shortest for part in parts),
        longest=sum(part.longest for part in parts),
    )


def _repeated(part: Pattern, low: int, high: int | None, lazy: str) -> Pattern:
    most = _UNBOUNDED if high is None else high
    if not most:
        beginnings = ""
    elif part.single:
        beginnings = part.source + ("*" if high is None else f"{{0,{high}}}")
    elif high == 1:
        beginnings = part.beginnings
    else:
        beginnings = f"(?:(?:{part.source}){'*' if high is None else f'{{0,{high - 1}}}'}{part.beginnings})"
    return Pattern(
        source=f"(?:{part.source}){{{low},{'' if high is None else high}}}{lazy}",
        beginnings=beginnings,
        shortest=part.shortest * low,
        longest=part.longest * most,
    )


class _Reader:
    """Recursive descent over what RE2 and this module both understand; RE2 itself has the last word on it."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._at = 0
        self._depth = 0

    def read(self) -> Pattern:
        pattern = self._alternatives()
        if self._at < len(self._source):
            raise PatternError(f"there is a ) too many at character {self._at + 1}")
        return pattern

    def _alternatives(self) -> Pattern:
        choices = [self._parts()]
        while self._take("|"):
            choices.append(self._parts())
        return any_of(choices)

    def _parts(self) -> Pattern:
        parts = []
        while self._next not in {"", "|", ")"}:
            parts.append(self._quantified(self._part()))
        return _sequence(parts) if parts else Pattern("", "", 0, 0)

    def _part(self) -> Pattern:
        character = self._next
        self._at += 1
        match character:
            case "(":
                return self._group()
            case "[":
                return self._class()
            case "\\":
                return self._escape()
            case "^" | "$":
                raise PatternError(f"{character} is not supported: in a stream a text has no lines")
            case "*" | "+" | "?" | "{":
                raise PatternError(f"{character} at character {self._at} repeats nothing; write \\{character} for the character itself")
            case ".":
                return _single(".")
        return _character(character)

    def _quantified(self, part: Pattern) -> Pattern:
        while True:
            bounds = self._bounds()
            if bounds is None:
                return part
            part = _repeated(part, *bounds, "?" if self._take("?") else "")

    def _bounds(self) -> tuple[int, int | None] | None:
        if self._take("*"):
            return 0, None
        if self._take("+"):
            return 1, None
        if self._take("?"):
            return 0, 1
        if not self._take("{"):
            return None
        low, comma, high = self._until("}").partition(",")
        if not _is_number(low) or not (high == "" or _is_number(high)):
            raise PatternError(f"a repeat before character {self._at} is not like {{2,5}}; write \\{{ for the character itself")
        if not comma:
            return int(low), int(low)
        return int(low), int(high) if high else None

    def _group(self) -> Pattern:
        opening = "(?:"
        if self._take("?P<"):
            self._until(">")
        elif self._take("?i:"):
            opening = "(?i:"
        elif self._take("?") and not self._take(":"):
            raise PatternError(f"the group at character {self._at} is not supported: write (?:…), (?i:…) or (…)")
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise PatternError(f"groups are nested more than {_MAX_DEPTH} deep")
        inner = self._alternatives()
        self._depth -= 1
        if not self._take(")"):
            raise PatternError("a ( is never closed")
        return Pattern(f"{opening}{inner.source})", f"{opening}{inner.beginnings})", inner.shortest, inner.longest)

    def _class(self) -> Pattern:
        start = self._at - 1
        self._take("^")
        self._take("]")
        while not self._take("]"):
            if self._take("[:"):
                self._until(":]")
            elif self._take("\\"):
                self._escape()
            elif self._next:
                self._at += 1
            else:
                raise PatternError("a [ is never closed")
        return _single(self._source[start : self._at])

    def _escape(self) -> Pattern:
        start = self._at - 1
        character = self._next
        self._at += 1
        if character in _ASSERTIONS:
            return Pattern(f"\\{character}", "", 0, 0)
        if character in {"p", "P"}:
            if self._take("{"):
                self._until("}")
            else:
                self._at += 1
        elif character == "x":
            if self._take("{"):
                self._until("}")
            else:
                self._at += 2
        elif not character or (character.isalnum() and character not in _CLASSES | _CHARACTERS):
            raise PatternError(f"\\{character} is not supported")
        return _single(self._source[start : self._at])

    @property
    def _next(self) -> str:
        return self._source[self._at : self._at + 1]

    def _take(self, text: str) -> bool:
        taken = self._source.startswith(text, self._at)
        if taken:
            self._at += len(text)
        return taken

    def _until(self, end: str) -> str:
        start = self._at
        self._at = self._source.find(end, start) + len(end)
        if self._at < start + len(end):
            raise PatternError(f"there is no {end} behind character {start}")
        return self._source[start : self._at - len(end)]


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 4  # noqa: PLR2004  # RE2 takes no more than 1000
