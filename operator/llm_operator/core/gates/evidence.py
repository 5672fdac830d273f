"""What gates have seen of a rollout so far: bounded sums, folded minute by minute, that outlive operators and pods."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import expm1, log

from llm_operator.core.gates.contrast import NOTHING, OF_AMOUNTS, OF_LOGARITHMS, Buckets, Cells, Contrast
from llm_operator.core.gates.likelihood import EVEN, Likelihood
from llm_operator.core.gates.sums import Rows, contradiction

_MEMORY_MAX = 0.95


@dataclass(frozen=True)
class Sightings:
    """How many units were seen for the first time, and in which arm; one that both arms bring in the same minute is left out."""

    canary: int = 0
    stable: int = 0


@dataclass(frozen=True)
class Minute:
    """What both arms have served until ``end`` since the minute before.

    ``share`` is the canary's of all new units, None when the table gave it another one at the beginning or on the way. ``planned`` is
    what the table gave it all the time.
    """

    end: datetime
    canary: Rows
    stable: Rows
    share: float | None = None
    sightings: Sightings = Sightings()
    planned: float | None = None


@dataclass(frozen=True)
class Totals:
    """A count and a sum by bucket."""

    n: Buckets = NOTHING
    total: Buckets = NOTHING

    def add(self, cells: Cells) -> "Totals":
        """Return the totals with those of another minute."""
        counts, sums = list(self.n), list(self.total)
        for bucket, n, total in cells:
            counts[bucket] += n
            sums[bucket] += total
        return Totals(tuple(counts), tuple(sums))


@dataclass(frozen=True)
class Load:
    """Requests of the canary in minutes in which the table stayed the same, and how many it would have had if all units asked as often."""

    canary: float = 0.0
    planned: float = 0.0

    def add(self, canary: float, stable: float, share: float | None) -> "Load":
        """Return it with another minute."""
        return Load(self.canary + canary, self.planned + share * (canary + stable)) if share else self


@dataclass(frozen=True)
class Course:
    """The means of minutes, one after the other: enough for how uncertain their mean is when neighbours are alike."""

    minutes: int = 0
    total: float = 0.0
    squares: float = 0.0
    products: float = 0.0
    """Of neighbours."""
    first: float = 0.0
    latest: float = 0.0

    def add(self, value: float) -> "Course":
        """Return the course with another minute."""
        if not self.minutes:
            return Course(1, value, value * value, 0.0, value, value)
        products = self.products + self.latest * value
        return Course(self.minutes + 1, self.total + value, self.squares + value * value, products, self.first, value)

    def variance(self) -> float:
        """Return the variance of the mean, if each minute remembers the one before; needs two minutes."""
        n, mean = self.minutes, self.total / self.minutes
        squares = max(self.squares - n * mean * mean, 0.0)
        products = self.products - mean * (2 * self.total - self.first - self.latest) + (n - 1) * mean * mean
        memory = products / squares if squares else 0.0
        memory = min(max(memory + (1 + 3 * memory) / n, 0.0), _MEMORY_MAX)  # in few minutes memory looks shorter than it is
        return squares / (n - 1) / n * (1 + memory) / (1 - memory)


@dataclass(frozen=True)
class Stable:
    """Stable's ln of times to first token in a span of time, by bucket and by minute."""

    totals: Totals = Totals()
    course: Course = Course()

    def add(self, cells: Cells) -> "Stable":
        """Return it with another minute."""
        count = _count(cells)
        return Stable(self.totals.add(cells), self.course.add(_total(cells) / count)) if count else self


