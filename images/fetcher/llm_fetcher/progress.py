"""How far a fetch is, for a human who reads the log of a pod that does not start."""

import threading
import time

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_STEP = 1024


class Progress:
    """Counts bytes and files from several threads."""

    def __init__(self, total_bytes: int, total_files: int) -> None:
        self._total_bytes = total_bytes
        self._total_files = total_files
        self._bytes = 0
        self._received = 0
        self._files = 0
        self._lock = threading.Lock()
        self._began = time.monotonic()

    def kept(self, count: int) -> None:
        """Count bytes an earlier run left."""
        with self._lock:
            self._bytes += count

    def lost(self, count: int) -> None:
        """Take back bytes that turned out wrong."""
        self.kept(-count)

    def received(self, count: int) -> None:
        """Count bytes that came over the network."""
        with self._lock:
            self._bytes += count
            self._received += count

    def file_done(self) -> None:
        """Count a finished file."""
        with self._lock:
            self._files += 1

    def line(self) -> str:
        """Return one line: how much of how much, and how fast since the start of this run."""
        elapsed_s = max(time.monotonic() - self._began, 0.001)
        with self._lock:
            percent = 100 * self._bytes // self._total_bytes if self._total_bytes else 100
            return (
                f"fetched {human(self._bytes)} of {human(self._total_bytes)} ({percent} %), "
                f"{self._files} of {self._total_files} files, {human(self._received / elapsed_s)}/s"
            )


def human(count: float) -> str:
    """Return a number of bytes in the largest unit that keeps it at one or more."""
    for unit in _UNITS[:-1]:
        if count < _STEP:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= _STEP
    return f"{count:.1f} {_UNITS[-1]}"
