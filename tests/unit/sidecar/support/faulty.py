"""Stages that fail in every way a stage can."""

import threading
from typing import Any, ClassVar, Literal

from llm_sidecar.stages import ALLOW, EVERYWHERE, Field, Verdict

Fault = Literal["raise", "hang", "slow", "garbage"]
FAULTS: tuple[Fault, ...] = ("raise", "hang", "slow", "garbage")


class Faulty:
    """A stage with a fault. One that hangs does so until it is let go."""

    reads: ClassVar[frozenset[Field]] = EVERYWHERE

    def __init__(self, fault: Fault, slow_s: float) -> None:
        self.fault = fault
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
        if self.fault == "raise":
            raise RuntimeError("broken on purpose")
        if self.fault == "garbage":
            return 7
        if self.fault == "hang":
            self.let_go.wait(60)
        else:
            threading.Event().wait(self.slow_s)
        return good
