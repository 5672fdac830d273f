"""Waiting: a deadline, and a look at the object every now and then."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from llm_operator.cli.exits import CliError, Exit, NoAnswerError

T = TypeVar("T")

_UNITS_S = {"s": 1, "m": 60, "h": 3600}
_FIRST_S = 0.3
_LAST_S = 2.0


def _clock() -> float:
    return time.monotonic()


def pause(seconds: float) -> None:
    """Let some time pass."""
    threading.Event().wait(seconds)


class Deadline:
    """The time there is for everything a command waits for.

    An API server that has never answered is an error at once. Once it has, one that is away or busy for a while is told of and asked again.
    """

    def __init__(self, seconds: float, say: Callable[[str], None]) -> None:
        self._end = _clock() + seconds
        self._say = say
        self._answered = False

    def left_s(self) -> float:
        """Return how much of it is left."""
        return max(self._end - _clock(), 0.0)

    def until(self, look: Callable[[], T | None], what: Callable[[], CliError]) -> T:
        """Return the first answer of ``look``; raise ``what`` when there is none in time."""
        interval_s = _FIRST_S
        while True:
            found = self._asked(look)
            if found is not None:
                return found
            if interval_s > self.left_s():
                raise _in_words(what)
            pause(interval_s)
            interval_s = min(interval_s * 1.3, _LAST_S)

    def _asked(self, look: Callable[[], T | None]) -> T | None:
        try:
            found = look()
        except NoAnswerError as error:
            if self._answered:
                self._say(f"{error}; asking again")
                return None
            raise CliError(str(error), error.code if self.left_s() else Exit.TIMED_OUT) from error
        self._answered = True
        return found


def _in_words(what: Callable[[], CliError]) -> CliError:
    """Return why it is too late, for which the API server is asked a last time."""
    try:
        return what()
    except NoAnswerError as error:
        return CliError(str(error), Exit.TIMED_OUT)


def seconds(text: str) -> float:
    """Return a duration as users write it: 90s, 10m, 1h30m, or bare seconds."""
    if text.isdecimal() and text.isascii():
        return float(text)
    total, digits = 0.0, ""
    for char in text:
        if char in _UNITS_S and digits:
            total += int(digits) * _UNITS_S[char]
            digits = ""
        elif char in "0123456789":
            digits += char
        else:
            digits = "?"
            break
    if digits or not text:
        raise CliError(f"--timeout: {text!r} is not a duration; write 90s, 10m or 1h30m", Exit.USAGE)
    return total
