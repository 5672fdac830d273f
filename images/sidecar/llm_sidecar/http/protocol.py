"""The server side of a connection: parsed by llhttp, bounded in size and time, one request after the other in the order they came.

uvicorn accepts connections and closes them when it is time; what lies between is here. Its own protocol builds an ASGI scope, a dozen
objects and two timers per request, which is most of what this proxy would cost.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, cast

import httptools
import uvicorn
from uvicorn.server import ServerState

from llm_sidecar.errors import Refusal
from llm_sidecar.http.alarm import Alarm
from llm_sidecar.http.cycle import HIGH_WATER, Cycle, Header, lines
from llm_sidecar.http.upgrade import offers_http2, without_offer
from llm_sidecar.outbox import Outbox

MAX_HEADER_BYTES = 32 * 1024
MAX_HEADER_COUNT = 128
HEADER_TIMEOUT_S = 10.0
MAX_AGE_S = 30.0
"""How long a connection is kept at most, the last answer on it apart: a pod that has just come gets its part of them this soon."""

MAX_AHEAD = 4
"""Requests that may wait behind the one that is answered before reading pauses: who reads nothing hears of no client that leaves."""

LINGER_S = 10.0
"""How long the rest of a body nobody wants is read, so that the client sees the answer instead of a reset."""

_log = logging.getLogger(__name__)
_JSON = (b"content-type", b"application/json")

App = Callable[[Cycle], Awaitable[None]]


class BoundedProtocol(asyncio.Protocol):
    """Reads request heads of at most so many bytes within so many seconds, runs the app for each, and tells it when the client leaves."""

    def __init__(
        self, config: uvicorn.Config, server_state: ServerState, app_state: dict[str, Any], _loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        del app_state  # there is no lifespan
        if not config.loaded:
            config.load()
        self._app = cast("App", config.loaded_app)
        self._loop = _loop or asyncio.get_running_loop()
        self._state = server_state
        self._keep_alive_s = config.timeout_keep_alive
        self._parser: Any = self._new_parser()
        self.transport: asyncio.Transport
        self.address: tuple[str, int] | None = None
        self.blocked = False
        self._old_at = 0.0
        self._date = b""
        self._dated: list[Header] = []
        self._running: Cycle | None = None
        self._reading: Cycle | None = None
        self._outbox = Outbox.of(self._loop)
        self._unsent: list[bytes] = []
        self._pipeline: deque[Cycle] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._idle = Alarm(self._loop)
        self.deadline = Alarm(self._loop)
        self._reading_paused = False
        self._writable = asyncio.Event()
        self._writable.set()
        self._in_head = True
        self._begun = False
        self._offered = False
        self._head_bytes = 0
        self._framing_bytes = 0
        self._url = b""
        self._headers: list[Header] = []

    # For the app, through its cycle.

    def write(self, data: bytes) -> None:
        """Send bytes at the end of this turn of the loop, or at once when they are many."""
        self._unsent.append(data)
        if len(data) > HIGH_WATER:
            self._send()
        elif len(self._unsent) == 1:
            self._outbox.add(self._send)

    def close(self) -> None:
        """Send what is to be sent, and close; a client that does not read it is cut off."""
        self._send()
        self.transport.close()
        self._look_after(0)

    def pause_reading(self) -> None:
        """Take nothing more from the client for now."""
        if not self._reading_paused:
            self._reading_paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Go on; but not while many requests wait behind the one that is answered, or the last of them has sent much."""
        reading = self._reading
        full = reading is not None and reading.is_full and not reading.complete
        if self._reading_paused and not full and len(self._pipeline) <= MAX_AHEAD:
            self._reading_paused = False
            self.transport.resume_reading()

    async def drain(self) -> None:
        """Wait until the client has read enough, or has gone."""
        await self._writable.wait()

    def completed(self, cycle: Cycle) -> None:
        """Go on behind a complete answer: with the next request, or waiting for it, or reading the rest of a body for a while."""
        self._state.total_requests += 1
        self.deadline.clear()
        if not cycle.keep_alive:
            self.close()
        if self.transport.is_closing():
            return
        if not self._in_head and self._timer is None and self._reading is cycle:
            self._arm(LINGER_S)
        if self._pipeline:
            self._start(self._pipeline.pop())
        elif self._in_head and not self._begun:
            self._rest()
        elif self._in_head and self._timer is None:
            self._arm(HEADER_TIMEOUT_S)
        self.resume_reading()

    # For the server.

    def shutdown(self) -> None:
        """Close as soon as what has begun is answered."""
        if self._reading is None or self._reading.complete:
            self.close()
        else:
            self._reading.keep_alive = False

    # For the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Give the first request head its time."""
        self.transport = cast("asyncio.Transport", transport)
        self.address = transport.get_extra_info("sockname")
        self._state.connections.add(cast("Any", self))
        self._old_at = self._loop.time() + MAX_AGE_S * random.uniform(0.7, 1)  # noqa: S311  # so that they don't all come again at once
        self._arm(HEADER_TIMEOUT_S)

    def data_received(self, data: bytes) -> None:
        """Count what belongs to a head before it is parsed: a header may never end."""
        if self.transport.is_closing():
            return
        counted = self._in_head
        if counted:
            self._head_bytes += len(data)
        else:
            self._framing_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as stopped:
            self._go_on_without_offer(data[stopped.args[0] :])
        except httptools.HttpParserError:
            self._refuse(400, "invalid_http", "Invalid HTTP request received")
        if self.transport.is_closing():
            return
        if not self._in_head:
            if self._framing_bytes > MAX_HEADER_BYTES:
                self._refuse(431, "headers_too_large", f"the request's trailers are larger than {MAX_HEADER_BYTES} bytes")
        elif counted and self._head_bytes > MAX_HEADER_BYTES:
            self._refuse(431, "headers_too_large", f"the request's head is larger than {MAX_HEADER_BYTES} bytes")
        elif self._timer is None and not (self._reading_paused or self._answers) and (self._begun or self._head_bytes):
            self._arm(HEADER_TIMEOUT_S)

    def pause_writing(self) -> None:
        """Note that the client reads too slowly."""
        self.blocked = True
        self._writable.clear()

    def resume_writing(self) -> None:
        """Note that the client has caught up."""
        self.blocked = False
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # the transport's signature
        """Tell whoever waits for this client."""
        self._disarm()
        self._idle.close()
        self.deadline.close()
        self._state.connections.discard(cast("Any", self))
        self._pipeline.clear()
        self._parser = None
        if self._running is not None and not self._running.complete:
            self._running.disconnect()
        else:
            self._let_go()
        self.resume_writing()

    # For the parser.

    def on_message_begin(self) -> None:
        """Begin a head."""
        self._idle.clear()
        self._url = b""
        self._headers = []
        self._in_head = self._begun = True

    def on_url(self, url: bytes) -> None:
        """Keep the target, which may come in pieces."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep one header; what stands behind a body is none, whatever it is called."""
        if self._in_head:
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """End a head; one that cannot be accepted is answered in the app's place and ends the connection."""
        changes = self._parser.should_upgrade()
        if changes and offers_http2(self._headers):
            self._offered = True  # the parser stops here
            return
        self._in_head = self._begun = False
        refusal = self._judge(changes=changes)
        self._head_bytes = self._framing_bytes = 0
        self._disarm()
        parser = self._parser
        is_old = parser.get_http_version() == "1.0"
        cycle = Cycle(
            self,
            parser.get_method().decode("ascii"),
            self._url.partition(b"?")[0],
            self._headers,
            keep_alive=self._loop.time() < self._old_at and parser.should_keep_alive() and not is_old,
            chunks=not is_old,
            refusal=refusal,
        )
        previous, self._reading = self._reading, cycle
        if previous is None or previous.complete:
            self._start(cycle)
        else:
            self._pipeline.appendleft(cycle)
            if len(self._pipeline) > MAX_AHEAD:
                self.pause_reading()

    def on_body(self, body: bytes) -> None:
        """Hand on a piece of a body, unless it has been answered without."""
        self._framing_bytes = 0
        cycle = cast("Cycle", self._reading)
        if not cycle.complete:
            cycle.feed(body)

    def on_message_complete(self) -> None:
        """Stop the clock of a body that was read only to be thrown away; the next head may begin."""
        if self._offered:
            return
        self._disarm()
        self._in_head = True
        cycle = cast("Cycle", self._reading)
        cycle.end_body()
        if cycle.complete:
            self._rest()

    @property
    def date(self) -> bytes:
        """Return the line with the date, as the server keeps it."""
        dated = self._state.default_headers
        if dated is not self._dated:
            self._dated = dated
            self._date = b"".join([b"%b: %b\r\n" % header for header in dated])
        return self._date

    @property
    def _answers(self) -> bool:
        """Whether a request is being answered: what has come of the next one has its time afterwards, in `completed`."""
        return self._running is not None and not self._running.complete

    def _new_parser(self) -> Any:
        parser = httptools.HttpRequestParser(self)
        # Bytes behind a request that ends the connection are dropped instead of making it an error.
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return parser

    def _go_on_without_offer(self, rest: bytes) -> None:
        """Read a head again without its offer of HTTP/2, and what is behind it; one that wanted something else was refused."""
        while self._offered:
            self._offered = False
            old, self._parser = self._parser, self._new_parser()
            data = without_offer(old.get_method(), self._url, old.get_http_version(), self._headers) + rest
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as stopped:
                rest = data[stopped.args[0] :]
            except httptools.HttpParserError:
                self._refuse(400, "invalid_http", "Invalid HTTP request received")

    def _send(self) -> None:
        unsent = self._unsent
        if unsent:
            self._unsent = []
            if not self.transport.is_closing():
                self.transport.write(unsent[0] if len(unsent) == 1 else b"".join(unsent))

    def _start(self, cycle: Cycle) -> None:
        if self.transport.is_closing():
            return  # what came in one piece with a request that ended the connection
        self._running = cycle
        if cycle.refusal is not None:
            self._answer(cycle, cycle.refusal)
            return
        task = self._loop.create_task(self._run(cycle))
        self._state.tasks.add(task)
        cycle.task = task

    async def _run(self, cycle: Cycle) -> None:
        try:
            if not cycle.disconnected:
                await self._app(cycle)
        except Exception:  # noqa: BLE001  # whatever it is, the client does not wait for it
            _log.exception("request failed path=%s", cycle.path)
        finally:
            if cycle.task is not None:
                self._state.tasks.discard(cycle.task)
            if not cycle.complete and not cycle.disconnected:
                self.close()
            if self._parser is None:
                self._let_go()

    def _let_go(self) -> None:
        """Forget requests of a connection that is gone: they know it, so nobody else would let go of either."""
        self._running = self._reading = None

    def _answer(self, cycle: Cycle, refusal: Refusal) -> None:
        """Answer in the app's place, and end the connection."""
        cycle.keep_alive = False
        cycle.answer(refusal.status, lines([_JSON, *self._stamp()]), refusal.body())

    def _judge(self, *, changes: bool) -> Refusal | None:
        # The raw target decides: what a URL parser would make of another form must not matter.
        if self._url[:1] != b"/" or self._url[:2] == b"//":
            return Refusal(400, "invalid_target", "the request target is not a plain path")
        if self._head_size() > MAX_HEADER_BYTES or len(self._headers) > MAX_HEADER_COUNT:
            return Refusal(431, "headers_too_large", f"the head is larger than {MAX_HEADER_BYTES} bytes or {MAX_HEADER_COUNT} headers")
        if changes:
            return Refusal(400, "upgrade_not_supported", "this server speaks HTTP/1.1 only; send the request without Upgrade")
        return None

    def _head_size(self) -> int:
        # What was counted as it came is an upper bound; a head sent ahead, behind another request, was not counted.
        if 0 < self._head_bytes <= MAX_HEADER_BYTES:
            return self._head_bytes
        return len(self._url) + sum(len(name) + len(value) + 4 for name, value in self._headers)

    def _stamp(self) -> list[Header]:
        # An app that marks its own answers marks those given in its place too.
        stamp = getattr(self._app, "stamp", None)
        return stamp() if stamp is not None else []

    def _refuse(self, status: int, code: str, message: str) -> None:
        """Answer bytes that did not become a request, but never into the middle of an answer."""
        running = self._running
        if running is None or running.complete:
            unread = Cycle(self, "", b"", [], keep_alive=False)
            self._answer(unread, Refusal(status, code, message))
        elif not running.started:
            self._answer(running, Refusal(status, code, message))
            running.disconnect()  # else whoever works on it would wait for the rest of its body for ever
        self.close()

    def _rest(self) -> None:
        """Wait for the next request, but not for ever."""
        self._idle.set(self._loop.time() + self._keep_alive_s, self.close)

    def _look_after(self, unread: int) -> None:
        """Drop the connection if the client has read nothing since the last look, else look again."""
        left = self.transport.get_write_buffer_size()
        if left and left == unread:
            self.transport.abort()
        elif left:
            self._loop.call_later(self._keep_alive_s, self._look_after, left)

    def _arm(self, seconds: float) -> None:
        self._disarm()
        self._timer = self._loop.call_later(seconds, self._expired)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expired(self) -> None:
        self._timer = None
        if self.transport.is_closing():
            return
        if self._in_head:
            self._refuse(408, "head_timeout", f"the request's head did not arrive within {HEADER_TIMEOUT_S:g} s")
        else:
            self.close()
