"""The sums are what anybody would compute who had seen every request, and nothing else is in them."""

import base64
import hashlib
import json
import math
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_sidecar.metrics import Metrics
from llm_sidecar.statistics import COLUMNS, MEASURES, SEEN_BITS, Statistics


class Served(NamedTuple):
    """One request."""

    revision: str
    unit: bytes
    failed: bool = False
    first_token_s: float = 0.0
    per_token_s: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0


_seconds = st.just(0.0) | st.floats(1e-5, 1e3)
_tokens = st.integers(0, 100_000)
_served = st.builds(Served, st.sampled_from(["r1", "r2"]), st.binary(max_size=4), st.booleans(), _seconds, _seconds, _tokens, _tokens)
_requests = st.lists(_served, max_size=60)


def exposed(statistics: Statistics) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(statistics.expose())
    return found


def record(statistics: Statistics, request: Served) -> None:
    fields = request._asdict()
    statistics.record(fields.pop("revision"), fields.pop("unit"), **fields)


def bucket_of(salt: str, unit: bytes) -> str:
    return str(hashlib.sha256(salt.encode() + b":" + unit).digest()[0])


def measures(request: Served) -> dict[str, float]:
    """Return the measures a request has."""
    times = (request.first_token_s, request.per_token_s)
    values = [*(math.log(each) if each else None for each in times), request.prompt_tokens or None, request.completion_tokens or None]
    return {name: value for name, value in zip(MEASURES, values, strict=True) if value is not None}


@given(_requests)
def test_every_sum_is_that_of_the_requests(requests: list[Served]) -> None:
    statistics = Statistics("chat")
    for request in requests:
        record(statistics, request)
    found = exposed(statistics)
    assert found["revisions"].keys() == {request.revision for request in requests}
    for revision, sums in found["revisions"].items():
        mine = [request for request in requests if request.revision == revision]
        assert sums["buckets"].keys() == {bucket_of(found["bucketSalt"], request.unit) for request in mine}
        for bucket, row in sums["buckets"].items():
            there = [request for request in mine if bucket_of(found["bucketSalt"], request.unit) == bucket]
            expected = [float(len(there)), sum(request.failed for request in there)]
            for name in MEASURES:
                values = [of[name] for request in there if name in (of := measures(request))]
                expected += [len(values), sum(values), sum(value * value for value in values)]
            assert row == pytest.approx(expected)
        bits = int.from_bytes(base64.b64decode(sums["seen"]), "little")
        assert bits.bit_count() <= len({request.unit for request in mine})


@given(st.sets(st.binary(min_size=1, max_size=8), max_size=200), st.integers(1, 3))
def test_the_bitmaps_of_several_sidecars_count_a_unit_once(units: set[bytes], times: int) -> None:
    here, there = Statistics("chat"), Statistics("chat")
    for unit in sorted(units) * times:
        record(here if unit[0] % 2 else there, Served("r1", unit))
        record(there, Served("r1", unit))
    maps = [
        int.from_bytes(base64.b64decode(sums["seen"]), "little") for each in (here, there) for sums in exposed(each)["revisions"].values()
    ]
    seen = 0
    for each in maps:
        seen |= each
    assert len(units) - 8 <= seen.bit_count() <= len(units), f"of {SEEN_BITS} bits a few are shared"


def test_buckets_are_spread_and_independent_of_the_assignment() -> None:
    statistics = Statistics("chat")
    units = [str(number).encode() for number in range(40_000)]
    of_a_small_share = [unit for unit in units if hashlib.sha256(b"salt:" + unit).digest()[0] == 0]
    for unit in of_a_small_share:
        record(statistics, Served("r1", unit))
    assert len(of_a_small_share) > 100
    assert len(exposed(statistics)["revisions"]["r1"]["buckets"]) > 90, "one of 256 by the table's salt is not one bucket of ours"


def test_what_is_told_is_versioned_and_of_one_process() -> None:
    one, other = exposed(Statistics("chat")), exposed(Statistics("chat"))
    assert (one["schemaVersion"], one["bucketSalt"], one["columns"]) == (1, "bucket:chat", list(COLUMNS))
    assert one["bucketSalt"] == other["bucketSalt"]
    assert one["epoch"] != other["epoch"]


def test_a_revision_long_gone_is_forgotten() -> None:
    metrics = Metrics("chat", "e1", "vllm", "chat")
    for number in range(10):
        metrics.programmed(f"r{number}", number, [f"r{number}"])
        record(metrics.statistics, Served(f"r{number}", b"u"))
    assert exposed(metrics.statistics)["revisions"].keys() == {f"r{number}" for number in range(4, 10)}


def test_a_revision_that_comes_back_after_it_was_forgotten_lives_again() -> None:
    statistics = Statistics("chat")
    record(statistics, Served("r1", b"u"))
    before = exposed(statistics)["revisions"]["r1"]["life"]
    statistics.forget("r1")
    record(statistics, Served("r1", b"u"))
    after = exposed(statistics)["revisions"]["r1"]
    assert after["life"] > before
    assert sum(row[0] for row in after["buckets"].values()) == 1


def test_units_are_seen_for_the_first_time_once_in_each_assignment() -> None:
    statistics = Statistics("chat")
    record(statistics, Served("r1", b"u"))
    statistics.assign("rollout-1")
    assert exposed(statistics)["assignment"] == "rollout-1"
    assert not any(base64.b64decode(exposed(statistics)["revisions"]["r1"]["seen"])), "that was before it"
    record(statistics, Served("r1", b"u"))
    statistics.assign("rollout-1")
    found = exposed(statistics)["revisions"]["r1"]
    assert any(base64.b64decode(found["seen"]))
    assert sum(row[0] for row in found["buckets"].values()) == 2, "everything else goes on"
