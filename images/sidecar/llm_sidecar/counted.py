"""The library's figures for a process with one event loop: without locks, and without a walk over the buckets.

Several are observed with each request, and the library's own way costs several times as much. What they touch is private to a library that
is pinned; a test holds them against it.
"""

from bisect import bisect_left

import prometheus_client


class Histogram(prometheus_client.Histogram):
    """Observed from one thread only."""

    def observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None:  # noqa: ARG002  # the library's signature
        """Count one value."""
        self._sum._value += amount  # noqa: SLF001
        self._buckets[bisect_left(self._upper_bounds, amount)]._value += 1  # noqa: SLF001


class Counter(prometheus_client.Counter):
    """Counted from one thread only."""

    def inc(self, amount: float = 1, exemplar: dict[str, str] | None = None) -> None:  # noqa: ARG002  # the library's signature
        """Count up."""
        self._value._value += amount  # noqa: SLF001
