"""Finds matches in a text that is still coming: what can be decided now, and from where on it has to wait.

Whether a match begins at a place is decided once, when nothing that may still come can change the answer. So it cannot matter how the text
was cut into pieces. A place has to wait while everything behind it is the beginning of a match: a match that is complete but ends where the
text does may still grow, or turn out not to end at a word's end.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import re2

from llm_sidecar.redact.pattern import Pattern, PatternError, any_of

Check = Callable[[str], int]
"""Looks at what a pattern matched and returns how many characters of it are really meant; 0 for none, as for a card with a wrong digit."""

MAX_INSTRUCTIONS = 16_384
"""Of all patterns together, compiled."""

_GROUP = 12_000
"""Characters of beginnings that are compiled as one pattern. RE2 searches one faster than two, but the time it takes to compile words grows
with the square of their number, and nothing else runs meanwhile."""

_MAX_MEMORY = 16 * 1024 * 1024
"""Bytes one compiled set of patterns may use, its cache included."""

TRIAL_MEMORY = 1024 * 1024
"""Bytes a pattern may use while it is only measured, just enough for ``MAX_INSTRUCTIONS``."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Something to find. ``name`` is what it is reported as."""

    name: str
    pattern: Pattern
    check: Check | None = None
    ignore_case: bool = False


class Match(NamedTuple):
    """A match in a text, by bytes."""

    start: int
    end: int
    name: str


class Finder:
    """Several patterns as one. Of two matches the one that begins first counts, of two that begin together the pattern named first.

    Works on UTF-8, as RE2 does. Everything before ``start`` is context: a word's end there is seen, a match is not.
    """

    __slots__ = ("_all", "_any", "_beginnings", "longest")

    def __init__(self, wanted: Sequence[Wanted]) -> None:
        patterns = [_cased(each) for each in wanted]
        _check_size(patterns)
        whole = any_of(patterns)
        self._all = [(each.name, compile_re2(pattern.source), each.check) for each, pattern in zip(wanted, patterns, strict=True)]
        self._any = _searcher(whole.source)
        self._beginnings = [_searcher(f"{any_of(group).beginnings}\\z") for group in _groups(patterns)]
        self.longest = whole.longest

    def settled(self, text: bytes, start: int) -> int:
        """Return up to where everything is decided, whatever comes next."""
        # Where nothing has begun, the end itself is found.
        return min([beginnings(text, start)[0] for beginnings in self._beginnings])

    def misses(self, text: bytes) -> bool:
        """Return whether nothing in a whole text looks like a match."""
        return self._any(text, 0)[0] < 0

    def first(self, text: bytes, start: int, stop: int) -> Match | None:
        """Return the first match that begins before ``stop``."""
        while 0 <= (start := self._any(text, start)[0]) < stop:
            for name, pattern, check in self._all:
                match = pattern.match(text, start)
                if match is None:
                    continue
                end = match.end()
                if check is not None:
                    matched = match.group().decode()
                    end = start + len(matched[: check(matched)].encode())
                if end > start:
                    return Match(start, end, name)
            start += _width(text[start])
        return None


def _cased(wanted: Wanted) -> Pattern:
    pattern = wanted.pattern
    if not wanted.ignore_case:
        return pattern
    return Pattern(f"(?i:{pattern.source})", f"(?i:{pattern.beginnings})", pattern.shortest, pattern.longest)


def _check_size(patterns: Sequence[Pattern]) -> None:
    size = 0
    for pattern in patterns:
        size += compile_re2(pattern.beginnings, TRIAL_MEMORY).programsize
        if size > MAX_INSTRUCTIONS:
            raise PatternError("too much to find in one stage: use fewer or shorter texts and patterns, or smaller repeats")


def _groups(patterns: Sequence[Pattern]) -> list[list[Pattern]]:
    groups: list[list[Pattern]] = [[]]
    size = 0
    for pattern in patterns:
        size += len(pattern.beginnings)
        if groups[-1] and size > _GROUP:
            groups.append([])
            size = len(pattern.beginnings)
        groups[-1].append(pattern)
    return groups


def _searcher(source: str) -> Callable[[bytes, int], tuple[int, int]]:
    """Return what says from where to where a pattern matches first behind a place; nowhere is from -1.

    Asked for every piece of every stream, so it goes past the wrapper of RE2's package, which makes an object of each match.
    """
    match = compile_re2(source)._regexp.Match  # noqa: SLF001  # of a pinned package; that it finds what the wrapper finds is tested
    unanchored = re2._re2.RE2.Anchor.UNANCHORED  # noqa: SLF001  # the same

    def search(text: bytes, start: int) -> tuple[int, int]:
        return match(unanchored, text, start, len(text))[0]  # type: ignore[no-any-return]  # compiled code without types

    return search


def compile_re2(source: str, max_memory: int = _MAX_MEMORY) -> "re2._Regexp":
    """Return a compiled pattern that captures nothing, or raise PatternError with RE2's own words."""
    options = re2.Options()
    options.max_mem = max_memory
    options.log_errors = False
    options.never_capture = True
    try:
        return re2.compile(source.encode(), options)
    except re2.error as error:
        reason = error.args[0]
        raise PatternError(reason.decode() if isinstance(reason, bytes) else str(reason)) from error


def _width(first: int) -> int:
    """Return how many bytes the character has that begins with this one."""
    if first < 0x80:  # noqa: PLR2004  # UTF-8
        return 1
    return 2 if first < 0xE0 else 3 if first < 0xF0 else 4  # noqa: PLR2004
