"""Times for which more pods are kept. What is asked for is a clock on the wall; what is decided by is the moments it shows those times."""

from datetime import UTC, date, datetime, time, timedelta
from typing import get_args
from zoneinfo import ZoneInfo

from llm_operator.api.autoscaling import Autoscaling, Day, Schedule

_DAYS = get_args(Day)


def least_at(asked: Autoscaling, now: datetime) -> tuple[int, str]:
    """Return the fewest pods there may be now, and by which schedule where one asks for more than usual."""
    highest = max((each for each in asked.schedules if applies(each, now)), key=lambda each: each.min_replicas, default=None)
    if highest is None or highest.min_replicas <= asked.min_replicas:
        return asked.min_replicas, ""
    return highest.min_replicas, f"by the schedule from {highest.start} to {highest.end} {highest.timezone}"


def applies(schedule: Schedule, now: datetime) -> bool:
    """Return whether a moment is within a schedule, of today or of the day before."""
    today = now.astimezone(ZoneInfo(schedule.timezone)).date()
    return any(
        begin <= now < end for begin, end in (window(schedule, day) for day in (today - timedelta(days=1), today) if _is_on(schedule, day))
    )


def window(schedule: Schedule, day: date) -> tuple[datetime, datetime]:
    """Return when a schedule begins that does so on a day, and when it ends; a day may be an hour longer or shorter than most."""
    over = day if schedule.end > schedule.start else day + timedelta(days=1)
    begin, end = _moment(schedule, day, schedule.start), _moment(schedule, over, schedule.end)
    if end <= begin:  # the clock was set forward over all of it, or over its end
        end = begin + (_shown(over, schedule.end) - _shown(day, schedule.start))
    return begin, end


def _is_on(schedule: Schedule, day: date) -> bool:
    return not schedule.days or _DAYS[day.weekday()] in schedule.days


def _moment(schedule: Schedule, day: date, at: str) -> datetime:
    """Return when a clock shows a time for the first time on a day; one it leaves out comes as much later as the clock was set forward."""
    return _shown(day, at).replace(tzinfo=ZoneInfo(schedule.timezone)).astimezone(UTC)


def _shown(day: date, at: str) -> datetime:
    """Return what a clock shows then, in no time zone: such times differ by how long it is between them on a day without a change."""
    return datetime.combine(day, time.fromisoformat(at))
