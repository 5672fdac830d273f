"""A stage that fails in every way a stage can."""

import threading
from typing import Any, ClassVar, Literal

from llm_sidecar.stages import ALLOW, EVERYWHERE, Field, Verdict

Fault = Literal["raise", "hang", "slow", "garbage"]
FAULTS: tuple[Fault, ...] = ("raise", "hang", "slow", "garbage")
REASONS = {"raise": "error", "hang": "timeout", "slow": "timeout", "garbage": "garbage"}
"""Why a stage with this fault is passed by."""

_FAILED, _LATE = (503, "stage_failed"), (504, "stage_timeout")
REFUSALS = {"raise": _FAILED, "hang": _LATE, "slow": _LATE, "garbage": _FAILED}
"""Status and code of the refusal where it is not."""


class Faulty:
    """A stage with a fault, once it is broken. One that hangs does so until it is let go."""

    reads: ClassVar[frozenset[Field]] = EVERYWHERE

    def __init__(self, fault: Fault, *, is_broken: bool = False, slow_s: float = 0.3) -> None:
        self.fault = fault
        self.is_broken = is_broken
        self.slow_s = slow_s
        self.hides = False
        self.let_go = threading.Event()
        self.held = ""
        self.found: set[str] = set()

    def judge(self, _text: str) -> Verdict:
        verdict: Verdict = self._fail(ALLOW)
        return verdict

    def check(self, _body: dict[str, Any]) -> Any:
        return self._fail(ALLOW)

    def stream(self) -> "Faulty":
        return self

    def feed(self, text: str) -> str:
        out: str = self._fail(text)
        return out

    def finish(self) -> str:
        return ""

    def _fail(self, good: Any) -> Any:
        if not self.is_broken:
            return good
        if self.fault == "raise":
            raise RuntimeError("broken on purpose")
        if self.fault == "garbage":
            return 7
        self.let_go.wait(60 if self.fault == "hang" else self.slow_s)
        return good
