"""One public request from its first byte to its answer's last: identity, deadline, the client's presence, and how it ends."""

import asyncio
import os
import re
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from llm_sidecar.bodies import Bodies
from llm_sidecar.errors import LOST, NOT_BEGUN, Refusal, event
from llm_sidecar.hop.wire import DEADLINE, LOAD, PREFIX, UNSERVED
from llm_sidecar.http.cycle import Cycle, Header, Headers, lines
from llm_sidecar.live import Live
from llm_sidecar.shape import too_large

_LAST_WORDS_S = 5.0
_OK = 200
_EVENTS = b"text/event-stream; charset=utf-8"
_COMMENT = b": waiting for an engine\n\n"
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_READ = frozenset(
    {
        *(b"authorization", b"content-length", b"content-type", b"content-encoding", b"x-request-id", b"traceparent", b"tracestate"),
        DEADLINE.encode(),
    }
)
_TIME = re.compile(rb"[0-9]{1,12}(\.[0-9]{1,9})?")
_UNIT_BYTES = 16
_UNITS_AT_ONCE = 256
_TRACE = re.compile(rb"[\x21-\x7e][\x20-\x7e]{0,511}")


def new_id() -> str:
    """Return a fresh request id."""
    return _fresh_unit().hex()


_OURS = b"content-type: %b\r\nx-request-id: %b\r\nx-llm-revision: %b\r\n%b"
_NONE: Headers = (b"", 0)
_units: list[bytes] = []


def _fresh_unit() -> bytes:
    """Return random bytes nobody else has; the system is asked for many at once."""
    if not _units:
        block = os.urandom(_UNIT_BYTES * _UNITS_AT_ONCE)
        _units.extend(block[at : at + _UNIT_BYTES] for at in range(0, len(block), _UNIT_BYTES))
    return _units.pop()


def revision_of(live: Live | None) -> bytes:
    """Return what an answer names that no revision has given."""
    return live.name if live is not None else b"none"


def deadline_passed() -> Refusal:
    """Return what ends a request whose client does not wait any longer."""
    return Refusal(504, "deadline_exceeded", f"the time in {DEADLINE} has passed", param=DEADLINE)


class ClientGoneError(Exception):
    """The client left; nobody waits for an answer any more."""


class Failing(Protocol):
    """A stream that can be ended with an error."""

    def fail(self, refusal: Refusal) -> bytes:
        """Return what tells the client that the stream ends here and why."""


class Job(Protocol):
    """Who works on a request, and what there is to count at its end."""

    error: str
    failed: bool

    @property
    def stream(self) -> Failing | None:
        """Return the stream that has begun, if one has."""

    def count(self) -> None:
        """Add this request to the figures."""


