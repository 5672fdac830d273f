"""``trim``: no white space around a text, and no more of it than wanted."""

from typing import ClassVar

from llm_sidecar.bundle import BundleError, TrimStage
from llm_sidecar.stages import ALLOW, CONTENT, Field, Modify, Verdict

_LARGEST = 10_000_000


class Trim:
    """Trims what is said; tool calls and variables stay as they are."""

    reads: ClassVar[frozenset[Field]] = CONTENT
    __slots__ = ("hides", "most")

    def __init__(self, most: int) -> None:
        self.most = most
        self.hides = False

    def judge(self, text: str) -> Verdict:
        """Return the text without what is too much."""
        changed = text.strip()[: self.most].rstrip()
        return ALLOW if len(changed) == len(text) else Modify(changed)

    def stream(self) -> "Trimmed":
        """Return a filter that keeps white space back until something follows it."""
        return Trimmed(self.most)


class Trimmed:
    """Counts what has come out, and lets no more through than wanted."""

    __slots__ = ("_begun", "_left", "found", "held")

    def __init__(self, most: int) -> None:
        self._left = most
        self._begun = False
        self.held = ""
        self.found: set[str] = set()

    def feed(self, text: str) -> str:
        """Return the text up to the last character that is not white space."""
        text = self.held + text if self._begun else text.lstrip()
        said = text.rstrip()
        self.held = text[len(said) :][: self._left]
        if not said:
            return ""
        self._begun = True
        out = said[: self._left].rstrip()
        self._left = max(0, self._left - len(said))
        return out

    def finish(self) -> str:
        """Return nothing: what was kept back is the white space at the end."""
        self.held = ""
        return ""


def compile(spec: TrimStage, field: str) -> Trim:  # noqa: A001  # every stage's is called so
    """Return the stage."""
    most = _LARGEST if spec.max_characters is None else spec.max_characters
    if not 1 <= most <= _LARGEST:
        raise BundleError(f"{field}.maxCharacters", f"{most} is out of range: between 1 and {_LARGEST}")
    return Trim(most)
