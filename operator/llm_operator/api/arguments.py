"""What the value of an engine argument may be: one small class per kind of value."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}", re.ASCII)
_DECIMAL = re.compile(r"(0|[1-9][0-9]{0,9})(\.[0-9]{1,9})?", re.ASCII)


@dataclass(frozen=True)
class Flag:
    """A switch: "true" sets it and "false" sets its negation."""

    @property
    def expects(self) -> str:
        """Return the valid values in words."""
        return '"true" or "false"'

    def accepts(self, value: str) -> bool:
        """Return whether the value is valid."""
        return value in {"true", "false"}


@dataclass(frozen=True)
class Integer:
    """A whole number without leading zeros, so that one number is one text."""

    low: int
    high: int

    @property
    def expects(self) -> str:
        """Return the valid values in words."""
        return f"an integer from {self.low} to {self.high}"

    def accepts(self, value: str) -> bool:
        """Return whether the value is valid."""
        return _INTEGER.fullmatch(value) is not None and self.low <= int(value) <= self.high


@dataclass(frozen=True)
class Number:
    """A number that may have decimals."""

    low: Decimal
    high: Decimal

    @property
    def expects(self) -> str:
        """Return the valid values in words."""
        return f"a number from {self.low} to {self.high}"

    def accepts(self, value: str) -> bool:
        """Return whether the value is valid."""
        return _DECIMAL.fullmatch(value) is not None and self.low <= Decimal(value) <= self.high


@dataclass(frozen=True)
class Choice:
    """One of the engine's choices. ``without`` are choices the engine has and we refuse: they need a plug-in, a network or pickle."""

    choices: tuple[str, ...]
    without: tuple[str, ...] = ()

    @property
    def expects(self) -> str:
        """Return the valid values in words."""
        return f"one of {', '.join(self.choices)}"

    def accepts(self, value: str) -> bool:
        """Return whether the value is valid."""
        return value in self.choices


@dataclass(frozen=True)
class Word:
    """A name the engine looks up in a registry of its own: never a path, never an import."""

    pattern: str
    example: str

    @property
    def expects(self) -> str:
        """Return the valid values in words."""
        return f"a name like {self.example}"

    def accepts(self, value: str) -> bool:
        """Return whether the value is valid."""
        return re.fullmatch(self.pattern, value, re.ASCII) is not None


@dataclass(frozen=True)
class JsonObject:
    """A JSON object; ``entry`` says which of its entries are valid."""

    example: str
    entry: Callable[[str, Any], bool]

    @property
    def expects(self) -> str:
        """Return the valid values in words."""
        return f"a JSON object like {self.example}"

    def accepts(self, value: str) -> bool:
        """Return whether the value is valid."""
        try:
            data = json.loads(value)
            json.dumps(data, allow_nan=False)
        except (ValueError, RecursionError):
            return False
        return isinstance(data, dict) and all(self.entry(key, item) for key, item in data.items())


Arg = Flag | Integer | Number | Choice | Word | JsonObject