class Exchange:
    """Holds a request together. ``end`` stops whatever it waits for, from a timer, a lost connection or a shutdown."""

    __slots__ = (
        "_bodies",
        "_counted_bytes",
        "_cycle",
        "_deadline",
        "_ended",
        "_late",
        "_task",
        "announced",
        "authorization",
        "booked",
        "close",
        "content",
        "content_length",
        "content_type",
        "deadline",
        "deadline_at",
        "degraded",
        "encoded",
        "held_s",
        "hop",
        "is_forced",
        "is_handed_off",
        "job",
        "key",
        "live",
        "load",
        "marks",
        "method",
        "own_address",
        "path",
        "preview",
        "request_id",
        "revision",
        "started",
        "started_at",
        "trace",
        "unit",
        "upstream_id",
    )

    def __init__(self, cycle: Cycle, live: Live | None) -> None:
        self._cycle = cycle
        self._task = cycle.task
        self._ended: Exception | None = None
        self._deadline = cycle.link.deadline
        self._late: Callable[[], Refusal] | None = None
        self.started_at = time.perf_counter()
        self.announced = False
        self._bodies: Bodies | None = None
        self._counted_bytes = 0
        self.booked = 0
        self.started = False
        self.close = False
        self.degraded: list[str] | None = None
        self.deadline = b""
        self.deadline_at: float | None = None
        self.live = live
        self.revision = live.name if live is not None else b"none"
        self.method = cycle.method
        self.path = cycle.path
        self.content_length: int | None = None
        self.content_type = b""
        self.encoded = False
        self.authorization = b""
        self.key = ""
        self.content: bytes | None = None
        self.held_s = 0.0
        self.hop = ""
        self.is_handed_off = False
        self.is_forced = False
        self.preview = ""
        self.load: Callable[[], float] | None = None
        self.job: Job | None = None
        self.marks: dict[bytes, bytes] | None = None
        self.own_address = cycle.link.address
        self.trace: tuple[tuple[str, str], ...] = ()
        self.unit = _fresh_unit()
        self.upstream_id = self.unit.hex()
        self.request_id = self.upstream_id.encode()
        self._read_headers(cycle.headers)
        cycle.gone = self._gone

    def end(self, reason: Exception) -> None:
        """Stop this request for a reason that ``reason_for`` gives back."""
        if self._ended is None and self._task is not None:
            self._ended = reason
            self._task.cancel()

    def limit(self, seconds: float, late: Callable[[], Refusal]) -> None:
        """End this request with a refusal this much time after it came, time held apart; replaces an earlier limit."""
        now = time.perf_counter()
        left = self.started_at + self.held_s + seconds - now
        if self.deadline_at is not None and self.deadline_at - now < left:
            left, late = self.deadline_at - now, deadline_passed
        self._late = late
        self._deadline.set(asyncio.get_running_loop().time() + left, self._expire)

    def no_limit(self) -> None:
        """Let this request take as long as its client likes until the next limit."""
        self._deadline.clear()
        if self.deadline_at is not None:
            self.limit(float("inf"), deadline_passed)

    def heed_deadline(self) -> None:
        """Hold this request to the deadline its client has set, or raise Refusal: one that is none, or has passed already."""
        if not _TIME.fullmatch(self.deadline):
            raise Refusal(400, "invalid_deadline", f"{DEADLINE} is not a time in seconds since 1970", param=DEADLINE)
        left = float(self.deadline) - time.time()
        if left <= 0:
            raise deadline_passed()
        self.deadline_at = time.perf_counter() + left

    def reason_for(self, cancelled: asyncio.CancelledError) -> Exception:
        """Return why this request was ended; a cancellation that is not ours goes on."""
        if self._ended is None or self._task is None:
            raise cancelled
        self._task.uncancel()
        return self._ended

    async def close_with(self, last: Awaitable[None]) -> None:
        """Send the last bytes of a request that failed; a client that does not read them is cut off."""
        try:
            async with asyncio.timeout(_LAST_WORDS_S):
                await last
        except TimeoutError:
            await self.cut()
        except asyncio.CancelledError as cancelled:
            self.reason_for(cancelled)

    async def cut(self) -> None:
        """Drop the connection in the middle of an answer that cannot be completed."""
        self._cycle.link.transport.abort()
        await self._cycle.lost()

    def finish(self) -> None:
        """Let go of timer, client and room."""
        self.give_back()
        self._deadline.clear()
        self._cycle.gone = None
        self._task = None

    @property
    def headers(self) -> list[Header]:
        """Return all headers of the request."""
        return self._cycle.headers

    @property
    def own_name(self) -> str:
        """Return this pod's address as other pods know it."""
        return f"{self.own_address[0]}:{self.own_address[1]}" if self.own_address is not None else ""

    @property
    def arrived(self) -> bool:
        """Return whether all of the body is here."""
        return self.content is not None or self._cycle.body_complete

    def reserve(self, bodies: Bodies) -> None:
        """Take room for a body that was not read yet: for as much as it is said to be, else for what comes; or raise Refusal."""
        if self._bodies is None and self.content is None:
            if self.content_length:
                bodies.take(self.content_length)
                self._counted_bytes = self.content_length
            self._bodies = bodies

    def give_back(self) -> None:
        """Give back the room of the body: nobody works on it any more, or it is counted elsewhere."""
        if self._counted_bytes and self._bodies is not None:
            self._bodies.give_back(self._counted_bytes)
            self._counted_bytes = 0

    def _check_size(self, size: int, limit: int) -> None:
        """Raise Refusal for a body that is too large, or for which there is no room."""
        if size > limit:
            raise too_large(limit)
        if size > self._counted_bytes and self._bodies is not None:
            self._bodies.take(size - self._counted_bytes)
            self._counted_bytes = size

    def body(self, limit: int) -> bytes:
        """Return a body that has arrived, or raise Refusal. It is kept: another engine may have to be asked."""
        body = self.content
        if body is None:
            body = self._cycle.take()
            self._check_size(len(body), limit)
            self.content = body
        elif len(body) > limit:
            raise too_large(limit)
        return body

    async def receive(self, limit: int) -> None:
        """Wait until all of the body is here, and never read more of it than the limit or than there is room for."""
        cycle = self._cycle
        parts: list[bytes] = []
        size = 0
        while self.content is None:
            if cycle.disconnected:
                raise ClientGoneError
            is_last = cycle.body_complete
            parts.append(cycle.take())
            size += len(parts[-1])
            self._check_size(size, limit)
            if is_last:
                self.content = b"".join(parts)
            else:
                await cycle.more()

    def keep_alive(self) -> None:
        """Send a comment to a client that waits for a stream, behind the head of one: whatever comes of it then comes as events."""
        if not self.announced:
            self._cycle.begin(_OK, self._headers(_EVENTS, ()), None)
            self.announced = True
        if not self._cycle.link.blocked:
            self._cycle.write(_COMMENT, more=True)

    async def begin(self, status: int, content_type: bytes, length: int | None, extra: tuple[Header, ...] = ()) -> None:
        """Send status and headers, unless those of a stream were sent while it had to wait."""
        headers = self._headers(content_type, extra)
        self.started = True
        if not self.announced:
            self._cycle.begin(status, headers, length)

    async def write(self, data: bytes, *, more: bool) -> None:
        """Send a piece of the body; waits while the client reads slowly."""
        if self._cycle.link.blocked:
            await self._cycle.link.drain()
        self._cycle.write(data, more=more)

    async def answer(self, status: int, body: bytes, content_type: bytes = b"application/json", extra: tuple[Header, ...] = ()) -> None:
        """Send a whole answer."""
        headers = self._headers(content_type, extra)
        self.started = True
        if self._cycle.link.blocked:
            await self._cycle.link.drain()
        if self.announced:
            self._cycle.write(event(body), more=False)
        else:
            self._cycle.answer(status, headers, body)

    def _headers(self, content_type: bytes, extra: tuple[Header, ...]) -> Headers:
        if self.close:
            self._cycle.keep_alive = False
        if self.load is not None:
            extra = (*extra, (LOAD, b"%.3f" % self.load()))
        if self.degraded:
            extra = (*extra, (b"x-llm-degraded", ", ".join(self.degraded).encode()))
        text, count = lines(extra) if extra else _NONE
        return _OURS % (content_type, self.request_id, self.revision, text), count + _OURS.count(b"\n")

    async def refuse(self, refusal: Refusal) -> None:
        """Send a refusal."""
        extra = tuple(refusal.headers)
        if refusal.retry_after_s is not None:
            extra = (*extra, (b"retry-after", str(refusal.retry_after_s).encode()))
        if self.hop and (refusal.code in NOT_BEGUN or refusal.code in LOST):
            extra = (*extra, (UNSERVED, refusal.code.encode()))
        await self.answer(refusal.status, refusal.body(), extra=extra)

    def _expire(self) -> None:
        if self._late is not None:
            self.end(self._late())

    def _gone(self) -> None:
        self.end(ClientGoneError())

    def _read_headers(self, headers: list[Header]) -> None:
        for name, value in headers:
            if name in _READ:
                self._read_header(name, value)
            elif name.startswith(PREFIX):
                self.marks = {**(self.marks or {}), name: value}

    def _read_header(self, name: bytes, value: bytes) -> None:
        if name == b"content-length":
            self.content_length = int(value)
        elif name == b"content-type":
            self.content_type = value
        elif name == b"authorization":
            self.authorization = value
        elif name == b"content-encoding":
            self.encoded = value.lower() != b"identity"
        elif name == b"x-request-id":
            if _REQUEST_ID.fullmatch(value):
                # At the engine an id must be unique among what runs, and clients repeat theirs when they retry.
                self.upstream_id = f"{value.decode()}-{self.unit.hex()[:8]}"
                self.request_id = value
        elif name == b"x-request-deadline":
            self.deadline = value
        elif _TRACE.fullmatch(value):
            self.trace = (*self.trace, (name.decode(), value.decode()))
