"""What the stub does wrong, switched at start by STUB_FAULTS and at run time by POST /-/faults with the same JSON."""

import json
import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, get_args, get_type_hints

CHOICES = {
    "abort_how": ("cut", "error", "finish"),
    "garbage": ("", "json", "sse", "http"),
    "metrics": ("", "missing", "error", "empty", "nan", "garbage", "hang", "reset", "foreign"),
}


@dataclass(frozen=True)
class Faults:
    """All switches, off by default. Rates are shares of requests from 0 to 1."""

    error_rate: float = 0.0
    error_status: int = 500
    error_words: str = ""
    """Only requests with these words in them end with an error; empty is any."""
    latency_s: float = 0.0
    slowdown: float = 1.0
    hang_rate: float = 0.0
    abort_rate: float = 0.0
    abort_after_tokens: int = 3
    abort_how: str = "cut"
    garbage: str = ""
    unhealthy: bool = False
    metrics: str = ""
    exit_code: int | None = None

    def changed(self, changes: Mapping[str, Any]) -> "Faults":
        """Return the faults with some switched, or raise ValueError naming what is not understood."""
        hints = get_type_hints(type(self))
        for name, value in changes.items():
            if name not in hints:
                raise ValueError(f"no fault {name!r}: there are {', '.join(each.name for each in fields(self))}")
            kinds = get_args(hints[name]) or ((float, int) if hints[name] is float else (hints[name],))
            if type(value) not in kinds:
                raise ValueError(f"fault {name!r} is {value!r}, which is no {hints[name]}")
            if name in CHOICES and value not in CHOICES[name]:
                raise ValueError(f"fault {name!r} is {value!r}: it may be {CHOICES[name]}")
        return Faults(**(asdict(self) | dict(changes)))


class FaultBox:
    """The faults in force, and the dice that say which request they hit; the same seed hits the same ones."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.now = Faults().changed(json.loads(env.get("STUB_FAULTS", "{}")))
        self._dice = random.Random(int(env.get("STUB_SEED", "0")))  # noqa: S311  reproducible, not secret

    def hits(self, rate: float) -> bool:
        """Say whether a fault of this rate hits the present request."""
        return rate > 0 and self._dice.random() < rate
