"""What labs change of the machine itself, undone by the last one that leaves.

Each lab holds a lock on one file for as long as any of its processes lives: the file is open in all of them. Whoever gets the lock alone
knows that no lab is left, however the others ended.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.lab import cgroups
from tests.lab.wait import WaitTimeoutError, until

RECORD = Path("/run/llm-lab.jsonl")


@dataclass(frozen=True)
class Change:
    """What one lab is about to change."""

    folders: tuple[str, ...] = ()  # that did not exist
    controllers: tuple[str, ...] = ()  # that a unified cgroup root did not hand down
    cgroup_root: str = ""


@contextmanager
def held(change: Change, record: Path = RECORD) -> Iterator[int]:
    """Write a change down before it is made, and give the open file that the lab's first process is to inherit."""
    descriptor = _open_current(record)
    try:
        os.write(descriptor, (json.dumps(asdict(change)) + "\n").encode())
        yield descriptor
    finally:
        os.close(descriptor)


def _open_current(record: Path) -> int:
    """Open and lock the record; again, if the last lab removed it in between."""
    while True:
        descriptor = os.open(record, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        with suppress(FileNotFoundError):
            if record.stat().st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        os.close(descriptor)


def undo_if_last(record: Path = RECORD, patience_s: float = 0) -> bool:
    """Undo what all labs changed, unless one still lives after ``patience_s``: a process that was killed holds its files a moment more."""
    try:
        file = record.open()
    except FileNotFoundError:
        return False
    with file:
        try:
            until(lambda: _lock_alone(file.fileno()), timeout_s=patience_s, what="the end of every other lab")
        except WaitTimeoutError:
            return False
        for line in reversed(file.read().splitlines()):
            _undo(Change(**json.loads(line)))
        record.unlink(missing_ok=True)
    return True


def _lock_alone(descriptor: int) -> bool:
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return True


def _undo(change: Change) -> None:
    for folder in reversed(change.folders):
        with suppress(OSError):  # not empty: somebody else uses it by now
            Path(folder).rmdir()
    if change.controllers:
        cgroups.take_back(Path(change.cgroup_root), list(change.controllers))
