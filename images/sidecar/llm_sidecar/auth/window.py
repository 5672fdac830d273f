"""How much came within the last minute: counted in slots of a second, so that no minute ever has more than is allowed."""

_SLOTS = 61  # a slot counts until all of it is older than a minute


class Window:
    """A sum over the last 60 to 61 seconds. Times are seconds of a clock that never goes back."""

    __slots__ = ("_newest", "_slots", "used")

    def __init__(self) -> None:
        self._slots = [0] * _SLOTS
        self._newest = 0
        self.used = 0

    def roll(self, now: float) -> None:
        """Forget what is older than a minute; ``used`` is what is left."""
        newest = int(now)
        if newest == self._newest:
            return
        if self.used:
            for second in range(max(self._newest + 1, newest - _SLOTS + 1), newest + 1):
                self.used -= self._slots[second % _SLOTS]
                self._slots[second % _SLOTS] = 0
        self._newest = max(self._newest, newest)

    def add(self, now: float, amount: int) -> None:
        """Count an amount."""
        if int(now) != self._newest:
            self.roll(now)
        self._slots[self._newest % _SLOTS] += amount
        self.used += amount

    def take_back(self, then: float, amount: int) -> None:
        """Make undone what was counted at an earlier time, if it still counts."""
        if int(then) > self._newest - _SLOTS:
            self._slots[int(then) % _SLOTS] -= amount
            self.used -= amount

    def wait_s(self, now: float, most: float) -> int:
        """Return in how many seconds at most ``most`` of what counts now is left; 0 when that is so already."""
        if int(now) != self._newest:
            self.roll(now)
        if self.used <= most:
            return 0
        left, ago = self.used, _SLOTS
        while left > most and ago:
            ago -= 1
            left -= self._slots[(self._newest - ago) % _SLOTS]
        return _SLOTS - ago
