"""The last looks at those keys that are being worked on: what a look need not read again if nothing was heard of it.

A help, never the truth: no write rests on it (``Look.backs``), and it is short-lived.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

from llm_operator.shell.observe import Look
from llm_operator.shell.queue import Key

_KEPT = 128
KEPT_S = 120.0


@dataclass
class Looks:
    """A few looks, each for a while after everything was read for it."""

    _looks: OrderedDict[Key, Look] = field(default_factory=OrderedDict)

    def keep(self, key: Key, look: Look) -> None:
        """Keep a look in place of the one there was."""
        self._looks[key] = look
        self._looks.move_to_end(key)
        if len(self._looks) > _KEPT:
            self._looks.popitem(last=False)

    def earlier(self, key: Key, now: float) -> Look | None:
        """Return the last look at a key, unless it is too old to be of use."""
        look = self._looks.get(key)
        return look if look is not None and now - look.whole_at < KEPT_S else None

    def forget(self, key: Key) -> None:
        """Forget what was seen of a key."""
        self._looks.pop(key, None)
