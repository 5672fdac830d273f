"""Takes what a finder finds out of a text, at once or as it comes."""

from typing import Literal

from llm_sidecar.redact.finder import Finder
from llm_sidecar.stages import Block, BlockedError

Action = Literal["Block", "Redact", "Tag"]


class Redaction:
    """One text. ``feed`` lets out what is decided, so however it was cut, the same comes out as of the text as a whole.

    Keeps back the place it waits at and one byte before it: what begins there must know whether a word ends.
    """

    __slots__ = ("_action", "_context", "_finder", "_kept", "found")

    def __init__(self, finder: Finder, action: Action) -> None:
        self._finder = finder
        self._action = action
        self._kept = b""
        self._context = 0
        self.found: set[str] = set()

    @property
    def held(self) -> str:
        """Return the text that is kept back."""
        return "" if self._action == "Tag" else self._kept[self._context :].decode()

    def whole(self, text: str) -> str:
        """Return what becomes of a text that is all there."""
        return self._decide(text.encode(), ended=True)

    def feed(self, text: str) -> str:
        """Return what can go on now, or raise BlockedError before any of what is at fault has."""
        out = self._decide(self._kept + text.encode(), ended=False)
        return text if self._action == "Tag" else out

    def finish(self) -> str:
        """Return the rest: the text has ended."""
        out = self._decide(self._kept, ended=True)
        return "" if self._action == "Tag" else out

    def _decide(self, text: bytes, *, ended: bool) -> str:
        finder, at = self._finder, self._context
        out: list[bytes] = []
        while True:
            settled = len(text) if ended else self._settled(text, at)
            match = finder.first(text, at, settled) if settled > at else None
            if match is None:
                break
            self.found.add(match.name)
            if self._action == "Block":
                raise BlockedError(Block(f"the text contains what is not let through: {match.name}"))
            out += text[at : match.start], b"<%s>" % match.name.encode()
            at = match.end
        out.append(text[at:settled])
        self._context = min(settled, 1)
        self._kept = text[settled - self._context :]
        return b"".join(out).decode()

    def _settled(self, text: bytes, at: int) -> int:
        return self._finder.settled(text, at)
