"""Gates over evidence read from a real sidecar's statistics."""

import json
import math
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_operator.core.gates.comparison import ComparisonGate, Metric
from llm_operator.core.gates.decision import Move, decide, judge
from llm_operator.core.gates.errors import ErrorsGate
from llm_operator.core.gates.evidence import Evidence, Minute, Sightings, baseline, sightings
from llm_operator.core.gates.sums import EvidenceError, Row, Rows, added, contradiction, rows
from llm_operator.core.gates.verdict import GateReason, Verdict
from llm_sidecar.statistics import Statistics

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
GATES = (
    ErrorsGate(),
    ComparisonGate("ttft", Metric.TIME_TO_FIRST_TOKEN),
    ComparisonGate("tpot", Metric.TIME_PER_OUTPUT_TOKEN),
    ComparisonGate("prompt", Metric.PROMPT_TOKENS, 0.2),
    ComparisonGate("self", Metric.SELF_TIME_TO_FIRST_TOKEN, 0.25),
)


@cache
def arm(minute: int, requests: int, *, slower: float = 1.0, fail_every: int = 0) -> Rows:
    statistics = Statistics("chat")
    for at in range(requests):
        number = minute * requests + at
        failed = bool(fail_every) and number % fail_every == 0
        wave = math.exp(0.3 * math.sin(number * 1.7)) * slower
        times = (0.0, 0.0) if failed else (0.4 * wave, 0.03 * wave)
        statistics.record(
            "r", f"{number}".encode(), failed=failed, first_token_s=times[0], per_token_s=times[1], prompt_tokens=int(200 * wave)
        )
    said = json.loads(statistics.expose())
    return rows(said["columns"], said["revisions"]["r"]["buckets"])


@cache
def evidence(minutes: int, *, slower: float = 1.0, fail_every: int = 0) -> Evidence:
    found = Evidence(warm_up=10, before=baseline([arm(each, 200) for each in range(10)]))
    for at in range(minutes):
        canary = arm(at, 100, slower=slower, fail_every=fail_every)
        found = found.add(Minute(BEGIN + timedelta(minutes=at), canary, arm(at + 500, 200), 1 / 3, Sightings(100, 200)))
    return found


def verdicts(found: Evidence) -> dict[str, Verdict]:
    assert found.last
    return {each.gate: each.verdict for each in judge(GATES, found, found.last)}


def test_a_canary_like_stable_passes_all_gates() -> None:
    found = evidence(20)
    assert found.last
    results = judge(GATES, found, found.last)
    assert decide(results).move is Move.PROMOTE, results


def test_a_slow_canary_is_harm() -> None:
    found = verdicts(evidence(20, slower=1.5))
    assert {name for name, verdict in found.items() if verdict is Verdict.HARM} == {"ttft", "tpot", "prompt"}


def test_a_canary_that_always_fails_is_found_within_a_minute() -> None:
    found = evidence(1, fail_every=1)
    assert found.last
    assert decide(judge(GATES, found, found.last)).move is Move.ABORT


@pytest.mark.parametrize("late", [timedelta(minutes=4), timedelta(seconds=-1)])
def test_stale_evidence_promotes_nothing_but_harm_stays(late: timedelta) -> None:
    good, bad = evidence(20), evidence(2, fail_every=1)
    assert good.last
    assert bad.last
    assert {each.reason for each in judge(GATES, good, good.last + late)} == {GateReason.EVIDENCE_STALE}
    assert decide(judge(GATES, bad, bad.last + late)).move is Move.ABORT


def test_without_evidence_nothing_is_promoted() -> None:
    results = judge(GATES, Evidence(), BEGIN)
    assert {each.reason for each in results} == {GateReason.EVIDENCE_MISSING}
    assert decide(results).move is Move.HOLD
    assert decide(()).move is Move.HOLD


