"""Which arm an event fell into, held against the share each arm had: likelihoods of ratios, folded minute by minute.

Given that an event happened, it is one of the canary's with probability θw/(θw + 1 - w), where w is the canary's share at that moment
and θ the ratio of the two rates. So neither the rate itself nor its course matters, and w may change all the time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, inf, log

_ABOVE = (1.05, 1.1, 1.15, 1.2, 1.25, 1.3, 1.4, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 15.0, 20.0)

GRID: tuple[float, ...] = (*(1 / each for each in reversed(_ABOVE)), 1.0, *_ABOVE)
"""The ratios whose likelihood is kept. Everything that is asked about ratios is asked of these."""

_LOGS = tuple(log(each) for each in GRID)
_LESS_ONE = tuple(each - 1 for each in GRID)


@dataclass(frozen=True)
class Likelihood:
    """The logarithm of the likelihood of each ratio of GRID, over that of equal rates."""

    logs: tuple[float, ...] = (0.0,) * len(GRID)
    canary: float = 0.0
    stable: float = 0.0

    def add(self, share: float, canary: float, stable: float) -> "Likelihood":
        """Return the likelihoods with the events of another minute, in which the canary had this share."""
        events = canary + stable
        if not events:
            return self
        logs = tuple(
            [
                before + canary * ratio - events * log(1 + less_one * share)
                for before, ratio, less_one in zip(self.logs, _LOGS, _LESS_ONE, strict=True)
            ]
        )
        return Likelihood(logs, self.canary + canary, self.stable + stable)

    def evidence(self, alternatives: Sequence[int], null: int, clustering: float = 1.0) -> float:
        """Return the logarithm of the evidence for a mixture of ratios against one, events counted in clusters of a size."""
        zero = self.logs[null]
        return log_mean_exp([(self.logs[each] - zero) / clustering for each in alternatives])

    def interval(self, threshold: float, clustering: float = 1.0) -> tuple[float | None, float | None]:
        """Return between which ratios the truth lies: those that the mixture of all does not refute, and the next ones outwards."""
        everything = log_mean_exp([each / clustering for each in self.logs])
        kept = [place for place, each in enumerate(self.logs) if everything - each / clustering < threshold]
        low, high = kept[0] - 1, kept[-1] + 1
        return (GRID[low] if low >= 0 else None, GRID[high] if high < len(GRID) else None)


EVEN = Likelihood()
"""Nothing has happened yet."""


def place(ratio: float) -> int:
    """Return the place in GRID of the largest ratio that is not above one."""
    return max((at for at, each in enumerate(GRID) if each <= ratio), default=0)


def between(low: float, high: float) -> list[int]:
    """Return the places in GRID of all ratios within bounds, but for equality, which says nothing."""
    return [at for at, each in enumerate(GRID) if low <= each <= high and each != 1.0]


def log_mean_exp(logs: Sequence[float]) -> float:
    """Return ln of the mean of exp, without overflow."""
    top = max(logs)
    return -inf if top == -inf else top + log(sum([exp(each - top) for each in logs]) / len(logs))
