from datetime import UTC, datetime, timedelta, timezone

import pytest

from llm_operator.core.clock import micro, seconds_since, stamp
from tests.unit.core.builders import NOW


def test_times_are_written_in_utc_and_whole_seconds() -> None:
    assert stamp(datetime(2026, 1, 2, 4, 4, 5, 999, tzinfo=timezone(timedelta(hours=1)))) == "2026-01-02T03:04:05Z"


def test_times_of_leases_and_events_always_have_six_digits() -> None:
    assert micro(datetime(2026, 1, 2, 4, 4, 5, 0, tzinfo=timezone(timedelta(hours=1)))) == "2026-01-02T03:04:05.000000Z"


@pytest.mark.parametrize(
    ("then", "seconds"),
    [("2026-11-22T11:59:00Z", 60), ("2026-11-22T12:00:01Z", 0), (None, 0), ("", 0), ("yesterday", 0), ("2026-11-22T11:59:59.5Z", 0.5)],
)
def test_the_time_since_then_is_never_negative_and_never_fails(then: str | None, seconds: float) -> None:
    assert seconds_since(then, NOW) == seconds


def test_a_time_without_a_zone_is_no_time() -> None:
    assert seconds_since("2026-11-22T11:59:00", datetime(2026, 11, 22, 12, tzinfo=UTC)) == 0
