"""What was heard of each key since it was last looked at: it says which kinds of object the next look has to read anew."""

from collections.abc import Callable
from dataclasses import dataclass, field

from llm_operator.core.kinds import Kind
from llm_operator.shell.news import Hint, Seen
from llm_operator.shell.queue import DEBOUNCE_S, Key

Heard = frozenset[Kind]
"""The kinds of object of a key that something was heard of."""


@dataclass
class Inbox:
    """Takes hints, drops those that are no news, and has the queue look at the keys of the others.

    What arrives for a key that is being looked at waits for the look to end: only then is known what it has read and written itself. What
    arrives before the first resync waits for that one, which sees everything.
    """

    enqueue: Callable[[Key, float], None]
    seen: Seen
    _heard: dict[Key, set[Kind] | None] = field(default_factory=dict)
    _waiting: dict[Key, list[Hint]] = field(default_factory=dict)
    _held: list[Hint] | None = None
    _absent: set[Key] = field(default_factory=set)

    def hear(self, told: Hint) -> None:
        """Take a hint of the watch."""
        self.seen.hear(told)
        self._take(told)

    def _take(self, told: Hint) -> None:
        if told.key in self._absent and (told.kind.kind != told.key.kind or told.gone):
            return  # what belonged to it goes with it
        if self._held is not None:
            self._held.append(told)
        elif told.key in self._waiting:
            self._waiting[told.key].append(told)
        elif self.seen.is_news(told):
            self.ask(told.key, told.kind)

    def ask(self, key: Key, kind: Kind | None = None, gap_s: float = DEBOUNCE_S) -> None:
        """Have a key looked at, one kind of its objects or all of them; ``gap_s`` after the last look at the earliest."""
        self._absent.discard(key)
        known = self._heard.get(key, set())
        self._heard[key] = None if kind is None or known is None else known | {kind}
        self.enqueue(key, gap_s)

    def begin(self, key: Key) -> Heard | None:
        """Begin a look; returns of which kinds there is news, or None when everything has to be read."""
        self._waiting[key] = []
        heard = self._heard.pop(key, set())
        return None if heard is None else frozenset(heard)

    def end(self, key: Key) -> None:
        """End a look: what is still news after it leads to the next one."""
        for told in self._waiting.pop(key, []):
            self._take(told)

    def doubt(self, key: Key) -> None:
        """Have the next look at a key read everything."""
        self._heard[key] = None

    def absent(self, key: Key) -> None:
        """Note that a look found nothing under a key: until it is there again, nothing of it is news."""
        self._absent.add(key)

    def hold(self) -> None:
        """Keep all hints until ``release``."""
        self._held = []

    def release(self) -> None:
        """Take the hints that were kept."""
        held, self._held = self._held or [], None
        for told in held:
            self._take(told)
