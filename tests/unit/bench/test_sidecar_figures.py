from dataclasses import replace

import orjson
import pytest

from bench.sidecar.figures import DIRECT, ENVOY, Measured, Round, absolute, ratios
from bench.sidecar.payload import EVENTS, STAMPED, http, payload

DIRECTLY = Measured(p50_us=20, p99_us=30, rps=80_000, event_p50_us=25, event_p99_us=40)
THROUGH_ENVOY = Measured(
    p50_us=120, p99_us=230, rps=20_000, event_p50_us=60, event_p99_us=200, cpu_us_per_request=50, cpu_us_per_stream=400
)
THROUGH_US = Measured(p50_us=170, p99_us=430, rps=10_000, event_p50_us=90, event_p99_us=100, cpu_us_per_request=100, cpu_us_per_stream=500)
ROUND = {DIRECT: DIRECTLY, ENVOY: THROUGH_ENVOY, "ours": THROUGH_US}


def slower(round_: Round, factor: float) -> Round:
    """The same round on a machine that is slower by a factor."""
    return {way: replace(each, **{name: value * factor for name, value in vars(each).items()}) for way, each in round_.items()}


def test_what_is_added_is_what_a_proxy_takes_beyond_the_direct_way() -> None:
    figures = absolute([ROUND], "ours")
    assert (figures["added_p50_us"], figures["added_p99_us"]) == (150, 400)
    assert (figures["rps_per_core"], figures["streams_per_core"]) == (10_000, 2_000)


def test_a_ratio_is_ours_for_each_unit_of_envoys() -> None:
    assert ratios([ROUND], "ours") == {
        "added_p50_ratio_envoy": 1.5,
        "added_p99_ratio_envoy": 2.0,
        "rps_per_core_ratio_envoy": 0.5,
        "event_delay_p50_ratio_envoy": 1.5,
        "event_delay_p99_ratio_envoy": 0.5,
        "streams_per_core_ratio_envoy": 0.8,
    }


def test_envoy_against_itself_is_one() -> None:
    assert set(ratios([ROUND, ROUND], ENVOY).values()) == {1.0}


def test_a_machine_that_gets_slower_moves_times_and_not_ratios() -> None:
    rounds = [ROUND, slower(ROUND, 2), slower(ROUND, 4)]
    assert ratios(rounds, "ours") == pytest.approx(ratios([ROUND], "ours"))
    assert absolute(rounds, "ours")["p50_us"] == 340


def test_one_round_that_went_wrong_moves_nothing() -> None:
    broken = {**ROUND, "ours": replace(THROUGH_US, p50_us=50_000, cpu_us_per_request=9_000)}
    assert ratios([ROUND, broken, ROUND], "ours") == ratios([ROUND], "ours")


def test_a_stream_has_its_events_and_says_their_text() -> None:
    made = payload()
    chunks = [orjson.loads(event) for event in made.events[:-1]]
    assert (len(made.events), made.events[-1]) == (EVENTS, b"[DONE]")
    assert "".join(choice["delta"]["content"] for chunk in chunks for choice in chunk["choices"]) == made.streamed
    assert all(STAMPED.encode() in event for event in made.events[:-1])
    assert '"' not in made.streamed  # the load generator reads texts up to the next quote
    assert "\\" not in made.streamed


def test_a_request_has_the_size_the_figures_are_for() -> None:
    made = payload()
    assert 1_150 <= len(http(made.request(), 8080)) <= 1_350
    assert 1_800 <= len(made.answer) <= 2_000
