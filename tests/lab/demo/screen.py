"""What the demo prints: numbered steps, each with its time."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Screen:
    """Prints steps as they happen; times count from the first line."""

    def __init__(self, start: float | None = None) -> None:
        self.start = time.monotonic() if start is None else start

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Announce a step, and say how long it took when it has worked."""
        began = time.monotonic()
        self.line(f"\n[{self._clock(began)}] {title}")
        yield
        self.note(f"done in {time.monotonic() - began:.1f} s")

    def note(self, text: str) -> None:
        """Print something a step has to say."""
        self.line("\n".join(f"        {line}" for line in text.splitlines()))

    def line(self, text: str) -> None:
        """Print a line at once: the demo is watched."""
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    def total(self) -> str:
        """Return the time since the start in words."""
        seconds = round(time.monotonic() - self.start)
        return f"{seconds // 60} min {seconds % 60} s"

    def _clock(self, now: float) -> str:
        seconds = round(now - self.start)
        return f"{seconds // 60:02d}:{seconds % 60:02d}"
