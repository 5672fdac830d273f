"""Waiting on conditions: the one place of the tests that lets time pass."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class WaitTimeoutError(AssertionError):
    """Say what did not come true, and the last reason why not."""


def until(
    condition: Callable[[], T | None],
    *,
    timeout_s: float,
    what: str,
    interval_s: float = 0.05,
    between: Callable[[], object] | None = None,
) -> T:
    """Return the condition's first truthy value; an OSError or ValueError raised by it counts as not yet."""
    end = time.monotonic() + timeout_s
    pause = threading.Event()
    while True:
        reason = "it stayed false"
        try:
            value = condition()
        except (OSError, ValueError, LookupError) as error:
            reason = f"{type(error).__name__}: {error}"
        else:
            if value:
                return value
        if time.monotonic() >= end:
            raise WaitTimeoutError(f"gave up after {timeout_s:g} s waiting for {what}: {reason}")
        if between is not None:
            between()
        pause.wait(interval_s)