@dataclass(frozen=True)
class Evidence:
    """Everything that gates ask, of one canary against one stable. A fault stays: such evidence promotes nothing any more."""

    warm_up: int = 0
    """Requests of the canary, all its pods together, whose minutes are left out of times: caches were cold."""
    before: Stable = Stable()
    """Stable before the canary had any request."""
    last: datetime | None = None
    fault: str = ""
    canary: Totals = Totals()
    """Requests and errors."""
    stable: Totals = Totals()
    errors: Likelihood = EVEN
    units: Likelihood = EVEN
    load: Load = Load()
    ttft: Contrast = OF_LOGARITHMS
    tpot: Contrast = OF_LOGARITHMS
    prompt: Contrast = OF_AMOUNTS
    beside: Stable = Stable()
    """Stable beside a warm canary."""

    def add(self, minute: Minute) -> "Evidence":
        """Return the evidence with another minute. One that contradicts itself is left out as a whole, and remembered."""
        wrong = self._contradiction(minute)
        if wrong:
            return replace(self, fault=self.fault or f"until {minute.end:%H:%M:%S} {wrong}")
        canary, stable = minute.canary, minute.stable
        was_warm = sum(self.canary.n) >= self.warm_up
        canary_cells, stable_cells = _errors(canary), _errors(stable)
        canary_n, stable_n = _count(canary_cells), _count(stable_cells)
        seen = self.units
        if minute.share is not None:
            seen = seen.add(minute.share, minute.sightings.canary, minute.sightings.stable)
        grown = replace(
            self,
            last=minute.end,
            canary=self.canary.add(canary_cells),
            stable=self.stable.add(stable_cells),
            errors=self.errors.add(canary_n / ((canary_n + stable_n) or 1.0), _total(canary_cells), _total(stable_cells)),
            units=seen,
            load=self.load.add(canary_n, stable_n, minute.planned),
        )
        stable_ttft = _ttft(stable)
        if not sum(grown.canary.n):
            return replace(grown, before=self.before.add(stable_ttft))
        if not (canary_n and was_warm):
            return grown
        return replace(
            grown,
            ttft=self.ttft.add(_ttft(canary), stable_ttft),
            tpot=self.tpot.add(_tpot(canary), _tpot(stable)),
            prompt=self.prompt.add(_prompt(canary), _prompt(stable)),
            beside=self.beside.add(stable_ttft),
        )

    def stale(self, now: datetime, after: timedelta) -> bool:
        """Return whether the last minute is too long ago, or lies ahead."""
        return self.last is not None and not timedelta() <= now - self.last <= after

    def _contradiction(self, minute: Minute) -> str:
        if self.last is not None and minute.end <= self.last:
            return "time went backwards"
        for arm, found in (("canary", minute.canary), ("stable", minute.stable)):
            if wrong := contradiction(found):
                return f"{wrong} of {arm}"
        for share in (minute.share, minute.planned):
            if share is not None and not 0 <= share <= 1:
                return f"the canary had {share:g} of all units"
        if min(minute.sightings.canary, minute.sightings.stable) < 0:
            return "a negative number of units was seen"
        return ""


def baseline(found: Iterable[Rows]) -> Stable:
    """Return what stable was like in the minutes before a rollout; minutes that cannot be true are left out."""
    stable = Stable()
    for each in found:
        if not contradiction(each):
            stable = stable.add(_ttft(each))
    return stable


def sightings(seen: bytes, canary: bytes, stable: bytes, share: float | None, bits: int) -> tuple[Sightings, float | None]:
    """Return how many units are new in bitmaps of units: in one arm, and not ``seen`` in either before; and the share they should have.

    Several units fall on one bit, more of them in the larger arm. With m new units for each bit that was free, Poisson numbers of both
    arms hit it, so of the bits that one arm alone has the canary's share is not w but (e^wm - 1) of (e^wm - 1) + (e^(1-w)m - 1).
    """
    known, one, other = (int.from_bytes(each, "little") for each in (seen, canary, stable))
    found = Sightings((one & ~other & ~known).bit_count(), (other & ~one & ~known).bit_count())
    free, hit = bits - known.bit_count(), ((one | other) & ~known).bit_count()
    if share is None or not hit:
        return found, share
    if hit >= free:
        return found, None  # full: nobody knows how many there were
    load = -log(1 - hit / free)
    alone, others = expm1(share * load), expm1((1 - share) * load)
    return found, alone / (alone + others)


def _errors(found: Rows) -> Cells:
    return [(bucket, row.n, row.errors) for bucket, row in found.items()]


def _ttft(found: Rows) -> Cells:
    return [(bucket, row.ttft_n, row.ttft) for bucket, row in found.items()]


def _tpot(found: Rows) -> Cells:
    return [(bucket, row.tpot_n, row.tpot) for bucket, row in found.items()]


def _prompt(found: Rows) -> Cells:
    return [(bucket, row.prompt_n, row.prompt) for bucket, row in found.items()]


def _count(cells: Cells) -> float:
    return sum([n for _, n, _ in cells])


def _total(cells: Cells) -> float:
    return sum([total for _, _, total in cells])
