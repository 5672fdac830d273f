"""The work queue: which keys are to be looked at, when, and never twice at once."""

import asyncio
import contextlib
import heapq
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

SOON_S = 0.1
"""What is applied together arrives together: a first look waits that long for the rest."""
DEBOUNCE_S = 0.5
"""Time between the beginnings of two looks at one key, unless the first one asked for the second."""
LONGEST_GAP_S = 10.0
FIRST_BACKOFF_S = 1.0
BACKOFF_CAP_S = 300.0
_JITTER = 0.1


class Key(NamedTuple):
    """One custom resource: what the queue holds and a reconcile works on."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        """Return the key as people write it."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True)
class Result:
    """How a look at a key ended. A failure is retried with growing patience up to ``patience_s``, ``retry_after_s`` at the earliest."""

    next_look_s: float | None = None
    failed: bool = False
    retry_after_s: float = 0.0
    patience_s: float = BACKOFF_CAP_S


K = TypeVar("K")


@dataclass
class Schedule(Generic[K]):
    """The queue's bookkeeping: pure, told the time, so that every interleaving can be tested.

    A key is due at one time at most. While it is being worked on it is never handed out again; what is heard of it in the
    meantime makes it due once more afterwards. ``jitter`` returns a number from 0 to 1.
    """

    jitter: Callable[[], float]
    _due: dict[K, float] = field(default_factory=dict)
    _heap: list[tuple[float, int, K]] = field(default_factory=list)
    _working: set[K] = field(default_factory=set)
    _failures: dict[K, int] = field(default_factory=dict)
    _began: dict[K, float] = field(default_factory=dict)
    _pushed: int = 0

    def hear(self, key: K, now: float, gap_s: float = DEBOUNCE_S) -> None:
        """Make a key due because something was heard of it: soon, or when it was just looked at, together with what else is heard."""
        self.add(key, max(now + SOON_S, self._began.get(key, float("-inf")) + gap_s))

    def add(self, key: K, at: float) -> None:
        """Make a key due at a time, or leave it if it is due earlier already."""
        if at >= self._due.get(key, float("inf")):
            return
        self._due[key] = at
        self._pushed += 1
        heapq.heappush(self._heap, (at, self._pushed, key))

    def next_due(self) -> float | None:
        """Return when the next key that nobody works on is due."""
        self._drop_outdated()
        return self._heap[0][0] if self._heap else None

    def take(self, now: float) -> K | None:
        """Hand out a key that is due, to be given back with ``done``."""
        due = self.next_due()
        if due is None or due > now:
            return None
        key = heapq.heappop(self._heap)[2]
        del self._due[key]
        self._working.add(key)
        self._began = {each: at for each, at in self._began.items() if at > now - LONGEST_GAP_S} | {key: now}
        return key

    def done(self, key: K, result: Result, now: float) -> None:
        """Take a key back: due again when something was heard of it, when the result asks for it, or after a failure's backoff."""
        self._working.discard(key)
        if key in self._due:  # heard of while it was worked on: its heap entry was skipped, so it needs a new one
            self._pushed += 1
            heapq.heappush(self._heap, (self._due[key], self._pushed, key))
        if result.failed:
            failures = self._failures[key] = self._failures.get(key, 0) + 1
            backoff = min(FIRST_BACKOFF_S * 2.0 ** min(failures - 1, 30), result.patience_s)
            self.add(key, now + max(backoff * (1 - _JITTER * self.jitter()), result.retry_after_s))
            return
        self._failures.pop(key, None)
        if result.next_look_s is not None:
            self.add(key, now + result.next_look_s)

    def __len__(self) -> int:
        """Return how many keys are due now or later."""
        return len(self._due)

    def _drop_outdated(self) -> None:
        """Drop entries that a sooner one replaced, and those of keys in work: ``done`` pushes them again."""
        while self._heap and (self._due.get(self._heap[0][2]) != self._heap[0][0] or self._heap[0][2] in self._working):
            heapq.heappop(self._heap)


class WorkQueue:
    """The schedule on a running loop: ``add`` from anywhere on the loop, ``run`` one worker of as many as you like."""

    def __init__(self, jitter: Callable[[], float], clock: Callable[[], float] | None = None) -> None:
        self._schedule: Schedule[Key] = Schedule(jitter)
        self._clock = clock or asyncio.get_running_loop().time
        self._changed = asyncio.Event()
        self._closed = False

    def hear(self, key: Key, gap_s: float = DEBOUNCE_S) -> None:
        """Ask for a look at a key of which something was heard; what comes within a moment counts as one."""
        self._schedule.hear(key, self._clock(), gap_s)
        self._changed.set()

    def add(self, key: Key, delay_s: float) -> None:
        """Ask for a look at a key after a delay."""
        self._schedule.add(key, self._clock() + delay_s)
        self._changed.set()

    def __len__(self) -> int:
        """Return how many keys are due now or later."""
        return len(self._schedule)

    def close(self) -> None:
        """Let every worker end after the key it has."""
        self._closed = True
        self._changed.set()

    async def run(self, handle: Callable[[Key], Awaitable[Result]]) -> None:
        """Work off keys until the queue is closed; ``handle`` must not raise."""
        while (key := await self._next()) is not None:
            result = Result(failed=True)  # what a cancelled handle leaves behind
            try:
                result = await handle(key)
            finally:
                self._schedule.done(key, result, self._clock())
                self._changed.set()

    async def _next(self) -> Key | None:
        while not self._closed:
            key = self._schedule.take(self._clock())
            if key is not None:
                return key
            self._changed.clear()
            due = self._schedule.next_due()
            patience = None if due is None else max(due - self._clock(), 0)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), patience)
        return None