@pytest.mark.parametrize(
    "row", [Row(n=math.nan), Row(n=-1), Row(n=1, errors=2), Row(n=1, ttft_n=2), Row(n=1, ttft_n=1, ttft=math.nan), Row(n=math.inf)]
)
def test_evidence_that_contradicts_itself_promotes_nothing_any_more(row: Row) -> None:
    found = evidence(20)
    assert found.last
    found = found.add(Minute(found.last + timedelta(minutes=1), {3: row}, {}))
    assert found.last
    assert {each.reason for each in judge(GATES, found, found.last)} == {GateReason.EVIDENCE_INVALID}


def test_one_subject_that_always_fails_aborts_nothing() -> None:
    found = evidence(5)
    for at in range(5, 30):
        canary = added([arm(at, 100), {7: Row(n=10, errors=10)}])
        found = found.add(Minute(BEGIN + timedelta(minutes=at), canary, arm(at + 500, 200)))
    assert verdicts(found)["errors"] is not Verdict.HARM


def test_too_few_units_prove_nothing() -> None:
    found = evidence(20)
    few = replace(found, canary=replace(found.canary, n=(100.0, *(0.0,) * 255), total=(0.0,) * 256))
    assert verdicts(few)["errors"] is Verdict.UNDECIDED


def test_units_that_do_not_fit_the_weights_pause() -> None:
    found = Evidence()
    for at in range(10):
        found = found.add(Minute(BEGIN + timedelta(minutes=at), arm(at, 50), arm(at, 100), 0.5, Sightings(50, 100)))
    assert decide(judge((), found, BEGIN + timedelta(minutes=10))).move is Move.PAUSE


def test_a_unit_counts_when_it_is_new_and_in_one_arm() -> None:
    assert sightings(b"\x01", b"\x07", b"\x0a", None, 8) == (Sightings(1, 1), None)


@pytest.mark.parametrize("units", [100, 5_000, 40_000])
def test_units_that_share_a_bit_do_not_make_the_smaller_arm_look_smaller(units: int) -> None:
    dice, bits, arms = random.Random(1), 1 << 14, [0, 0]  # noqa: S311  # traffic, no secret
    for _ in range(units):
        arms[dice.random() >= 0.1] |= 1 << dice.randrange(bits)
    found, fair = sightings(b"", arms[0].to_bytes(bits // 8, "little"), arms[1].to_bytes(bits // 8, "little"), 0.1, bits)
    assert fair is not None
    alone = found.canary + found.stable
    assert found.canary == pytest.approx(fair * alone, abs=3 * math.sqrt(fair * alone))
    assert (units < 1_000) == (fair == pytest.approx(0.1, abs=0.001))


def test_a_bitmap_that_is_full_says_nothing_about_shares() -> None:
    assert sightings(b"", b"\x01", b"\xff", 0.1, 8)[1] is None
    assert sightings(b"\xff", b"\x01", b"\xff", 0.1, 8) == (Sightings(0, 0), 0.1)


def test_what_stable_was_like_before_is_what_it_was_until_the_canary_had_a_request() -> None:
    found = Evidence()
    for at in range(3):
        found = found.add(Minute(BEGIN + timedelta(minutes=at), {}, arm(at, 50)))
    found = found.add(Minute(BEGIN + timedelta(minutes=3), arm(9, 5), arm(3, 50)))
    assert found.before.course.minutes == 3
    assert found.beside.course.minutes == 1


def test_columns_that_are_missing_cannot_be_read() -> None:
    with pytest.raises(EvidenceError):
        rows(["n"], {"0": [1]})


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 255), st.floats(1e-3, 1e3), st.booleans()), max_size=30))
def test_whatever_a_sidecar_counts_does_not_contradict_itself(requests: list[tuple[int, float, bool]]) -> None:
    statistics = Statistics("chat")
    for unit, seconds, failed in requests:
        statistics.record("r", bytes([unit]), failed=failed, first_token_s=seconds, prompt_tokens=unit)
    said = json.loads(statistics.expose())
    assert not contradiction(rows(said["columns"], said["revisions"].get("r", {"buckets": {}})["buckets"]))


