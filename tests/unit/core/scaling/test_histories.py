"""Whatever load, silence and bad figures a fleet goes through: the rules hold, from the readings to the decision."""

from dataclasses import dataclass, field
from datetime import timedelta
from math import ceil, sqrt

from hypothesis import given
from hypothesis import strategies as st

from llm_operator.core.scaling.decide import Fleet, Memory, Rules, decide
from llm_operator.core.scaling.load import HEARD_MIN, STALE_AFTER, Blind, Track, observe
from llm_operator.core.scaling.need import PREFILL_SHARE, need
from llm_operator.core.scaling.reasons import ScaleReason
from tests.properties import tried
from tests.unit.core.scaling.pods import CAPACITY, at, reading

TURN_S = 5
STARTUP_S = 60
RULES = Rules(least=1, most=12, hold=timedelta(seconds=120))
PROMPT = int(CAPACITY.prompt_tokens)
PER_TURN = CAPACITY.prefill_tokens_per_s / PROMPT * TURN_S
"""Requests that a pod begins in a turn."""


@dataclass
class Pod:
    """A pod that begins what it can and lets the rest wait."""

    number: int
    comes_s: float
    waiting: float = 0.0
    begun: float = 0.0
    running: float = 0.0

    def work(self, requests: float) -> None:
        begins = min(self.waiting + requests, PER_TURN)
        self.waiting += requests - begins
        self.begun += begins
        self.running = min(begins, 5)


@dataclass
class World:
    """Pods under load, and the operator that looks at them every five seconds."""

    pods: list[Pod] = field(default_factory=lambda: [Pod(0, 0), Pod(1, 0)])
    tracks: dict[str, Track] = field(default_factory=dict)
    memory: Memory = field(default_factory=Memory)
    seconds: float = 0.0
    made: int = 2
    began_s: float = 0.0

    def turn(self, requests_per_s: float, silent: frozenset[int] = frozenset()) -> tuple[int, ScaleReason]:
        """Let five seconds pass; return by how much the number of pods changes, and why."""
        self.seconds += TURN_S
        now, asked = at(self.seconds), len(self.pods)
        ready = [each for each in self.pods if each.comes_s <= self.seconds]
        for pod in ready:
            pod.work(requests_per_s * TURN_S / len(ready))
            if pod.number not in silent:
                self._hear(pod)
        uids = [str(each.number) for each in ready]
        load, coming = observe(self.tracks, uids, now), len(ready) < asked
        found = load if isinstance(load, Blind) else need([(load, CAPACITY)], asked, STARTUP_S, coming=coming)
        decision, self.memory = decide(self.memory, RULES, Fleet(asked), found, now)
        if len([uid for uid in uids if self._is_heard(uid)]) < HEARD_MIN * len(ready):
            assert decision.replicas == asked
        self._scale(decision.replicas)
        assert RULES.least <= len(self.pods) <= RULES.most
        assert len(self.pods) >= asked - 1
        if len(self.pods) < asked:
            assert self.seconds - self.began_s >= RULES.hold.total_seconds()
        return len(self.pods) - asked, decision.reason

    def _hear(self, pod: Pod) -> None:
        sample = reading(self.seconds, pod.number, running=pod.running, waiting=pod.waiting, prefilled=pod.begun * PROMPT)
        known = self.tracks.get(str(pod.number))
        self.tracks[str(pod.number)] = known.hear(sample) if known else Track((sample,))

    def _is_heard(self, uid: str) -> bool:
        return uid in self.tracks and at(self.seconds) - self.tracks[uid].last.at <= STALE_AFTER

    def _scale(self, replicas: int) -> None:
        while len(self.pods) < replicas:
            self.pods.append(Pod(self.made, self.seconds + STARTUP_S))
            self.made += 1
        self.pods = self.pods[:replicas] if len(self.pods) > replicas else self.pods

    def another_operator(self) -> None:
        self.tracks, self.memory, self.began_s = {}, Memory(), self.seconds


def enough_for(requests_per_s: float) -> int:
    pods = requests_per_s * PROMPT / CAPACITY.prefill_tokens_per_s / PREFILL_SHARE
    return min(ceil(pods + RULES.headroom * sqrt(pods) + 1e-6), RULES.most)


_phase = st.tuples(st.floats(0, 80), st.integers(1, 25), st.frozensets(st.integers(0, 8), max_size=6), st.booleans())


@tried(40)
@given(st.lists(_phase, min_size=1, max_size=6))
def test_rules_hold_through_any_history(phases: list[tuple[float, int, frozenset[int], bool]]) -> None:
    world = World()
    for requests_per_s, turns, silent, restarted in phases:
        if restarted:
            world.another_operator()
        for _ in range(turns):
            world.turn(requests_per_s, silent)


@tried(20)
@given(st.floats(1, 60))
def test_however_long_requests_wait_for_the_pods_that_come_no_more_are_asked_for(requests_per_s: float) -> None:
    world = World()
    for _ in range(int(STARTUP_S / TURN_S)):
        world.turn(requests_per_s)
        assert len(world.pods) <= max(enough_for(requests_per_s), 2)


@tried(10)
@given(st.floats(1, 60))
def test_enough_pods_come_for_any_load_and_stay(requests_per_s: float) -> None:
    world = World()
    for _ in range(60):
        world.turn(requests_per_s)
    assert len(world.pods) >= min(max(enough_for(requests_per_s), 1), RULES.most) - 1
    for _ in range(60):
        change, _ = world.turn(requests_per_s)
        assert change <= 0


def test_an_operator_that_begins_anew_under_load_moves_nothing_for_two_minutes() -> None:
    world = World()
    for _ in range(60):
        world.turn(40)
    there = len(world.pods)
    world.another_operator()
    for _ in range(24):
        world.turn(40)
        assert len(world.pods) == there


def test_silence_of_all_pods_keeps_them_for_as_long_as_it_lasts() -> None:
    world = World()
    for _ in range(60):
        world.turn(40)
    there, everyone = len(world.pods), frozenset(range(50))
    for _ in range(200):
        change, reason = world.turn(0, everyone)
        assert change == 0 or reason is not ScaleReason.METRICS_STALE
    assert (len(world.pods), reason) == (there, ScaleReason.METRICS_STALE)
