"""How much memory the container may use: what its cgroup says, or all of the machine's where that sets no limit."""

import contextlib
import os
from pathlib import Path

_LIMITS = ("memory.max", "memory/memory.limit_in_bytes")
"""Of version 2, where it may be the word "max", and of version 1, where no limit is a number beyond every machine."""


def limit_bytes(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the most bytes this process can have before it is killed for it; a limit that cannot be read is none."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for name in _LIMITS:
        with contextlib.suppress(OSError, ValueError):
            found.append(int((cgroup / name).read_text()))
    return min(found)
