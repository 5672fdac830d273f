"""Stages that say what they did: for whoever tries a pipeline out. The judging itself is the one that requests go through."""

import copy
from collections.abc import Awaitable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from prometheus_client import CollectorRegistry

from llm_sidecar.errors import Refusal
from llm_sidecar.judging import Judging
from llm_sidecar.pipeline import BodyStep, Pipeline, Step
from llm_sidecar.policy import Bypass, Policy, Refuse
from llm_sidecar.stage_metrics import StageMetrics
from llm_sidecar.stages import Block, Modify, Verdict
from llm_sidecar.texts import Text

Outcome = Literal["passed", "tagged", "changed", "bypassed", "refused"]
"""What a stage made of a text, the gravest last: it went on as it was, with a note, as another one, without the stage, or not at all."""

_GRAVITY: tuple[Outcome, ...] = ("passed", "tagged", "changed", "bypassed", "refused")


@dataclass(frozen=True, slots=True)
class Change:
    """A text that a stage has replaced, and where it is."""

    path: str
    before: str
    after: str


@dataclass(slots=True)
class Did:
    """What one stage did. ``found`` names what it found, ``reason`` says why it was bypassed."""

    stage: str
    outcome: Outcome = "passed"
    found: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()
    reason: str = ""

    def at_least(self, outcome: Outcome) -> None:
        """Make of this the graver of two outcomes."""
        self.outcome = max(self.outcome, outcome, key=_GRAVITY.index)


class Traced(Judging):
    """Notes for each stage what it did to a request, to a whole answer, and to the texts of a stream."""

    def __init__(self) -> None:
        super().__init__(StageMetrics(CollectorRegistry()))
        self.requested: list[Did] = []
        self.answered: list[Did] = []
        self._now: Did | None = None

    async def request(self, steps: Iterable[Step | BodyStep], body: dict[str, Any], size: int) -> bool:
        """Run the stages one by one."""
        changed = False
        for step in steps:
            before = copy.deepcopy(body)
            did = self._begin(self.requested, step)
            if await self._ended(super().request((step,), body, size)):
                did.changes = tuple(_changes(before, body, ""))
                did.at_least("changed")
                changed = True
        return changed

    async def answer(self, pipeline: Pipeline, found: list[Text], size: int) -> bool:
        """Run the stages one by one."""
        changed = False
        for step in pipeline.response:
            before = [text.value for text in found]
            did = self._begin(self.answered, step)
            if await self._ended(super().answer(replace(pipeline, response=(step,)), found, size)):
                pairs = zip(found, before, strict=True)
                did.changes = tuple(Change(text.path, old, text.value) for text, old in pairs if text.value != old)
                did.at_least("changed")
                changed = True
        return changed

    def bypass(self, stage: str, reason: str) -> None:
        """Note that a stage was passed by."""
        super().bypass(stage, reason)
        did = self._of(stage)
        did.at_least("bypassed")
        did.reason = reason

    def weighed(self, policy: Policy, verdict: Verdict) -> Refuse | Bypass | None:
        """Note what was found."""
        if not isinstance(verdict, Block):
            self._find(self._of(policy.stage), verdict.found)
        return super().weighed(policy, verdict)

    def streamed(self, policy: Policy, verdict: Verdict, took_s: float) -> None:
        """Note what was found in a text that came in pieces."""
        super().streamed(policy, verdict, took_s)
        did = self._of(policy.stage)
        if not isinstance(verdict, Block):
            self._find(did, verdict.found)
        if isinstance(verdict, Modify):
            did.at_least("changed")

    def refuse(self, policy: Policy, refuse: Refuse, field: str = "") -> Refusal:
        """Note that a stage ends the request."""
        self._of(policy.stage).at_least("refused")
        return super().refuse(policy, refuse, field)

    def _of(self, stage: str) -> Did:
        """Return the entry of the stage that runs; in a stream stages of one name share one."""
        if self._now is not None:
            return self._now
        did = next((each for each in self.answered if each.stage == stage), None)
        if did is None:
            did = Did(stage)
            self.answered.append(did)
        return did

    def _find(self, did: Did, found: tuple[str, ...]) -> None:
        if found:
            did.found = tuple(sorted({*did.found, *found}))
            did.at_least("tagged")

    def _begin(self, into: list[Did], step: Step | BodyStep) -> Did:
        did = self._now = Did(step.policy.stage)
        into.append(did)
        return did

    async def _ended(self, judged: Awaitable[bool]) -> bool:
        try:
            return await judged
        finally:
            self._now = None


def _changes(before: Any, after: Any, path: str) -> Iterator[Change]:
    """Yield the texts in which two bodies differ; stages change nothing else."""
    if isinstance(before, dict):
        for name, value in before.items():
            yield from _changes(value, after[name], f"{path}.{name}".removeprefix("."))
    elif isinstance(before, list):
        for index, value in enumerate(before):
            yield from _changes(value, after[index], f"{path}[{index}]")
    elif before != after:
        yield Change(path, before, after)
