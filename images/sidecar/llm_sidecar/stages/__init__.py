"""Stages: what happens to the client's text before the engine sees it, and to the engine's before the client does. One file each.

A stage is compiled once per bundle, never changed, and shared by all requests. It looks at text and says what it thinks; what follows
from that is not its business but that of the policy (``policy.py``).
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

Field = Literal["content", "reasoning", "arguments", "other"]
"""What a text is: what somebody said, what a model thought, the JSON of a tool call, or a value that goes into one of those."""

EVERYWHERE: frozenset[Field] = frozenset({"content", "reasoning", "arguments", "other"})
PROSE: frozenset[Field] = frozenset({"content", "reasoning", "other"})
CONTENT: frozenset[Field] = frozenset({"content"})


@dataclass(frozen=True, slots=True)
class Allow:
    """Nothing against this text; ``found`` names what was noticed nonetheless."""

    found: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Modify:
    """This text instead; ``found`` names what was replaced."""

    text: str
    found: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Block:
    """This must not go on. ``reason`` is a sentence without the text in it, ``field`` the place inside the value that was judged."""

    reason: str
    code: str = "content_filter"
    status: int = 400
    field: str = ""


Verdict = Allow | Modify | Block

ALLOW = Allow()


class BlockedError(Exception):
    """What a stream filter raises instead of letting text pass."""

    def __init__(self, block: Block) -> None:
        super().__init__(block.reason)
        self.block = block


class StreamFilter(Protocol):
    """One text of one stream, given in pieces. What comes out is the same however it was cut: ``feed(a + b)`` is ``feed(a) + feed(b)``.

    It may keep text back until it can tell; ``held`` is what was fed and has not come out yet. ``found`` names what was noticed.
    Raises BlockedError where the whole text would be blocked, before any of what is at fault has come out.
    """

    found: set[str]

    @property
    def held(self) -> str:
        """Return the text that is kept back."""

    def feed(self, text: str) -> str:
        """Return what can go on now."""

    def finish(self) -> str:
        """Return the rest: the text has ended."""


class Stage(Protocol):
    """Judges texts one by one. ``reads`` says which; ``hides`` whether some of what it reads must not be seen by the client."""

    reads: ClassVar[frozenset[Field]]
    hides: bool

    def judge(self, text: str) -> Verdict:
        """Judge a whole text."""

    def stream(self) -> StreamFilter:
        """Return a filter that does the same to a text that comes in pieces."""


class BodyStage(Protocol):
    """Judges the body of a request as a whole."""

    def check(self, body: dict[str, Any]) -> Allow | Block:
        """Judge a client's body as it was sent."""
