"""The line of those whom nobody can take: order, bounds, time."""

import asyncio

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from llm_sidecar.bodies import Bodies
from llm_sidecar.bundle import Limits
from llm_sidecar.errors import Refusal
from llm_sidecar.hop.hold import Hold, Place
from tests.properties import tried

LIMITS = Limits(hold_requests=4, hold_bytes=100, hold_timeout_ms=60_000, max_concurrency=2)
MOST_BYTES = 100


def hold_of(**changes: int) -> Hold:
    bodies = Bodies(0)
    bodies.allow(MOST_BYTES)
    hold = Hold(bodies)
    hold.set_limits(Limits(**{name: getattr(LIMITS, name) for name in LIMITS.__struct_fields__} | changes))
    return hold


async def test_a_request_that_waits_too_long_gets_429() -> None:
    hold = hold_of(hold_timeout_ms=50)
    place = hold.take(1)
    with pytest.raises(Refusal) as caught:
        await hold.wait(place)
    hold.leave(place)
    assert (caught.value.status, caught.value.code, caught.value.retry_after_s) == (429, "hold_timeout", 10)
    assert "within 0.05 s" in caught.value.message
    assert hold.waiting == 0
    assert place.held_s > 0


@pytest.mark.parametrize(("sizes", "size"), [((1, 1, 1, 1), 1), ((60,), 41)])
async def test_over_number_or_bytes_is_refused_at_once(sizes: tuple[int, ...], size: int) -> None:
    hold = hold_of()
    for each in sizes:
        hold.take(each)
    with pytest.raises(Refusal) as caught:
        hold.take(size)
    assert (caught.value.status, caught.value.code) == (429, "hold_full")
    assert caught.value.message.endswith("this deployment's limits.hold has room for 4 requests of 100 bytes")


async def test_a_body_that_can_never_wait_is_told_which_limit_to_raise_and_to_come_back_not() -> None:
    hold = hold_of()
    with pytest.raises(Refusal) as caught:
        hold.take(101)
    assert (caught.value.status, caught.value.code, caught.value.retry_after_s) == (413, "body_too_large", None)
    assert "101 bytes" in caught.value.message
    assert "limits.hold.bytes is 100" in caught.value.message
    assert hold.waiting == 0


async def test_who_leaves_makes_room_and_who_was_cancelled_in_the_moment_it_was_let_go_too() -> None:
    hold = hold_of(max_concurrency=1)
    first, second = hold.take(50), hold.take(50)
    waiting = [asyncio.create_task(hold.wait(place)) for place in (first, second)]
    await asyncio.sleep(0)
    hold.open()
    waiting[0].cancel()
    await asyncio.gather(*waiting[:1], return_exceptions=True)
    assert not second.turn.done()
    hold.leave(first)
    await waiting[1]
    hold.leave(second)
    hold.check(100)


async def test_as_many_go_at_once_as_all_pods_take_that_are_ready() -> None:
    hold = hold_of(hold_requests=9)
    places = [hold.take(1) for _ in range(7)]
    hold.open()
    assert sum(place.turn.done() for place in places) == 2, "as many as one takes, while nobody is known to be ready"
    for pods, out in ((3, 6), (1, 6), (0, 6)):
        hold.set_limits(hold._limits, pods)
        assert sum(place.turn.done() for place in places) == out
    for place in places[:5]:
        hold.leave(place)
    assert places[6].turn.done(), "who is out counts until it leaves, whoever has gone meanwhile"


async def test_who_is_first_waits_for_memory_and_nobody_overtakes_it() -> None:
    hold = hold_of(max_concurrency=9)
    hold._bodies.take(50)  # of requests that never waited
    first, second, third = hold.take(40), hold.take(20), hold.take(1)
    hold.open()
    assert [place.turn.done() for place in (first, second, third)] == [True, False, False]
    hold._bodies.give_back(50)
    hold.open()  # as the next look does that finds the engine
    assert [place.turn.done() for place in (second, third)] == [True, True]
    for place in (first, second, third):
        hold.leave(place)
    assert hold._bodies.bytes_taken == 0


