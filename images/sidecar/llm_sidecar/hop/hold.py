"""The line of requests that no engine can take yet: first come first served, bounded in number and bytes, and only so long."""

import asyncio
import itertools
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from llm_sidecar.bodies import Bodies
from llm_sidecar.bundle import Limits
from llm_sidecar.errors import Refusal

TELLING_S = 10.0
"""Who waits for a stream hears something this often."""

_RETRY_AFTER_S, _FAILED_AFTER_S = 10, 30


@dataclass(eq=False, slots=True)
class Place:
    """One request's place. ``number`` is its turn, ``held_s`` how long it has waited so far."""

    number: int
    size: int
    deadline: float
    held_s: float = 0.0
    turn: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Hold:
    """Lets requests go in the order they came while it is open, and never more at once than the pods that are ready take, or the memory.

    It opens when an engine can be reached and closes when a request comes back unserved. A request that comes back has its old place,
    so nobody overtakes it. Bytes of a request that was let go are counted among those that are being served.
    """

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self._limits = Limits()
        self._pods = 1
        self._line: OrderedDict[int, Place] = OrderedDict()
        self._returned: dict[int, Place] = {}  # their numbers are below all those in the line
        self._out: dict[int, Place] = {}
        self._numbers = itertools.count()
        self._bytes = 0
        self._booked = 0
        self._open = False
        self._failed = ""
        self.telling_s = TELLING_S
        self.began = asyncio.Event()
        """Set when somebody begins to wait."""
        self.reachable = False
        """Whether an engine was reached lately."""

    @property
    def waiting(self) -> int:
        """Return how many requests wait."""
        return len(self._line) + len(self._returned)

    @property
    def enabled(self) -> bool:
        """Return whether requests may wait at all."""
        return self._limits.hold_requests > 0

    @property
    def counts(self) -> bool:
        """Return whether a body has to have room here before it is received: whose it is will probably have to wait."""
        return (not self.reachable or self.waiting > 0) and self.enabled

    @property
    def most_bytes(self) -> int:
        """Return the size of all bodies that may wait."""
        return self._limits.hold_bytes

    def set_limits(self, limits: Limits, pods: int = 1) -> None:
        """Apply new limits, those of each of so many pods; who waits stays. One that is reached need not be known to be ready."""
        self._limits, self._pods = limits, max(1, pods)
        self._let_go()

    def set_failed(self, words: str) -> None:
        """Say that the start of the engine that is waited for has failed, and refuse whoever waits; without words it has not."""
        self._failed = words
        for place in (*self._line.values(), *self._returned.values()) if words else ():
            if not place.turn.done():
                place.turn.set_exception(_start_failed(words))

    def check(self, size: int) -> None:
        """Raise Refusal: 503 when waiting is in vain, 429 when there is no room for this many bytes, 413 when there never is."""
        if self._failed:
            raise _start_failed(self._failed)
        self._check_room(size)

    def book(self, size: int) -> int:
        """Keep room for a body that is about to come, and return how much; or raise Refusal 429 or 413."""
        self._check_room(size)
        self._booked += size
        return size

    def shrink(self, booked: int, size: int) -> int:
        """Give back what of a booking a body did not need; return what is left of it."""
        left = min(booked, size)
        self._booked -= booked - left
        return left

    def _check_room(self, size: int) -> None:
        limits = self._limits
        if size > limits.hold_bytes:
            raise _too_large(size, limits.hold_bytes)
        if self.waiting >= limits.hold_requests or self._bytes + self._booked + size > limits.hold_bytes:
            raise Refusal(
                429,
                "hold_full",
                f"no engine can be reached, and {self.waiting} requests are waiting already, "
                f"of {self._bytes + self._booked} bytes in all with those that are coming; "
                f"this deployment's limits.hold has room for {limits.hold_requests} requests of {limits.hold_bytes} bytes",
                retry_after_s=_RETRY_AFTER_S,
            )

    def take(self, size: int, booked: int = 0) -> Place:
        """Take a place at the end of the line instead of a booking, or raise Refusal as ``check`` does."""
        self.shrink(booked, 0)
        self.check(size)
        if not self.waiting:
            self._open = False  # whoever comes first has just seen that nobody can be reached
            self.began.set()
        place = Place(next(self._numbers), size, asyncio.get_running_loop().time() + self._limits.hold_timeout_ms / 1000)
        self._line[place.number] = place
        self._bytes += size
        self._let_go()
        return place

    async def wait(self, place: Place, tell: Callable[[], None] | None = None) -> None:
        """Wait until the place is let go; ``tell`` is called every few seconds meanwhile.

        Raises Refusal 429 when that takes too long, and 503 when what is waited for has failed.
        """
        began = time.monotonic()
        try:
            async with asyncio.timeout_at(place.deadline):
                while tell is not None and not (await asyncio.wait({place.turn}, timeout=self.telling_s))[0]:
                    tell()
                await place.turn
        except TimeoutError:
            message = f"no engine could be reached within {self._limits.hold_timeout_ms / 1000:g} s, this deployment's limits.hold.timeout"
            raise Refusal(429, "hold_timeout", message, retry_after_s=_RETRY_AFTER_S) from None
        finally:
            place.held_s += time.monotonic() - began

    def back(self, place: Place) -> None:
        """Return to the old place: the request was not served after all, so nobody else is let go for now."""
        del self._out[place.number]
        place.turn = asyncio.get_running_loop().create_future()
        self._returned[place.number] = place
        self._bodies.give_back(place.size)
        self._bytes += place.size
        self._open = False

    def leave(self, place: Place) -> None:
        """Give the place up: the request was served, refused, or nobody waits for it any more."""
        if self._out.pop(place.number, None) is not None:
            self._bodies.give_back(place.size)
            self._let_go()
        elif (self._line.pop(place.number, None) or self._returned.pop(place.number, None)) is not None:
            self._bytes -= place.size

    def open(self) -> None:
        """Let requests go: an engine can be reached."""
        self._open = True
        self._let_go()

    def _let_go(self) -> None:
        while self._open and self.waiting and len(self._out) < self._limits.max_concurrency * self._pods:
            line = self._returned or self._line
            place = line[min(self._returned) if self._returned else next(iter(self._line))]
            if not self._bodies.has_room(place.size):
                return  # nobody overtakes it; whoever leaves lets it go, or the next look that finds the engine
            del line[place.number]
            self._bodies.take(place.size)
            self._bytes -= place.size
            self._out[place.number] = place
            if not place.turn.done():
                place.turn.set_result(None)


def _too_large(size: int, limit: int) -> Refusal:
    return Refusal(
        413,
        "body_too_large",
        f"no engine can be reached, and a body of {size} bytes cannot wait for one: "
        f"this deployment's limits.hold.bytes is {limit}; send a smaller body, or raise it",
    )


def _start_failed(words: str) -> Refusal:
    return Refusal(
        503, "start_failed", f"no engine can be reached, and the last one that was started is {words}", retry_after_s=_FAILED_AFTER_S
    )
