"""What a pod carries is learned from what pods did: the steps of an engine are found again, whatever the load."""

from collections.abc import Callable
from dataclasses import replace
from math import inf, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_operator.core.scaling.capacity import ASSUMED, Learned, Limits, Steps, capacity
from llm_operator.core.scaling.sample import Most, Sample
from tests.properties import tried
from tests.unit.core.scaling.pods import at, reading

LIMITS = Limits(time_per_output_token_s=0.2, sequences=256, step_tokens=2048)
SLOW = Steps(0.05, 0.0005, 0.0004)


def did(steps: Steps, sequences: float, prompt: float, seconds: float = 5.0) -> tuple[Sample, Sample]:
    """Return two readings of an engine that made one step after the other, each with some sequences and tokens of prompts."""
    step_s = steps.fixed_s + steps.sequence_s * sequences + steps.prompt_token_s * prompt
    made = seconds / step_s
    after = reading(
        seconds,
        running=sequences,
        prefilled=made * prompt,
        steps=made,
        generated_tokens=made * sequences,
        gaps=made * sequences,
        gap_seconds=seconds * sequences,
        prompts=made * prompt / 500,
        prompt_sum=made * prompt,
        outputs=made * sequences / 100,
        output_sum=made * sequences,
    )
    return reading(0, running=sequences), after


def learned(steps: Steps, loads: list[tuple[float, float]]) -> Learned:
    found = Learned()
    for sequences, prompt in loads:
        found = found.add(*did(steps, sequences, prompt))
    return found


@tried(30)
@given(
    st.builds(Steps, st.floats(0.01, 0.1), st.floats(0.00005, 0.001), st.floats(0.00003, 0.001)),
    st.lists(st.tuples(st.floats(5, 200), st.floats(10, 1500)), min_size=60, max_size=60, unique=True),
)
def test_how_long_a_step_takes_is_found_from_any_loads(steps: Steps, loads: list[tuple[float, float]]) -> None:
    found = learned(steps, loads)
    assert found.calibrated
    fitted = found.steps
    for sequences, prompt in loads[-10:]:
        truth = steps.fixed_s + steps.sequence_s * sequences + steps.prompt_token_s * prompt
        assert fitted.fixed_s + fitted.sequence_s * sequences + fitted.prompt_token_s * prompt == pytest.approx(truth, rel=0.35)


def test_a_slow_engine_is_known_within_minutes() -> None:
    found = learned(SLOW, [(10 + 7 * turn % 90, 100 + 130 * turn % 900) for turn in range(60)]).steps
    assert found.fixed_s == pytest.approx(0.05, rel=0.25)
    assert found.sequence_s == pytest.approx(0.0005, rel=0.3)
    assert found.prompt_token_s == pytest.approx(0.0004, rel=0.15)


def test_one_load_alone_says_what_that_load_takes() -> None:
    found = learned(SLOW, [(50, 500)] * 100).steps
    assert found.fixed_s + 50 * found.sequence_s + 500 * found.prompt_token_s == pytest.approx(0.05 + 0.025 + 0.2, rel=0.05)


def test_until_something_was_seen_what_is_assumed_holds() -> None:
    assert Learned().steps == ASSUMED
    found = capacity(Learned(), LIMITS)
    assert not found.calibrated
    assert found.requests == 256
    assert found.prefill_tokens_per_s == pytest.approx(2048 / (0.02 + 0.2048))
    assert (found.prompt_tokens, found.request_s, found.pod_seconds) == (0, 0, 0)


def test_an_engine_that_rests_at_times_teaches_slowly_and_by_the_gaps_between_tokens() -> None:
    before, after = did(SLOW, 2, 0)
    found = Learned().add(before, after)
    assert found.seen == pytest.approx(0.1)
    for _ in range(200):
        found = found.add(before, after)
    assert found.calibrated
    assert found.steps.fixed_s == pytest.approx(0.051, rel=0.15)


def _paused(before: Sample, after: Sample) -> tuple[Sample, Sample]:
    return before, replace(after, at=reading(31).at)


def _restarted(before: Sample, after: Sample) -> tuple[Sample, Sample]:
    return before, replace(after, process=(9.0, 9.0))