def test_a_share_that_cannot_be_and_time_that_goes_back_are_faults() -> None:
    minute = Minute(BEGIN, {}, {})
    assert Evidence().add(replace(minute, share=1.5)).fault
    assert Evidence().add(replace(minute, planned=-0.1)).fault
    assert Evidence().add(replace(minute, sightings=Sightings(-1, 0))).fault
    assert Evidence().add(minute).add(minute).fault
    assert contradiction({256: Row()})
    assert not baseline([{256: Row()}]).course.minutes


@pytest.mark.parametrize(("requests", "verdict"), [(100, Verdict.PASS), (200, Verdict.PASS), (300, Verdict.UNDECIDED)])
def test_a_few_who_bring_much_more_than_the_canarys_share_of_the_load_keep_it_small(requests: int, verdict: Verdict) -> None:
    found = Evidence()
    for at in range(3):
        minute = Minute(BEGIN + timedelta(minutes=at), arm(at, requests), arm(at + 500, 1000 - requests), 0.1, Sightings(10, 90), 0.1)
        found = found.add(minute)
    assert found.last
    (ratio,) = judge((), found, found.last)
    assert ratio.verdict is verdict
    if verdict is Verdict.UNDECIDED:
        assert ratio.reason is GateReason.LOAD_SHARE_HIGH
        assert "3.0 times the canary's share of the requests" in ratio.message


def test_minutes_in_which_the_share_changed_say_nothing_of_the_load() -> None:
    found = Evidence().add(Minute(BEGIN, arm(0, 900), arm(1, 100), 0.1, Sightings(10, 90)))
    assert (found.load.canary, found.load.planned) == (0, 0)


def test_as_many_errors_as_stable_pass_by_the_ratio() -> None:
    found = Evidence()
    for at in range(120):
        canary, stable = ({bucket: Row(n=4, errors=(bucket + at) % 25 == 0) for bucket in range(256)} for _ in range(2))
        found = found.add(Minute(BEGIN + timedelta(minutes=at), canary, stable))
    assert found.last
    assert judge((ErrorsGate(),), found, found.last)[0].reason is GateReason.ERRORS_NOT_MORE


def test_few_units_prove_nothing_about_times() -> None:
    found = Evidence(before=baseline([arm(0, 200)]))
    for at in range(10):
        rows_of = {bucket: Row(n=2, ttft_n=2, ttft=0.0, ttft_squares=1.0, prompt_n=2) for bucket in range(5)}
        found = found.add(Minute(BEGIN + timedelta(minutes=at), rows_of, rows_of))
    assert found.last
    reasons = {each.gate: each.reason for each in judge(GATES, found, found.last)}
    assert (reasons["ttft"], reasons["prompt"], reasons["self"]) == (
        GateReason.TOO_FEW_SUBJECTS,
        GateReason.EVIDENCE_MISSING,
        GateReason.NO_BASELINE,
    )


def test_a_prompt_without_tokens_cannot_be_compared() -> None:
    found = Evidence()
    canary = {bucket: Row(n=2, prompt_n=2) for bucket in range(5)}
    stable = {bucket: Row(n=2, prompt_n=2, prompt=20, prompt_squares=200) for bucket in range(5)}
    found = found.add(Minute(BEGIN, canary, stable))
    assert judge(GATES, found, BEGIN)[3].reason is GateReason.EVIDENCE_MISSING


def test_a_gate_says_how_many_requests_it_needs() -> None:
    found = evidence(2)
    assert found.last
    results = {each.gate: each for each in judge(GATES, found, found.last)}
    assert results["ttft"].reason is GateReason.MORE_REQUESTS_NEEDED
    assert results["ttft"].needs
    assert "more requests of the canary" in results["ttft"].message
