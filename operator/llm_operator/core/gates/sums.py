"""Sums of one arm by bucket of units, as sidecars report them (docs/explanation/statistics.md), and whether they can be true."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

BUCKETS = 256

_SLACK = 1e-6
"""Sums are differences of counters in floating point: that much of them is rounding."""

_REQUESTS_MAX = 1e12
_LOG_MAX = 50.0
_TOKENS_MAX = 1e9
"""What no request can have: whatever is above is no measurement, and infinity neither."""

_COLUMNS = (
    "n",
    "errors",
    "logTimeToFirstToken.n",
    "logTimeToFirstToken.sum",
    "logTimeToFirstToken.squares",
    "logTimePerOutputToken.n",
    "logTimePerOutputToken.sum",
    "logTimePerOutputToken.squares",
    "promptTokens.n",
    "promptTokens.sum",
    "promptTokens.squares",
)


class Row(NamedTuple):
    """The sums of one bucket. Each measure has a count, a sum and a sum of squares; times are ln of seconds."""

    n: float = 0.0
    errors: float = 0.0
    ttft_n: float = 0.0
    ttft: float = 0.0
    ttft_squares: float = 0.0
    tpot_n: float = 0.0
    tpot: float = 0.0
    tpot_squares: float = 0.0
    prompt_n: float = 0.0
    prompt: float = 0.0
    prompt_squares: float = 0.0


Rows = Mapping[int, Row]
"""By bucket; one without requests may be left out."""


class EvidenceError(ValueError):
    """Sums that cannot be read, with what is wrong in words."""


def rows(columns: Sequence[str], buckets: Mapping[str, Sequence[Any]]) -> dict[int, Row]:
    """Read the buckets of one revision by the names of their columns, in whatever order; raise EvidenceError when one is missing."""
    try:
        places = [columns.index(name) for name in _COLUMNS]
        return {int(bucket): Row(*(float(row[place]) for place in places)) for bucket, row in buckets.items()}
    except (ValueError, TypeError, IndexError) as error:
        raise EvidenceError(f"statistics cannot be read: {error}") from error


def added(several: Iterable[Rows]) -> dict[int, Row]:
    """Return the sums of several pods, bucket by bucket."""
    total: dict[int, Row] = {}
    for each in several:
        for bucket, row in each.items():
            known = total.get(bucket)
            total[bucket] = row if known is None else Row(*(a + b for a, b in zip(known, row, strict=True)))
    return total


def contradiction(found: Rows) -> str:
    """Return what cannot be true of these sums, in words; empty when nothing is wrong. No comparison holds for what is not a number."""
    for bucket, row in found.items():
        if not 0 <= bucket < BUCKETS:
            return f"there is no bucket {bucket}"
        if not 0 <= row.errors <= row.n <= _REQUESTS_MAX:
            return f"bucket {bucket} has {row.errors:g} errors in {row.n:g} requests"
        for name, n, total, squares, low, high in (
            ("time to first token", row.ttft_n, row.ttft, row.ttft_squares, -_LOG_MAX, _LOG_MAX),
            ("time per output token", row.tpot_n, row.tpot, row.tpot_squares, -_LOG_MAX, _LOG_MAX),
            ("prompt tokens", row.prompt_n, row.prompt, row.prompt_squares, 0.0, _TOKENS_MAX),
        ):
            if not 0 <= n <= row.n:
                return f"bucket {bucket} has {n:g} values of {name} in {row.n:g} requests"
            if not n * low - _SLACK <= total <= n * high + _SLACK or not total * total <= n * squares + _SLACK * (1 + squares) * (1 + n):
                return f"bucket {bucket} has values of {name} that no requests can have"
    return ""