async def test_when_the_start_has_failed_who_waits_and_who_comes_is_refused_until_it_has_not() -> None:
    hold = hold_of()
    place = hold.take(1)
    waiting = asyncio.create_task(hold.wait(place))
    await asyncio.sleep(0)
    hold.set_failed("not ready")
    with pytest.raises(Refusal) as waited:
        await waiting
    hold.leave(place)
    with pytest.raises(Refusal) as came:
        hold.take(1)
    for caught in (waited, came):
        assert (caught.value.status, caught.value.code, caught.value.retry_after_s) == (503, "start_failed", 30)
        assert caught.value.message.endswith("is not ready")
    assert hold.waiting == 0
    hold.set_failed("")
    again = hold.take(1)
    hold.open()
    await hold.wait(again)


async def test_bodies_that_are_coming_have_no_more_room_than_those_that_wait() -> None:
    hold = hold_of()
    hold.take(20)
    booked = hold.book(60)
    for enter in (hold.book, hold.take):
        with pytest.raises(Refusal) as caught:
            enter(21)
        assert (caught.value.status, caught.value.code) == (429, "hold_full")
        assert "of 80 bytes in all with those that are coming" in caught.value.message
    booked = hold.shrink(booked, 50)
    assert (booked, hold.shrink(hold.book(30), 0)) == (50, 0)
    place = hold.take(50, booked)
    hold.take(30)
    hold.leave(place)
    hold.take(50)


async def test_a_body_has_to_have_room_first_only_while_it_will_probably_have_to_wait() -> None:
    hold = hold_of()
    assert hold.counts, "nobody was reached yet"
    hold.reachable = True
    assert not hold.counts
    place = hold.take(1)
    assert hold.counts, "it would line up behind"
    hold.leave(place)
    assert not hold.counts
    hold = hold_of(hold_requests=0)
    assert not hold.counts, "nobody may wait"


async def test_the_first_to_wait_says_so() -> None:
    hold = hold_of()
    hold.take(1)
    assert hold.began.is_set()
    hold.began.clear()
    hold.take(1)
    assert not hold.began.is_set()


class HoldMachine(RuleBasedStateMachine):
    """A model of the line: numbers in the order they came, those let go, and whether it is open."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.hold = hold_of()
        self.places: list[Place] = []  # all that have not left, in the order they came
        self.out: list[Place] = []
        self.is_open = False

    def teardown(self) -> None:
        self.loop.close()

    def run(self, action: str, *arguments: Place | int) -> Place | None:
        async def call() -> Place | None:
            made: Place | None = getattr(self.hold, action)(*arguments)
            return made

        made = self.loop.run_until_complete(call())
        if made is not None:
            self.places.append(made)
        while self.is_open and self.waiting and len(self.out) < LIMITS.max_concurrency:
            if sum(place.size for place in (*self.out, self.waiting[0])) > MOST_BYTES:
                break
            self.out.append(self.waiting[0])
        return made

    @property
    def waiting(self) -> list[Place]:
        return [place for place in self.places if place not in self.out]

    @rule(size=st.integers(0, 60))
    def take(self, size: int) -> None:
        full = len(self.waiting) >= LIMITS.hold_requests or sum(place.size for place in self.waiting) + size > LIMITS.hold_bytes
        if full:
            with pytest.raises(Refusal):
                self.run("take", size)
            return
        if not self.waiting:
            self.is_open = False
        made = self.run("take", size)
        assert made is not None

    @rule()
    def open(self) -> None:
        self.is_open = True
        self.run("open")

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def back(self, data: st.DataObject) -> None:
        place = data.draw(st.sampled_from(self.out))
        self.out.remove(place)
        self.is_open = False
        self.run("back", place)

    @precondition(lambda self: self.places)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        place = data.draw(st.sampled_from(self.places))
        self.places.remove(place)
        if place in self.out:
            self.out.remove(place)
        self.run("leave", place)

    @invariant()
    def exactly_those_are_let_go_whose_turn_it_is(self) -> None:
        assert [place for place in self.places if place.turn.done()] == sorted(self.out, key=self.places.index)
        assert self.hold.waiting == len(self.waiting)

    @invariant()
    def bytes_and_numbers_are_those_of_the_waiting(self) -> None:
        assert self.hold._bytes == sum(place.size for place in self.waiting)

    @invariant()
    def bytes_that_are_served_are_those_of_the_others(self) -> None:
        assert self.hold._bodies.bytes_taken == sum(place.size for place in self.out) <= MOST_BYTES


TestHoldMachine = HoldMachine.TestCase
TestHoldMachine.settings = tried(40, stateful_step_count=30)
