"""What sidecars tell is read from a real sidecar's statistics, and nothing that cannot be true is taken."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_operator.core.gates.sums import EvidenceError
from llm_operator.core.telemetry.replies import Heard, Sums, read
from llm_sidecar.statistics import Statistics

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def told(requests: int = 5, revision: str = "r1", statistics: Statistics | None = None) -> dict[str, Any]:
    statistics = statistics or Statistics("chat")
    for number in range(requests):
        statistics.record(revision, f"u{number}".encode(), failed=not number, first_token_s=0.3, per_token_s=0.02, prompt_tokens=100)
    found: dict[str, Any] = json.loads(statistics.expose())
    return found


def test_what_a_sidecar_tells_is_read_by_revision() -> None:
    answer = told(revision="r1")
    reply = read(json.dumps(answer).encode(), "chat", {"r1", "r2"})
    assert reply.epoch == answer["epoch"]
    assert reply.revisions.keys() == {"r1"}
    assert (reply.revisions["r1"].requests, sum(row.errors for row in reply.revisions["r1"].rows.values())) == (5, 1)


def test_revisions_nobody_asks_for_are_not_kept() -> None:
    assert not read(json.dumps(told(revision="other")).encode(), "chat", {"r1"}).revisions


def test_a_sidecar_of_an_earlier_version_tells_no_assignment() -> None:
    answer = told()
    del answer["assignment"], answer["revisions"]["r1"]["life"]
    reply = read(json.dumps(answer).encode(), "chat", {"r1"})
    assert (reply.assignment, reply.revisions["r1"].life, reply.revisions["r1"].requests) == ("", 0, 5)


@pytest.mark.parametrize(
    "change",
    [
        {"schemaVersion": 2},
        {"bucketSalt": "bucket:other"},
        {"epoch": ""},
        {"columns": ["n"]},
        {"revisions": {"r1": {"buckets": {"0": [1.0]}, "seen": ""}}},
        {"revisions": {"r1": {"buckets": {"x": [0.0] * 14}, "seen": ""}}},
        {"revisions": {"r1": {"buckets": {"256": [0.0] * 14}, "seen": ""}}},
        {"revisions": {"r1": {"buckets": {"0": [-1.0] * 14}, "seen": ""}}},
        {"revisions": {"r1": {"buckets": {"0": [1e400] * 14}, "seen": ""}}},
        {"revisions": {"r1": {"buckets": {}, "seen": "%%%"}}},
        {"revisions": {"r1": {"buckets": {}, "seen": "A" * 2732}}},
        {"revisions": {"r1": {"buckets": {}, "seen": "", "life": -1}}},
        {"revisions": []},
    ],
)
def test_what_cannot_be_true_is_refused_as_a_whole(change: dict[str, Any]) -> None:
    with pytest.raises(EvidenceError):
        read(json.dumps(told() | change).encode(), "chat", {"r1"})


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_what_is_not_a_number_is_refused(number: str) -> None:
    body = json.dumps(told() | {"revisions": {"r1": {"buckets": {"0": ["?"] * 14}, "seen": ""}}}).replace('"?"', number)
    with pytest.raises(EvidenceError):
        read(body.encode(), "chat", {"r1"})


_junk = st.none() | st.booleans() | st.integers() | st.text(max_size=5)


@given(st.binary(max_size=60) | _junk | st.lists(_junk, max_size=3) | st.dictionaries(st.text(max_size=5), _junk, max_size=3))
def test_any_other_answer_is_refused_in_words(answer: Any) -> None:
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    with pytest.raises(EvidenceError):
        read(body, "chat", {"r1"})


def test_an_older_reply_that_comes_late_is_no_news() -> None:
    statistics = Statistics("chat")
    first, second = (read(json.dumps(told(3, statistics=statistics)).encode(), "chat", {"r1"}) for _ in range(2))
    heard = Heard(NOW, NOW).hear(second, NOW)
    assert heard.hear(first, NOW + timedelta(seconds=5)) == heard


def test_processes_of_one_pod_are_kept_apart_and_the_last_few_of_them() -> None:
    replies = [read(json.dumps(told(1)).encode(), "chat", {"r1"}) for _ in range(6)]
    heard = Heard(NOW, NOW)
    for reply in replies:
        heard = heard.hear(reply, NOW)
    assert heard.replies == tuple(replies[-4:])


def test_a_revision_that_lives_again_is_newer_though_it_has_counted_less() -> None:
    rows = read(json.dumps(told(5)).encode(), "chat", {"r1"}).revisions["r1"].rows
    assert Sums(1, rows).behind(Sums(2))
