"""Runs stages over a request or a whole answer: within their time, by their policy, counted."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from llm_sidecar import json_text, texts
from llm_sidecar.errors import Refusal
from llm_sidecar.pipeline import BodyStep, Pipeline, Step
from llm_sidecar.policy import Bypass, Policy, Refuse, Trouble, name_of, on_trouble, on_verdict
from llm_sidecar.stage_metrics import Action, StageMetrics
from llm_sidecar.stages import ALLOW, EVERYWHERE, Allow, Block, Modify, Stage, Verdict
from llm_sidecar.texts import Text

INLINE_BYTES = 64 * 1024
"""Larger bodies are judged in a thread: the streams of others must not wait for them."""

_NO_TEXT: Sequence[Text] = ()
_NO_BODY: dict[str, Any] = {}
_pool = ThreadPoolExecutor(4, "stage")


class Judging:
    """One request's way through its stages. ``bypassed`` says which of them were passed by, and why."""

    __slots__ = ("bypassed", "metrics")

    def __init__(self, metrics: StageMetrics) -> None:
        self.metrics = metrics
        self.bypassed: list[str] = []

    async def request(self, steps: Iterable[Step | BodyStep], body: dict[str, Any], size: int) -> bool:
        """Run a client's body through these stages, changing it in place; return whether it changed, or raise Refusal."""
        found: list[Text] | None = None
        changed = False
        for step in steps:
            read = _NO_TEXT
            if isinstance(step, Step):
                if found is None:
                    found = texts.of_request(body)
                read = _read_by(step.stage, found)
            # What is small is judged here and now: not one of these steps may cost a turn of the loop.
            if self._inline(step, read, body) if size <= INLINE_BYTES else await self._aside(step, read, body):
                changed = True
                for text in read:
                    text.write(body)
        return changed

    async def answer(self, pipeline: Pipeline, found: list[Text], size: int) -> bool:
        """Run the texts of a whole answer through the stages, changing their values; return whether one changed, or raise Refusal."""
        changed = False
        for step in pipeline.response:
            read = _read_by(step.stage, found)
            changed |= self._inline(step, read, _NO_BODY) if size <= INLINE_BYTES else await self._aside(step, read, _NO_BODY)
        return changed

    def bypass(self, stage: str, reason: str) -> None:
        """Note that a stage was passed by."""
        self.metrics.bypassed(stage, reason)
        self.bypassed.append(f"{stage}={reason}")

    def weighed(self, policy: Policy, verdict: Verdict) -> Refuse | Bypass | None:
        """Return what a verdict means, counted."""
        outcome = on_verdict(policy, verdict)
        action: Action = "pass" if outcome is None else "bypass" if isinstance(outcome, Bypass) else "refuse"
        self.metrics.judged(policy.stage, name_of(verdict), action)
        if isinstance(outcome, Bypass):
            self.bypass(policy.stage, outcome.reason)
        return outcome

    def streamed(self, policy: Policy, verdict: Verdict, took_s: float) -> None:
        """Count what a stage thought of a text that came in pieces."""
        self.metrics.took(policy.stage, took_s)
        self.metrics.judged(policy.stage, name_of(verdict), "pass")

    def refuse(self, policy: Policy, refuse: Refuse, field: str = "") -> Refusal:
        """Return the refusal of a stage; its field is inside the one that was judged."""
        param = f"{field}.{refuse.field}".strip(".") or None
        return Refusal(refuse.status, refuse.code, refuse.reason, param=param, stage=policy.stage)

    def _inline(self, step: Step | BodyStep, read: Sequence[Text], body: dict[str, Any]) -> bool:
        """Run a stage here and now; return whether it changed a text, or raise Refusal."""
        began = time.perf_counter()
        try:
            verdicts = _judge(step, read, body)
        except Exception as error:  # noqa: BLE001  # a stage that fails is a case of its policy, whatever it fails with
            return self._failed(step.policy, error, time.perf_counter() - began)
        took_s = time.perf_counter() - began
        policy = step.policy
        if took_s <= policy.timeout_s and verdicts.count(ALLOW) == len(verdicts):  # as nearly always
            self.metrics.allowed(policy.stage, took_s, len(verdicts))
            return False
        return self._settle(policy, verdicts, read, took_s)

    async def _aside(self, step: Step | BodyStep, read: Sequence[Text], body: dict[str, Any]) -> bool:
        """Run a stage in a thread, and no longer than it may take."""
        began = time.perf_counter()
        try:
            async with asyncio.timeout(step.policy.timeout_s):
                verdicts = await asyncio.get_running_loop().run_in_executor(_pool, _judge, step, read, body)
        except Exception as error:  # noqa: BLE001  # the same
            return self._failed(step.policy, error, time.perf_counter() - began)
        return self._settle(step.policy, verdicts, read, time.perf_counter() - began)

    def _failed(self, policy: Policy, error: Exception, took_s: float) -> bool:
        self.metrics.took(policy.stage, took_s)
        if isinstance(error, TimeoutError):
            return self._give_up(policy, "timeout")
        self.metrics.broke(policy.stage, error)
        return self._give_up(policy, "error")

    def _settle(self, policy: Policy, verdicts: Sequence[Verdict], read: Sequence[Text], took_s: float) -> bool:
        """Do what follows from the verdicts on these texts."""
        if took_s > policy.timeout_s:
            self.metrics.took(policy.stage, took_s)
            return self._give_up(policy, "timeout")
        self.metrics.took(policy.stage, took_s)
        if not all(map(is_verdict, verdicts)):
            return self._give_up(policy, "garbage")
        changed = False
        for number, verdict in enumerate(verdicts):
            outcome = self.weighed(policy, verdict)
            if isinstance(outcome, Refuse):
                raise self.refuse(policy, outcome, read[number].path if read else "")
            if outcome is None and isinstance(verdict, Modify):
                read[number].value = verdict.text
                changed = True
        return changed

    def _give_up(self, policy: Policy, trouble: Trouble) -> bool:
        outcome = on_trouble(policy, trouble)
        if isinstance(outcome, Refuse):
            raise self.refuse(policy, outcome)
        self.bypass(policy.stage, outcome.reason)
        return False


def is_verdict(value: object) -> bool:
    """Return whether a stage gave what it should have."""
    return isinstance(value, Allow | Block) or (isinstance(value, Modify) and isinstance(value.text, str))


def _read_by(stage: Stage, found: list[Text]) -> list[Text]:
    return found if stage.reads is EVERYWHERE else [text for text in found if text.field in stage.reads]


def _judge(step: Step | BodyStep, read: Sequence[Text], body: dict[str, Any]) -> Sequence[Verdict]:
    if isinstance(step, BodyStep):
        return (step.stage.check(body),)
    stage = step.stage
    if len(read) == 1 and read[0].field != "arguments":
        return (stage.judge(read[0].value),)
    return [json_text.judge(stage, text.value) if text.field == "arguments" else stage.judge(text.value) for text in read]
