from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from llm_operator.core.lease import LEASE_S, RENEW_S, RETRY_S, Lease, Seen, claim, deadline, decide, freed, observe, read
from tests.properties import tried

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
STAMP = "2026-01-02T03:04:05.000000Z"


def lease(holder: str, **changes: Any) -> Lease:
    return Lease(holder=holder, acquired=STAMP, version="7", **changes)


@pytest.mark.parametrize(
    ("seen", "now", "do", "reason", "wait_s"),
    [
        (Seen(Lease(), 100), 100, "Acquire", "Free", RETRY_S),
        (Seen(lease(""), 100), 100, "Acquire", "Free", RETRY_S),
        (Seen(lease("me"), 100), 101, "Renew", "Held", RETRY_S),
        (Seen(lease("me"), 100), 999, "Renew", "Held", RETRY_S),
        (Seen(lease("other"), 100), 100, "Wait", "HeldByAnother", RETRY_S),
        (Seen(lease("other"), 100), 114.5, "Wait", "HeldByAnother", 0.5),
        (Seen(lease("other"), 100), 115, "Acquire", "Expired", RETRY_S),
        (Seen(lease("other", duration_s=30), 100), 115, "Wait", "HeldByAnother", RETRY_S),
    ],
    ids=["none", "free", "mine", "mine for ever", "just seen", "about to end", "over", "a longer one"],
)
def test_what_to_do_about_a_lease(seen: Seen, now: float, do: str, reason: str, wait_s: float) -> None:
    decided = decide(seen, now, "me")
    assert (decided.do, decided.reason, decided.wait_s) == (do, reason, wait_s)
    assert decided.message


def test_a_lease_counts_from_when_it_was_seen_to_change_whatever_it_says_of_itself() -> None:
    first = observe(None, lease("other"), 100)
    assert observe(first, lease("other"), 110) == Seen(lease("other"), 100)
    renewed = read({"metadata": {"resourceVersion": "8"}, "spec": {"holderIdentity": "other", "renewTime": "1999-01-01T00:00:00.000000Z"}})
    assert observe(first, renewed, 110).since == 110


def test_a_lease_that_goes_away_is_its_holders_until_it_would_have_run_out() -> None:
    held = Seen(lease("other"), 100)
    gone = observe(held, None, 105)
    assert gone.lease.version == ""
    assert decide(gone, 105, "me").reason == "HeldByAnother"
    assert decide(observe(gone, None, 115), 115, "me").reason == "Expired"
    assert decide(observe(None, None, 100), 100, "me").reason == "Free"


@pytest.mark.parametrize(
    ("manifest", "expected"),
    [
        ({}, Lease()),
        ({"metadata": "no", "spec": ["no"]}, Lease()),
        ({"metadata": {"resourceVersion": "7"}, "spec": {}}, Lease(version="7")),
        ({"spec": {"holderIdentity": 5, "leaseDurationSeconds": "long", "leaseTransitions": None}}, Lease(holder="5")),
        ({"spec": {"holderIdentity": "x", "leaseDurationSeconds": 10**9, "renewTime": "soon"}}, Lease(holder="x")),
        (
            {"spec": {"holderIdentity": "x", "leaseDurationSeconds": 1, "acquireTime": STAMP, "leaseTransitions": 3}},
            Lease("x", 1.0, STAMP, 3),
        ),
    ],
    ids=["nothing", "another shape", "empty", "other types", "a duration without end", "as it should be"],
)
def test_a_lease_is_read_whatever_is_in_it(manifest: dict[str, Any], expected: Lease) -> None:
    assert read(manifest) == expected


def test_a_claim_counts_changes_of_the_holder_and_renewals_keep_when_it_was_acquired() -> None:
    taken = claim(lease("other", transitions=4), "me", NOW)
    assert taken == {
        "holderIdentity": "me",
        "leaseDurationSeconds": 15,
        "acquireTime": STAMP,
        "renewTime": STAMP,
        "leaseTransitions": 5,
    }
    before = Lease("me", acquired="2025-01-01T00:00:00.000000Z", transitions=5)
    assert claim(before, "me", NOW) == {**taken, "acquireTime": before.acquired}


def test_what_is_given_back_is_free_at_once() -> None:
    given = freed(lease("me", transitions=4), NOW)
    assert (given["holderIdentity"], given["leaseTransitions"]) == ("", 4)
    assert decide(Seen(read({"spec": given}), 100), 100, "other").reason == "Free"


def test_a_leader_stops_writing_well_before_anybody_may_follow() -> None:
    assert deadline(100) == 100 + RENEW_S
    assert LEASE_S - RENEW_S >= 5


@dataclass
class Candidate:
    """One process: its clock, what it has seen, until when it writes, and its request that is under way."""

    me: str
    rate: float
    offset: float
    seen: Seen | None = None
    until: float = float("-inf")
    asked: tuple[float, Lease, dict[str, Any]] | None = None
    answer: tuple[float, Lease | None] | None = None

    def now(self, time: float) -> float:
        return time * self.rate + self.offset

    def writes(self, time: float) -> bool:
        return self.now(time) < self.until


def candidates() -> list[Candidate]:
    return [Candidate("a-0", 1.0, 0.0), Candidate("b-0", 0.9, 5_000.0), Candidate("c-0", 1.1, -9_000.0)]


