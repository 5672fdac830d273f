"""More pods at known times, by the clock on the wall: once a day, whatever the clock is set to, and never a day more or less."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_operator.api.autoscaling import Autoscaling, Schedule
from llm_operator.core.scaling.schedule import applies, least_at, window
from tests.properties import tried

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/St_Johns")
"""Clocks that are never set, set by an hour on either half of the earth, by half an hour, or with odd offsets."""


def schedule(start: str = "08:00", end: str = "18:00", *days: str, zone: str = "Europe/Berlin", replicas: int = 4) -> Schedule:
    return Schedule.model_validate({"days": days, "start": start, "end": end, "timezone": zone, "minReplicas": replicas})


def berlin(text: str) -> datetime:
    """Return a moment by the clock of Berlin; with an offset where it shows that time twice."""
    found = datetime.fromisoformat(text)
    return (found if found.tzinfo else found.replace(tzinfo=ZoneInfo("Europe/Berlin"))).astimezone(UTC)


def test_it_applies_from_its_start_until_just_before_its_end() -> None:
    each = schedule()
    assert [applies(each, berlin(f"2026-06-10T{at}")) for at in ("07:59:59", "08:00", "17:59:59", "18:00")] == [False, True, True, False]
    assert applies(each, berlin("2026-12-10T08:00")), "in winter by the same clock"


def test_over_midnight_it_belongs_to_the_day_it_begins_on() -> None:
    each = schedule("22:00", "06:00", "Fri")
    assert applies(each, berlin("2026-06-12T23:00"))
    assert applies(each, berlin("2026-06-13T05:59"))
    assert not applies(each, berlin("2026-06-12T05:00"))
    assert not applies(each, berlin("2026-06-13T23:00"))


def test_one_that_ends_when_it_begins_lasts_a_day() -> None:
    each = schedule("08:00", "08:00", "Mon")
    assert [applies(each, berlin(f"2026-06-{at}")) for at in ("08T07:59", "08T08:00", "09T07:59", "09T08:00")] == [False, True, True, False]


def test_a_time_that_the_clock_leaves_out_comes_after_it_and_one_it_shows_twice_counts_once() -> None:
    early = schedule("02:30", "04:00")
    assert not applies(early, berlin("2026-03-29T03:29+02:00"))
    assert applies(early, berlin("2026-03-29T03:30+02:00"))
    late = schedule("01:00", "02:30")
    assert applies(late, berlin("2026-10-25T02:29+02:00"))
    assert not applies(late, berlin("2026-10-25T02:15+01:00")), "the clock shows it once more"


@pytest.mark.parametrize(
    ("start", "end", "begins"),
    [("02:30", "03:30", "03:30"), ("02:00", "03:00", "03:00"), ("02:10", "02:50", "03:10"), ("02:59", "03:00", "03:59")],
)
def test_a_window_that_the_clock_is_set_forward_over_comes_as_long_as_ever(start: str, end: str, begins: str) -> None:
    each, day = schedule(start, end, "Sun"), date(2026, 3, 29)
    length = datetime.strptime(end, "%H:%M") - datetime.strptime(start, "%H:%M")  # noqa: DTZ007 - of the clock
    begin = berlin(f"2026-03-29T{begins}+02:00")
    assert window(each, day) == (begin, begin + length)
    assert [applies(each, at) for at in (begin - timedelta(seconds=1), begin, begin + length)] == [False, True, False]


def test_the_highest_of_those_that_apply_counts_and_none_lowers_anything() -> None:
    asked = Autoscaling(min_replicas=2, max_replicas=9, schedules=(schedule(replicas=4), schedule("12:00", "14:00", replicas=6)))
    assert least_at(asked, berlin("2026-06-10T13:00")) == (6, "by the schedule from 12:00 to 14:00 Europe/Berlin")
    assert least_at(asked, berlin("2026-06-10T15:00")) == (4, "by the schedule from 08:00 to 18:00 Europe/Berlin")
    assert least_at(asked, berlin("2026-06-10T19:00")) == (2, "")
    assert least_at(Autoscaling(min_replicas=5, max_replicas=9, schedules=(schedule(),)), berlin("2026-06-10T13:00")) == (5, "")


_times = st.times().map(lambda each: each.strftime("%H:%M"))
_moments = st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - the bounds have none


@tried(200)
@given(_times, _times, st.sampled_from(ZONES), _moments)
def test_a_day_has_one_window_as_long_as_the_clock_says_but_for_what_it_is_set_by(start: str, end: str, zone: str, now: datetime) -> None:
    each = schedule(start, end, zone=zone)
    day = now.astimezone(ZoneInfo(zone)).date()
    (begin, over), (following, _) = window(each, day), window(each, day + timedelta(days=1))
    length = (datetime.strptime(end, "%H:%M") - datetime.strptime(start, "%H:%M")).total_seconds()  # noqa: DTZ007 - of the clock
    nominal = timedelta(seconds=length if length > 0 else length + 86_400)
    assert abs((over - begin) - nominal) <= timedelta(hours=1)
    assert begin < following
    assert begin < over
    assert applies(each, begin)
    assert not applies(each, over) or over >= following


@tried(200)
@given(_times, _times, st.sampled_from(ZONES), st.sampled_from(ZONES), _moments, st.sets(st.sampled_from(["Mon", "Wed", "Sun"])))
def test_what_applies_depends_on_the_moment_alone_and_agrees_with_the_clock(
    start: str, end: str, zone: str, other: str, now: datetime, days: set[str]
) -> None:
    each = schedule(start, end, *sorted(days), zone=zone)
    assert applies(each, now) == applies(each, now.astimezone(ZoneInfo(other)))
    local = now.astimezone(ZoneInfo(zone))
    offsets = {(local + timedelta(hours=hours)).utcoffset() for hours in range(-50, 51, 5)}
    if len(offsets) == 1:  # no clock is set these days: what it shows is all there is to it
        at, before, after = local.strftime("%H:%M"), local - timedelta(days=1), not days
        today, yesterday = (after or each_day.strftime("%a") in days for each_day in (local, before))
        clock = (start <= at < end and today) if start < end else (at >= start and today) or (at < end and yesterday)
        assert applies(each, now) == clock


@pytest.mark.parametrize("days", [(), ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")])
def test_no_day_is_every_day(days: tuple[str, ...]) -> None:
    assert all(applies(schedule("08:00", "18:00", *days), berlin(f"2026-06-{day:02}T12:00")) for day in range(1, 15))
