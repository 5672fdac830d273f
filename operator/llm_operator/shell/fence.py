"""The fence before every write: open while this process leads, and closed by time alone, whatever the process is doing then."""

import time
from collections.abc import Callable

from llm_operator.core.lease import LEASE_S, RENEW_S
from llm_operator.shell.errors import FencedError

_GRACE_S = LEASE_S - RENEW_S
"""Between the end of writing and the first moment somebody else may lead: what is under way by then has so long to arrive."""


def boot_time() -> float:
    """Return seconds on a clock that only runs forward, and on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Fence:
    """Lets writes out until a time that each renewal of the Lease moves on. ``refused`` is called for each one it holds back."""

    def __init__(self, clock: Callable[[], float] = boot_time, refused: Callable[[], None] = lambda: None) -> None:
        self._clock = clock
        self._refused = refused
        self._until = float("-inf")

    @property
    def is_open(self) -> bool:
        """Return whether a write may go out now."""
        return self._clock() < self._until

    def open(self, until: float) -> None:
        """Let writes out until then."""
        self._until = until

    def close(self) -> None:
        """Let nothing out any more."""
        self._until = float("-inf")

    def check(self) -> float:
        """Return how long a write may take that is sent now, or raise FencedError: by then it must have arrived or been cut off."""
        left_s = self._until - self._clock()
        if left_s <= 0:
            self._refused()
            raise FencedError(0, "Fenced", "this process does not lead any more, so nothing was written")
        return left_s + _GRACE_S