WHO = st.integers(0, 2)
FATE = st.sampled_from(["in time", "in time", "answer lost", "late", "lost"])


class Elections(RuleBasedStateMachine):
    """Three candidates whose clocks differ by hours and run 10 % apart, paused between any two steps, on a network that loses anything."""

    writes_for_s = RENEW_S

    def __init__(self) -> None:
        super().__init__()
        self.time = 0.0
        self.stored: Lease | None = None
        self.version = 0
        self.starts = 0
        self.everyone = candidates()

    @rule(seconds=st.sampled_from([0.1, 2.0, 5.0, 9.0, 14.0, 16.0, 60.0]))
    def time_passes(self, seconds: float) -> None:
        self.time += seconds

    @rule(order=st.permutations(range(3)), fates=st.tuples(FATE, FATE, FATE), paused=st.sets(WHO, max_size=2))
    def those_who_run_have_their_turns(self, order: list[int], fates: tuple[str, ...], paused: set[int]) -> None:
        for who in order:
            if who not in paused:
                self._turn(self.everyone[who], fates[who], look=True)

    @rule(who=WHO, fate=FATE)
    def a_turn_without_a_look(self, who: int, fate: str) -> None:
        self._turn(self.everyone[who], fate, look=False)

    def _turn(self, one: Candidate, fate: str, *, look: bool) -> None:
        if look or one.seen is None:
            one.seen = observe(one.seen, self.stored, one.now(self.time))
        now = one.now(self.time)
        if decide(one.seen, now, one.me).do != "Wait":
            one.asked = (now, one.seen.lease, claim(one.seen.lease, one.me, NOW))
            self._meets(one, fate)

    @rule(who=WHO, fate=FATE)
    def gives_back(self, who: int, fate: str) -> None:
        one = self.everyone[who]
        one.until = float("-inf")
        if one.seen and one.seen.lease.holder == one.me:
            one.asked = (one.now(self.time), one.seen.lease, freed(one.seen.lease, NOW))
            self._meets(one, fate)

    @rule(who=WHO)
    def what_is_late_arrives(self, who: int) -> None:
        one = self.everyone[who]
        if one.answer is None:
            self._arrives(one)
        else:
            self._answered(one)

    @rule(who=WHO)
    def is_killed_and_started_again(self, who: int) -> None:
        self.starts += 1
        one = self.everyone[who]
        self.everyone[who] = Candidate(f"{one.me[0]}-{self.starts}", one.rate, one.offset)

    @invariant()
    def at_most_one_writes(self) -> None:
        assert sum(one.writes(self.time) for one in self.everyone) <= 1

    def _meets(self, one: Candidate, fate: str) -> None:
        if fate in {"in time", "answer lost"}:
            self._arrives(one)
        if fate == "in time":
            self._answered(one)
        if fate != "late":
            one.asked = one.answer = None

    def _arrives(self, one: Candidate) -> None:
        if one.asked is None:
            return
        asked_at, base, spec = one.asked
        one.asked = None
        if base.version != (self.stored.version if self.stored else ""):
            one.answer = (asked_at, None)
            return
        self.version += 1
        self.stored = read({"metadata": {"resourceVersion": str(self.version)}, "spec": spec})
        one.answer = (asked_at, self.stored)

    def _answered(self, one: Candidate) -> None:
        if one.answer is None:
            return
        asked_at, stored = one.answer
        one.answer = None
        if stored is not None and stored.holder == one.me:
            one.seen, one.until = Seen(stored, asked_at), deadline(asked_at) + self.writes_for_s - RENEW_S


class Overstaying(Elections):
    """Candidates that write for longer than their Lease counts."""

    writes_for_s = LEASE_S + 3


TestElections = Elections.TestCase
TestElections.settings = tried(50, stateful_step_count=40)


@pytest.mark.component
def test_candidates_that_write_for_too_long_would_be_found_out() -> None:
    quickly = settings(max_examples=500, stateful_step_count=40, database=None, phases=[Phase.generate], derandomize=True)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(Overstaying, settings=quickly)


@dataclass
class Quiet:
    """A run in which nothing is lost."""

    stored: Lease | None = None
    version: int = 0
    led: list[tuple[float, str]] = field(default_factory=list)

    def turn(self, time: float, one: Candidate) -> None:
        one.seen = observe(one.seen, self.stored, one.now(time))
        if decide(one.seen, one.now(time), one.me).do == "Wait":
            return
        self.version += 1
        spec = claim(one.seen.lease, one.me, NOW)
        self.stored = read({"metadata": {"resourceVersion": str(self.version)}, "spec": spec})
        one.seen, one.until = Seen(self.stored, one.now(time)), deadline(one.now(time))
        self.led.append((time, one.me))


def test_a_leader_that_dies_is_followed_within_a_lease_and_two_looks() -> None:
    run, (first, second, _) = Quiet(), candidates()
    for tick in range(100):
        time = tick * RETRY_S / 4
        if time <= 20 and tick % 4 == 0:
            run.turn(time, first)
        if tick % 4 == 3:
            run.turn(time, second)
    assert {name for time, name in run.led if time <= 20} == {"a-0"}
    followed = next(time for time, name in run.led if name == "b-0")
    assert followed - 20 <= (LEASE_S + 2 * RETRY_S) / second.rate
