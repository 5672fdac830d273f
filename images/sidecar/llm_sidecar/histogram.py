"""A histogram for a process with one event loop: the library's own, observed without locks and without a walk over the buckets."""

from bisect import bisect_left

import prometheus_client


class Histogram(prometheus_client.Histogram):
    """Observed from one thread only. Several are, with each request, and the library's way costs three times as much."""

    def observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None:  # noqa: ARG002  # the library's signature
        """Count one value."""
        self._sum._value += amount  # noqa: SLF001  # one of a pinned library, checked against it by a test
        self._buckets[bisect_left(self._upper_bounds, amount)]._value += 1  # noqa: SLF001
