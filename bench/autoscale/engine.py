"""A simulated engine: continuous batching with chunked prefill, between two events as a flow.

A step adds a token to each sequence and reads prompts with what is left of its token budget. It takes a fixed time, more with the tokens it
reads and with those that are kept. The numbers are those of a model of 70 billion weights on four accelerators; they were never checked on
hardware, so the model ranks policies and predicts nothing.
"""

from collections import deque
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import inf

FIXED_S, PROMPT_TOKEN_S, KEPT_TOKEN_S = 0.0244, 0.000058, 0.00000004
STEP_TOKENS = 2048
SEQUENCES_MAX = 256
KV_TOKENS = 428_000


@dataclass(slots=True)
class Request:
    """One request, and when it came, had its first token and its last."""

    arrival: float
    prompt: int
    output: int
    first: float = inf
    done: float = inf


@dataclass(slots=True)
class Counted:
    """What an engine counts."""

    prefill_tokens: float = 0.0
    generated_tokens: float = 0.0
    steps: float = 0.0
    gaps: float = 0.0
    gap_seconds: float = 0.0
    requests: int = 0
    prompt_sum: int = 0
    output_sum: int = 0


@dataclass(slots=True, eq=False)
class Engine:
    """One pod's engine. ``at`` is the time it has been worked out to."""

    at: float
    counted: Counted = field(default_factory=Counted)
    outstanding: int = 0
    reserved: int = 0
    placed: int = 0
    _kept: float = 0.0
    _made: float = 0.0
    """Tokens that a sequence would have that was there from the beginning."""
    _decoding: list[tuple[float, int, Request]] = field(default_factory=list)
    _number: int = 0
    _prefilling: deque[Request] = field(default_factory=deque)
    _to_read: float = 0.0
    """Tokens of prompts that are still to be read, and of these the first one's."""
    _first_to_read: float = 0.0
    _waiting: deque[Request] = field(default_factory=deque)
    _step_s: float = FIXED_S
    _read: float = 0.0
    """What a step takes, and reads, until the next event."""

    @property
    def running(self) -> int:
        """Return how many requests steps work on: a prompt is read when those before it are."""
        return len(self._decoding) + bool(self._prefilling)

    @property
    def waiting(self) -> int:
        """Return how many requests no step has worked on yet."""
        return self.outstanding - self.running

    @property
    def kv_usage(self) -> float:
        """Return the part of the cache that is in use."""
        return self._kept / KV_TOKENS

    def accept(self, request: Request, now: float) -> float:
        """Take a request; return when something happens next."""
        self._advance(now)
        self.outstanding += 1
        self._waiting.append(request)
        self._admit()
        return self._plan()

    def work(self, now: float) -> float:
        """Do what is due; return when something happens next."""
        self._advance(now)
        while self._prefilling and self._first_to_read < 1e-6:
            self._begin(self._prefilling.popleft(), now)
        while self._decoding and self._decoding[0][0] <= self._made + 1e-9:
            self._end(heappop(self._decoding)[2], now)
        self._admit()
        return self._plan()

    def look(self, now: float) -> None:
        """Bring the counters up to date."""
        self._advance(now)

    def _advance(self, now: float) -> None:
        passed, self.at = now - self.at, now
        if not (self._decoding or self._prefilling):
            return
        steps = passed / self._step_s
        read, made, counted = self._read * steps, steps * len(self._decoding), self.counted
        self._made += steps
        self._to_read -= read
        self._first_to_read -= read
        self._kept += read + made
        counted.steps += steps
        counted.prefill_tokens += read
        counted.generated_tokens += made
        counted.gaps += made
        counted.gap_seconds += passed * len(self._decoding)

    def _admit(self) -> None:
        waiting = self._waiting
        while waiting and self.placed < SEQUENCES_MAX and self.reserved + waiting[0].prompt + waiting[0].output <= KV_TOKENS:
            request = waiting.popleft()
            self.placed += 1
            self.reserved += request.prompt + request.output
            if not self._prefilling:
                self._first_to_read = request.prompt
            self._prefilling.append(request)
            self._to_read += request.prompt

    def _begin(self, request: Request, now: float) -> None:
        request.first = now
        self.counted.generated_tokens += 1
        if self._prefilling:
            self._first_to_read += self._prefilling[0].prompt
        else:
            self._to_read = self._first_to_read = 0.0
        self._number += 1
        heappush(self._decoding, (self._made + request.output - 1, self._number, request))

    def _end(self, request: Request, now: float) -> None:
        request.done = now
        tokens = request.prompt + request.output
        self.placed -= 1
        self.outstanding -= 1
        self.reserved -= tokens
        self._kept = max(self._kept - tokens, 0.0)
        self.counted.requests += 1
        self.counted.prompt_sum += request.prompt
        self.counted.output_sum += request.output

    def _plan(self) -> float:
        """Fix what steps are like until something happens, and return when it does."""
        self._read = min(STEP_TOKENS - len(self._decoding), self._to_read) if self._prefilling else 0.0
        self._step_s = step_s = FIXED_S + PROMPT_TOKEN_S * self._read + KEPT_TOKEN_S * self._kept
        steps = inf
        if self._prefilling:
            steps = self._first_to_read / self._read
        if self._decoding:
            steps = min(steps, self._decoding[0][0] - self._made)
        return self.at + max(steps, 0.0) * step_s