@pytest.mark.parametrize("spoiled", [_paused, _restarted, lambda before, after: (after, before), lambda _, after: (after, after)])
def test_nothing_is_learned_of_other_processes_or_over_pauses(spoiled: Callable[[Sample, Sample], tuple[Sample, Sample]]) -> None:
    assert Learned().add(*spoiled(*did(SLOW, 10, 100))) == Learned()


@pytest.mark.parametrize("jumped", ["prefill_tokens", "generated_tokens"])
def test_one_counter_that_jumps_beyond_what_steps_can_do_teaches_nothing(jumped: str) -> None:
    found = learned(SLOW, [(10 + 7 * turn % 90, 100 + 130 * turn % 900) for turn in range(60)])
    before, after = did(SLOW, 20, 500)
    after = replace(after, most=Most(256, 2048))
    far = getattr(after.counters, jumped) + 300_000
    assert found.add(before, after) != found
    assert found.add(before, replace(after, counters=after.counters._replace(**{jumped: far}))) == found


def test_what_an_engine_did_while_its_figures_stood_still_teaches_nothing_when_it_comes_at_once() -> None:
    before, after = did(SLOW, 20, 500, seconds=20)
    late = replace(after, at=at(5))
    assert Learned().add(before, late) == Learned()
    assert Learned().add(before, replace(late, ranks=2)).seen, "two ranks make twice as many steps"


def test_a_prompt_that_was_begun_before_counts_whole_when_it_ends() -> None:
    """Fifty thousand tokens are read in 25 steps, of which the last three are in this reading."""
    done = reading(5, running=20, prefilled=50_000, steps=3, gaps=60, gap_seconds=3, prompts=1, prompt_sum=50_000)
    after = replace(done, most=Most(256, 2048))
    assert Learned().add(reading(0, running=20), after).seen
    assert not Learned().add(reading(0, running=20), replace(after, counters=after.counters._replace(prompt_sum=500))).seen


@pytest.mark.parametrize("few", [{"gaps": 49.0, "gap_seconds": 4.9}, {"steps": 0.0}])
def test_too_few_tokens_say_nothing_of_steps_but_of_requests(few: dict[str, float]) -> None:
    before, after = did(SLOW, 10, 100)
    found = Learned().add(before, replace(after, counters=after.counters._replace(**few)))
    assert (found.seen, found.prompts > 0, found.kv_tokens) == (0, True, 100_000)


def test_an_engine_that_does_not_tell_its_cache_keeps_what_it_told() -> None:
    before, after = did(SLOW, 10, 100)
    assert Learned().add(before, after).add(before, replace(after, kv_tokens=0)).kv_tokens == 100_000


@pytest.mark.parametrize("broken", [{"prompt_sum": nan}, {"targets": (inf, 0.0, 0.0)}, {"products": ((nan, 0.0, 0.0),) * 3}])
def test_what_is_no_number_any_more_is_forgotten(broken: dict[str, Any]) -> None:
    found = replace(learned(SLOW, [(50, 500)] * 10), **broken)
    assert capacity(found, LIMITS) == capacity(Learned(), LIMITS)
    assert found.add(*did(SLOW, 50, 500)) == Learned().add(*did(SLOW, 50, 500))


def test_capacity_is_bounded_by_latency_cache_and_places() -> None:
    long = replace(Learned(), prompts=1, prompt_sum=3000, outputs=1, output_sum=2000)
    by_latency = capacity(long, LIMITS)
    assert by_latency.requests == 256
    assert capacity(long, replace(LIMITS, time_per_output_token_s=0.06)).requests == pytest.approx(0.04 / (0.0001 + 0.0001 * 1.5))
    assert capacity(replace(long, kv_tokens=40_000), LIMITS).requests == 10
    assert capacity(long, replace(LIMITS, sequences=64)).requests == 64
    assert capacity(long, replace(LIMITS, time_per_output_token_s=0.01)).requests == 1


def test_what_a_request_takes_of_a_pod_is_reading_or_writing() -> None:
    found = capacity(learned(ASSUMED, [(50, 500)] * 100), LIMITS)
    assert found.prompt_tokens == pytest.approx(500)
    assert found.request_s == pytest.approx(100 * 0.075, rel=0.01)
    assert found.pod_seconds == pytest.approx(max(500 / found.prefill_tokens_per_s, found.request_s / found.requests))
