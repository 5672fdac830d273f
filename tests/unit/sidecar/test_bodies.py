"""The bytes of bodies that are served together: how many there may be, and that none is lost or counted twice."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_sidecar.bodies import COPIES, PROGRAM_BYTES, Bodies
from llm_sidecar.bundle import Limits
from llm_sidecar.errors import Refusal
from llm_sidecar.hop.hold import Hold, Place
from llm_sidecar.http.alarm import Alarm
from llm_sidecar.http.cycle import Cycle
from llm_sidecar.http.exchange import ClientGoneError, Exchange
from tests.properties import tried

GIB = 1 << 30
LARGEST = 60


def bodies_of(most_bytes: int) -> Bodies:
    bodies = Bodies(0)
    bodies.allow(most_bytes)
    return bodies


def test_the_copies_of_all_bodies_and_those_that_wait_and_the_program_fit_into_the_memory() -> None:
    most = Bodies(GIB).most_bytes
    assert most == 112 << 20
    assert COPIES * most + PROGRAM_BYTES + GIB // 2 <= GIB


@pytest.mark.parametrize("memory_bytes", [0, 1, PROGRAM_BYTES, GIB])
def test_a_single_body_that_is_allowed_fits_whatever_the_memory_is_and_also_when_the_limit_is_lowered_meanwhile(memory_bytes: int) -> None:
    bodies = Bodies(memory_bytes)
    bodies.allow(200 << 20)
    bodies.allow(1)
    bodies.take(200 << 20)
    assert not bodies.has_room(1)


def test_what_does_not_fit_is_told_why_and_to_come_back_and_takes_nothing() -> None:
    bodies = bodies_of(100)
    bodies.take(60)
    with pytest.raises(Refusal) as caught:
        bodies.take(41)
    assert (caught.value.status, caught.value.code, caught.value.retry_after_s) == (429, "bodies_full", 2)
    assert caught.value.message == "this server works on bodies of 60 bytes, and has memory for 100: no room for 41 more"
    bodies.take(40)
    bodies.give_back(100)
    assert bodies.bytes_taken == 0


class Line:
    """What a request needs of its connection while nothing is sent."""

    transport: Any = None
    address: tuple[str, int] | None = None
    blocked = False
    date = b""

    def __init__(self) -> None:
        self.deadline = Alarm(asyncio.get_running_loop())

    async def drain(self) -> None: ...
    def write(self, data: bytes) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def completed(self, cycle: Cycle) -> None: ...


async def test_what_has_come_of_a_body_is_dropped_when_it_is_answered_without() -> None:
    cycle = Cycle(Line(), "POST", b"/", [], keep_alive=True)
    cycle.feed(b"x" * 100)
    cycle.answer(429, (b"", 0), b"no room")
    assert cycle.take() == b""


@dataclass(eq=False)
class Client:
    """One request whose body comes in pieces, as the sidecar takes it: read, and then worked on until it is let go of."""

    bodies: Bodies
    hold: Hold
    said: int | None
    sent: int = 0
    place: Place | None = None
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        headers = [(b"content-length", b"%d" % self.said)] if self.said is not None else []
        self.cycle = Cycle(Line(), "POST", b"/", headers, keep_alive=True)
        self.task = self.cycle.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        exchange = self.exchange = Exchange(self.cycle, None)
        try:
            exchange.reserve(self.bodies)
            await exchange.receive(LARGEST)
            exchange.reserve(self.bodies)  # whoever serves it asks for room, too
            await self.done.wait()
        except (Refusal, ClientGoneError, asyncio.CancelledError):
            pass
        finally:
            if self.place is not None:
                self.hold.leave(self.place)
            exchange.finish()

    def can(self, what: str) -> bool:
        if self.task.done():
            return False
        if what == "park":
            return self.is_read and (self.place is None or self.is_out)
        return not self.cycle.body_complete if what in {"chunk", "end"} else True

    def do(self, what: str, number: int) -> None:
        if what == "chunk":
            self.feed(number)
        elif what == "end":
            self.end()
        elif what == "abort":
            self.cycle.disconnect()
        elif what == "done":
            self.done.set()
        else:
            self.park()

    def feed(self, size: int) -> None:
        size = size if self.said is None else min(size, self.said - self.sent)
        if size and not self.cycle.body_complete:
            self.sent += size
            self.cycle.feed(b"x" * size)

    def end(self) -> None:
        self.feed((self.said or 0) - self.sent)
        self.cycle.end_body()

    def park(self) -> None:
        """Nobody can be reached with it: it waits, or comes back to its place."""
        if self.place is not None:
            self.hold.back(self.place)
            return
        self.exchange.give_back()
        try:
            self.place = self.hold.take(self.sent)
        except Refusal:
            self.done.set()

    @property
    def has_begun(self) -> bool:
        return hasattr(self, "exchange")

    @property
    def is_read(self) -> bool:
        return not self.task.done() and self.has_begun and self.exchange.content is not None

    @property
    def is_out(self) -> bool:
        return self.place is not None and self.place.number in self.hold._out


class Play:
    """A sidecar's room for bodies, and clients that do one thing after the other."""

    def __init__(self, most: int) -> None:
        self.bodies = bodies_of(most)
        self.hold = Hold(self.bodies)
        self.hold.set_limits(Limits(hold_requests=4, hold_bytes=200, max_concurrency=3))
        self.clients: list[Client] = []

    def step(self, what: str, number: int) -> None:
        there = [client for client in self.clients if client.can(what)]
        if what == "start":
            self.clients.append(Client(self.bodies, self.hold, number if number % 2 and number <= LARGEST else None))
        elif what == "open":
            self.hold.open()
        elif there:
            there[number % len(there)].do(what, number)

    async def end(self) -> None:
        for client in self.clients:
            client.cycle.disconnect()
        await asyncio.gather(*(client.task for client in self.clients))

    def check(self) -> None:
        served = sum(client.exchange._counted_bytes for client in self.clients if client.has_begun)
        assert self.bodies.bytes_taken == served + sum(place.size for place in self.hold._out.values())
        assert 0 <= self.bodies.bytes_taken <= self.bodies.most_bytes


KINDS = ["start", "start", "chunk", "end", "end", "end", "park", "park", "park", "open", "open", "open", "abort", "done"]
STEPS = st.tuples(st.sampled_from(KINDS), st.integers(0, LARGEST + 10), st.integers(0, 2))


@given(st.lists(STEPS, min_size=20, max_size=60), st.integers(LARGEST, 150))
@tried(200)
def test_whatever_happens_to_bodies_their_bytes_add_up_and_are_never_too_many(steps: list[tuple[str, int, int]], most: int) -> None:
    async def play() -> None:
        sidecar = Play(most)
        for what, number, turns in steps:
            sidecar.step(what, number)
            sidecar.check()
            for _ in range(turns):
                await asyncio.sleep(0)
                sidecar.check()
        await sidecar.end()
        assert (sidecar.bodies.bytes_taken, sidecar.hold.waiting, sidecar.hold._bytes) == (0, 0, 0)

    asyncio.run(play())
