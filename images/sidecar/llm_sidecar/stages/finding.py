"""What ``pii`` and ``blocklist`` have in common: patterns to find, and what to do with what they find."""

import re
from collections.abc import Sequence
from typing import ClassVar

from llm_sidecar.bundle import Action, BundleError, Pattern
from llm_sidecar.redact.finder import TRIAL_MEMORY, Finder, Wanted, compile_re2
from llm_sidecar.redact.pattern import PatternError, parse
from llm_sidecar.redact.redaction import Redaction
from llm_sidecar.stages import ALLOW, EVERYWHERE, Allow, BlockedError, Field, Modify, Verdict

MAX_PATTERNS = 64
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")


class Finding:
    """Finds patterns in every text there is."""

    reads: ClassVar[frozenset[Field]] = EVERYWHERE
    __slots__ = ("_action", "_finder", "hides")

    def __init__(self, wanted: Sequence[Wanted], action: Action, field: str) -> None:
        if not wanted:
            raise BundleError(field, "the stage has nothing to find")
        try:
            self._finder = Finder(wanted)
        except PatternError as error:
            raise BundleError(field, str(error)) from error
        self._action = action
        self.hides = action != "Tag"

    def judge(self, text: str) -> Verdict:
        """Judge a whole text."""
        if self._finder.misses(text.encode()):
            return ALLOW
        whole = Redaction(self._finder, self._action)
        try:
            judged = whole.whole(text)
        except BlockedError as blocked:
            return blocked.block
        found = tuple(sorted(whole.found))
        if not found:
            return ALLOW
        return Allow(found) if self._action == "Tag" else Modify(judged, found)

    def stream(self) -> Redaction:
        """Return a filter that keeps back what may still become a match."""
        return Redaction(self._finder, self._action)


def own_patterns(patterns: Sequence[Pattern], field: str, *, ignore_case: bool = False) -> list[Wanted]:
    """Return the patterns of a user, or raise BundleError naming the one that cannot be used."""
    if len(patterns) > MAX_PATTERNS:
        raise BundleError(field, f"{len(patterns)} patterns; at most {MAX_PATTERNS} are looked for")
    wanted = []
    for index, pattern in enumerate(patterns):
        if not _NAME.fullmatch(pattern.name):
            raise BundleError(f"{field}[{index}].name", "a name has 1 to 32 small letters, digits, - and _, a letter first")
        try:
            parsed = parse(pattern.re2)
            compile_re2(parsed.source, TRIAL_MEMORY)
        except PatternError as error:
            raise BundleError(f"{field}[{index}].re2", str(error)) from error
        wanted.append(Wanted(pattern.name, parsed, ignore_case=ignore_case))
    return wanted
