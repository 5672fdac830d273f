"""How long the fetcher tries again: while bytes keep coming, for ever; without any, only for a while."""

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from llm_fetcher.errors import FetchError

T = TypeVar("T")

log = logging.getLogger("llm_fetcher")

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 15.0


class StoppedError(Exception):
    """Another file failed for good, so that this one need not go on."""


class Patience:
    """Decides for one piece of work whether a transient error is worth another try, and waits before it."""

    def __init__(self, give_up_after_s: float, stop: threading.Event) -> None:
        self._give_up_after_s = give_up_after_s
        self._stop = stop
        self._failures = 0
        self._moved = time.monotonic()

    def progressed(self) -> None:
        """Note that something came through: earlier failures no longer count."""
        self._failures = 0
        self._moved = time.monotonic()

    def check(self) -> None:
        """Raise StoppedError if the whole run has failed meanwhile."""
        if self._stop.is_set():
            raise StoppedError

    def after(self, error: FetchError) -> None:
        """Return after a pause if the error may pass, else raise it."""
        waited_s = time.monotonic() - self._moved
        if not error.transient:
            raise error
        if waited_s >= self._give_up_after_s:
            message = f"{error.message} (gave up after {waited_s:.0f} s without progress)"
            raise FetchError(error.reason, message, transient=True) from error
        pause_s = min(FIRST_PAUSE_S * 2**self._failures, LONGEST_PAUSE_S, self._give_up_after_s)
        self._failures += 1
        log.info("%s; trying again in %.1f s", error.message, pause_s)
        self._stop.wait(pause_s)
        self.check()


def retried(work: Callable[[], T], *, give_up_after_s: float) -> T:
    """Return what ``work`` returns, trying again after transient errors."""
    patience = Patience(give_up_after_s, threading.Event())
    while True:
        try:
            return work()
        except FetchError as error:
            patience.after(error)
