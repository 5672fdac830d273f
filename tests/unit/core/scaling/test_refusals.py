"""Pods that have no place for most of the requests: as many come as these need, within a few starts, and few more."""

from dataclasses import dataclass, field

import pytest

from llm_operator.core.scaling.capacity import Capacity
from llm_operator.core.scaling.decide import Fleet, Memory, Rules, decide
from llm_operator.core.scaling.load import Blind, Track, observe
from llm_operator.core.scaling.need import need
from tests.unit.core.scaling.pods import at, refusing

PLACES = 64
ABLE = Capacity(requests=PLACES, prefill_tokens_per_s=20_000, prompt_tokens=200, request_s=5, calibrated=True)
STARTUP_S = 120
TURN_S = 5


@dataclass
class Full:
    """Pods with places and no queue. Whoever is refused tries again every second, ``tries`` times in all."""

    offered: float
    tries: int
    headroom: float
    seconds: int = 0
    comes_s: list[int] = field(default_factory=lambda: [-STARTUP_S])
    refused: list[float] = field(default_factory=lambda: [0.0])
    tracks: dict[str, Track] = field(default_factory=dict)
    memory: Memory = field(default_factory=Memory)

    @property
    def pods(self) -> int:
        return len(self.comes_s)

    def turn(self) -> None:
        self.seconds += TURN_S
        ready = sum(each <= self.seconds for each in self.comes_s)
        running = min(self.offered * ABLE.request_s, PLACES * ready)
        for pod in range(ready):
            self.refused[pod] += TURN_S * self.tries * (self.offered - running / ABLE.request_s) / ready
            told, known = refusing(self.seconds, self.refused[pod], pod, running=running / ready), self.tracks.get(str(pod))
            self.tracks[str(pod)] = known.hear(told) if known else Track((told,))
        load = observe(self.tracks, self.tracks.keys(), at(self.seconds))
        found = load if isinstance(load, Blind) else need([(load, ABLE)], self.pods, STARTUP_S, coming=ready < self.pods)
        decision, self.memory = decide(self.memory, Rules(1, 100, self.headroom), Fleet(self.pods), found, at(self.seconds))
        more = decision.replicas - self.pods
        self.comes_s += [self.seconds + STARTUP_S] * more
        self.refused += [0.0] * more


@pytest.mark.parametrize("headroom", [0.0, 0.25, 1.0])
def test_ten_pods_are_there_after_four_starts(headroom: float) -> None:
    world = Full(offered=9.9 * PLACES / ABLE.request_s, tries=1, headroom=headroom)
    for _ in range(4 * STARTUP_S // TURN_S + 15):
        world.turn()
    assert 10 <= sum(each <= world.seconds for each in world.comes_s) == world.pods <= 10 + 4 * headroom


@pytest.mark.component
@pytest.mark.parametrize("tries", [1, 3, 20])
def test_however_often_whoever_is_refused_tries_again_no_more_than_twice_the_pods_come(tries: int) -> None:
    for needed in (1.2, 2.5, 5.0):
        world = Full(offered=needed * PLACES / ABLE.request_s, tries=tries, headroom=0)
        for _ in range(6 * STARTUP_S // TURN_S):
            world.turn()
        assert needed <= world.pods <= 2 * needed


def test_while_pods_are_coming_refusals_ask_for_no_more_with_every_look() -> None:
    world = Full(offered=10 * PLACES / ABLE.request_s, tries=20, headroom=0)
    for _ in range(STARTUP_S // TURN_S):
        world.turn()
        assert world.pods <= 2


def test_a_count_that_jumps_once_asks_for_twice_the_pods_at_most() -> None:
    world = Full(offered=0.9 * PLACES / ABLE.request_s, tries=1, headroom=0)
    for _ in range(5):
        world.turn()
    world.refused[0] += 1e9
    for _ in range(20):
        world.turn()
    assert world.pods == 2
