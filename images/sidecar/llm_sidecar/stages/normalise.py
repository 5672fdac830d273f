"""``normalise``: text in one Unicode form and without characters nobody sees, so that nothing can hide from the stages behind it."""

import unicodedata
from functools import lru_cache
from typing import ClassVar, Literal

from llm_sidecar.bundle import NormaliseStage
from llm_sidecar.stages import ALLOW, PROSE, Field, Modify, Verdict

_MAX_HELD = 4096
"""Characters that may wait for the end of one letter: nobody honest writes more marks on it."""

# Zero-width and direction marks, the soft hyphen, and the tag characters that spell out ASCII invisibly.
_INVISIBLE = (
    *(0x00AD, 0x061C, 0x180E, 0xFEFF),
    *range(0x200B, 0x2010),
    *range(0x202A, 0x202F),
    *range(0x2060, 0x2070),
    *range(0xE0000, 0xE0080),
)
_REMOVED = dict.fromkeys(_INVISIBLE)
_HANGUL = (*range(0x1161, 0x1176), *range(0x11A8, 0x11C3))

_Form = Literal["NFKC", "NFC"]


class Normalise:
    """Leaves JSON of tool calls alone: some characters would become quotes."""

    reads: ClassVar[frozenset[Field]] = PROSE
    __slots__ = ("_form", "_removed", "hides")

    def __init__(self, form: _Form, removed: dict[int, None]) -> None:
        self._form = form
        self._removed = removed
        self.hides = False

    def judge(self, text: str) -> Verdict:
        """Return the text in its form."""
        if text.isascii():
            return ALLOW
        changed = self.apply(text)
        return ALLOW if changed == text else Modify(changed)

    def stream(self) -> "Letters":
        """Return a filter that keeps back a letter until no mark can follow it."""
        return Letters(self)

    def apply(self, text: str) -> str:
        """Return any text in its form."""
        return text if text.isascii() else unicodedata.normalize(self._form, text.translate(self._removed))


class Letters:
    """Cuts only where the text on both sides can be normalised on its own."""

    __slots__ = ("_stage", "found", "held")

    def __init__(self, stage: Normalise) -> None:
        self._stage = stage
        self.held = ""
        self.found: set[str] = set()

    def feed(self, text: str) -> str:
        """Return everything before the last character that begins anew."""
        text = self.held + text
        cut = len(text) - 1
        while cut > 0 and not _begins_anew(text[cut]):
            cut -= 1
        if len(text) - cut > _MAX_HELD:
            cut = len(text)
        cut = max(cut, 0)
        self.held = text[cut:]
        return self._stage.apply(text[:cut])

    def finish(self) -> str:
        """Return the last letter."""
        rest, self.held = self.held, ""
        return self._stage.apply(rest)


def compile(spec: NormaliseStage, _field: str) -> Normalise:  # noqa: A001  # every stage's is called so
    """Return the stage."""
    _seconds()  # takes a moment, and no request should wait for it
    return Normalise(spec.form, _REMOVED if spec.zero_width == "Remove" else {})


@lru_cache(maxsize=4096)
def _begins_anew(character: str) -> bool:
    """Return whether nothing before a character can change what becomes of it."""
    if character < "\x7f":
        return True
    first = unicodedata.normalize("NFKD", character)[0]
    return ord(character) not in _REMOVED and not unicodedata.combining(first) and first not in _seconds()


@lru_cache(maxsize=1)
def _seconds() -> frozenset[str]:
    """Return the characters that can melt into the one before them without being marks."""
    pairs = (unicodedata.decomposition(chr(code)).split() for code in range(0x80, 0x30000))
    return frozenset({chr(int(pair[1], 16)) for pair in pairs if len(pair) == 2 and not pair[0].startswith("<")}) | {  # noqa: PLR2004
        chr(code) for code in _HANGUL
    }
