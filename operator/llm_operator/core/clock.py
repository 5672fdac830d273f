"""Times as Kubernetes writes them. The current time is always handed in."""

from datetime import UTC, datetime


def stamp(now: datetime) -> str:
    """Return a time as conditions carry it: UTC, whole seconds."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def micro(now: datetime) -> str:
    """Return a time as Leases and Events carry it: UTC, always with six digits, without which the server does not take it."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def seconds_since(then: str | None, now: datetime) -> float:
    """Return the seconds since a time of the API; 0 when there is none, or when it lies ahead."""
    if not then:
        return 0.0
    try:
        moment = datetime.fromisoformat(then)
    except ValueError:
        return 0.0
    return max((now - moment).total_seconds(), 0.0) if moment.tzinfo else 0.0
