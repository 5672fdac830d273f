"""The pretended engine: slots and a queue, time per token, and the numbers a real one would count."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from .metrics import Metrics
from .options import Options


class BusyError(Exception):
    """More requests are in flight than --max-num-queued-reqs allows."""


class StoppedError(Exception):
    """The engine takes nothing new because it is shutting down."""


@dataclass
class Job:
    """One request inside the engine."""

    prompt_tokens: int
    max_tokens: int
    natural_end: str
    choices: int = 1
    extra_s: float = 0.0
    slowdown: float = 1.0
    made: int = 0
    finish: str = ""
    arrived: float = field(default_factory=time.monotonic)
    started: float = 0.0
    first: float = 0.0


class Engine:
    """Runs jobs at the configured pace, at most --max-num-seqs at once."""

    def __init__(self, options: Options, metrics: Metrics) -> None:
        self._options = options
        self._metrics = metrics
        self._queue: deque[asyncio.Future[None]] = deque()
        self._running: set[int] = set()
        self._tokens_held = 0
        self._pauses: set[asyncio.Future[None]] = set()
        self.jobs = 0
        self.closed = False
        self._aborting = False
        self._frozen = False

    def admit(self) -> None:
        """Raise if the engine would take no job now."""
        if self.closed:
            raise StoppedError
        limit = self._options.max_num_queued_reqs
        if limit is not None and self.jobs >= limit:
            self._metrics.add("admission_rejections", reason="max_num_queued_reqs")
            raise BusyError

    async def run(self, job: Job) -> AsyncGenerator[int]:
        """Yield how many tokens are made by then each time some are; afterwards ``job.finish`` says why there are no more."""
        self.jobs += 1
        try:
            await self._take_slot()
            try:
                async for made in self._generate(job):
                    yield made
            finally:
                self._give_slot(job)
        finally:
            self.jobs -= 1
            self._account(job)

    async def hang(self) -> None:
        """Never return, except by the caller's own end."""
        self.jobs += 1
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.jobs -= 1

    def abort_all(self) -> None:
        """End every job where it is, as vLLM does on SIGTERM without a shutdown timeout."""
        self.closed = self._aborting = True
        for pause in self._pauses:
            if not pause.done():
                pause.set_result(None)
        for waiter in self._queue:
            if not waiter.done():
                waiter.set_result(None)

    def freeze(self) -> None:
        """Stop making tokens while the connections stay open, as vLLM does when the shutdown timeout expires."""
        self.closed = self._frozen = True

    def refresh_gauges(self) -> None:
        """Bring the gauges to what is true now."""
        waiting = sum(not waiter.done() for waiter in self._queue)
        self._metrics.set("num_requests_running", len(self._running))
        self._metrics.set("num_requests_waiting", waiting)
        self._metrics.set("num_requests_waiting_by_reason", waiting, reason="capacity")
        self._metrics.set("kv_cache_usage_perc", min(self._tokens_held / max(self._options.pace.kv_tokens, 1), 1.0))

    async def _take_slot(self) -> None:
        if len(self._running) >= self._options.max_num_seqs:
            waiter = asyncio.get_running_loop().create_future()
            self._queue.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled():
                    self._wake_next()
                raise
            finally:
                if waiter in self._queue:
                    self._queue.remove(waiter)

    def _give_slot(self, job: Job) -> None:
        self._running.discard(id(job))
        self._tokens_held -= job.prompt_tokens + job.made * job.choices
        self._wake_next()

    def _wake_next(self) -> None:
        while self._queue:
            waiter = self._queue.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    async def _generate(self, job: Job) -> AsyncGenerator[int]:
        pace = self._options.pace
        self._running.add(id(job))
        self._tokens_held += job.prompt_tokens
        job.started = time.monotonic()
        self._count_prompt(job)
        prefill_s = job.prompt_tokens / pace.prefill_tokens_per_s if pace.prefill_tokens_per_s else 0.0
        await self._pause((pace.ttft_s + prefill_s) * job.slowdown + job.extra_s)
        interval_s = job.slowdown / pace.tokens_per_s if pace.tokens_per_s else 0.0
        job.first = time.monotonic()
        while job.made < job.max_tokens and not self._aborting:
            # When the loop is late, one step makes all tokens that are due: the rate stays true and a busy stub stays cheap.
            due = 1 + int((time.monotonic() - job.first) / interval_s) if interval_s else job.made + 1
            new = min(max(due, job.made + 1), job.max_tokens) - job.made
            job.made += new
            self._tokens_held += new * job.choices
            self._metrics.add("generation_tokens", new * job.choices)
            self._metrics.observe("iteration_tokens_total", new * job.choices)
            yield job.made
            if interval_s and job.made < job.max_tokens:
                await self._pause(job.first + job.made * interval_s - time.monotonic())
        job.finish = "abort" if job.made < job.max_tokens else job.natural_end

    async def _pause(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        if self._frozen:
            await loop.create_future()
        if self._aborting:
            return
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        pause: asyncio.Future[None] = loop.create_future()
        timer = loop.call_later(seconds, _wake, pause)
        self._pauses.add(pause)
        try:
            await pause
        finally:
            timer.cancel()
            self._pauses.discard(pause)
        if self._frozen:
            await loop.create_future()

    def _count_prompt(self, job: Job) -> None:
        self._metrics.add("prompt_tokens", job.prompt_tokens)
        self._metrics.add("prompt_tokens_by_source", job.prompt_tokens, source="local_compute")
        self._metrics.add("prefix_cache_queries", job.prompt_tokens)
        self._metrics.observe("request_prompt_tokens", job.prompt_tokens)
        self._metrics.observe("request_prefill_kv_computed_tokens", job.prompt_tokens)

    def _account(self, job: Job) -> None:
        now = time.monotonic()
        metrics = self._metrics
        metrics.add("request_success", finished_reason=job.finish or "abort")
        metrics.observe("e2e_request_latency_seconds", now - job.arrived)
        metrics.observe("request_params_n", job.choices)
        metrics.observe("request_params_max_tokens", job.max_tokens)
        metrics.observe("request_max_num_generation_tokens", job.max_tokens)
        metrics.observe("request_generation_tokens", job.made)
        metrics.observe("request_num_preemptions", 0)
        metrics.observe("request_queue_time_seconds", (job.started or now) - job.arrived)
        if not job.first:
            return
        metrics.observe("time_to_first_token_seconds", job.first - job.arrived)
        metrics.observe("request_prefill_time_seconds", job.first - job.started)
        metrics.observe("request_decode_time_seconds", now - job.first)
        metrics.observe("request_inference_time_seconds", now - job.started)
        if job.made > 1:
            per_token_s = (now - job.first) / (job.made - 1)
            metrics.observe("inter_token_latency_seconds", per_token_s, job.made - 1)
            metrics.observe("request_time_per_output_token_seconds", per_token_s)


def _wake(pause: asyncio.Future[None]) -> None:
    if not pause.done():
        pause.set_result(None)
