"""Runs stages over a request or a whole answer: within their time, by their policy, counted."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from llm_sidecar import json_text, texts
from llm_sidecar.errors import Refusal
from llm_sidecar.pipeline import BodyStep, Pipeline, Step
from llm_sidecar.policy import Bypass, Policy, Refuse, Trouble, name_of, on_trouble, on_verdict
from llm_sidecar.stage_metrics import Action, StageMetrics
from llm_sidecar.stages import ALLOW, Allow, Block, Modify, Verdict
from llm_sidecar.texts import Text

INLINE_BYTES = 64 * 1024
"""Larger bodies are judged in a thread: the streams of others must not wait for them."""

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
            if isinstance(step, BodyStep):
                stage = step.stage
                await self._judge(step.policy, lambda stage=stage: [stage.check(body)], [None], size)  # type: ignore[misc]
                continue
            if found is None:
                found = texts.of_request(body)
            if await self._texts(step, found, size):
                changed = True
                found = None
        return changed

    async def answer(self, pipeline: Pipeline, body: dict[str, Any], size: int) -> bool:
        """Run a whole answer through the stages, changing it in place; return whether it changed, or raise Refusal."""
        changed = False
        for step in pipeline.response:
            changed |= await self._texts(step, texts.of_answer(body), size)
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

    async def _texts(self, step: Step, found: Iterable[Text], size: int) -> bool:
        stage = step.stage
        mine = [text for text in found if text.field in stage.reads]
        verdicts = await self._judge(step.policy, lambda: [json_text.judge(stage, text.field, text.value) for text in mine], mine, size)
        changed = False
        for text, verdict in zip(mine, verdicts, strict=True):
            if isinstance(verdict, Modify):
                text.replace(verdict.text)
                changed = True
        return changed

    async def _judge(
        self, policy: Policy, job: Callable[[], Sequence[Verdict]], subjects: Sequence[Text | None], size: int
    ) -> Sequence[Verdict]:
        """Return the verdicts that the policy lets stand, one a subject, or raise Refusal."""
        verdicts: Sequence[Verdict] = ()
        trouble: Trouble | None = None
        began = time.perf_counter()
        try:
            verdicts = job() if size <= INLINE_BYTES else await _in_a_thread(policy.timeout_s, job)
        except TimeoutError:
            trouble = "timeout"
        except Exception as error:  # noqa: BLE001  # a stage that fails is a case of its policy, whatever it fails with
            trouble = "error"
            self.metrics.broke(policy.stage, error)
        took_s = time.perf_counter() - began
        self.metrics.took(policy.stage, took_s)
        if trouble is None:
            trouble = "timeout" if took_s > policy.timeout_s else None if all(map(is_verdict, verdicts)) else "garbage"
        if trouble is not None:
            self._give_up(policy, trouble)
            return [ALLOW] * len(subjects)
        return [self._let_stand(policy, verdict, subject) for verdict, subject in zip(verdicts, subjects, strict=True)]

    def _give_up(self, policy: Policy, trouble: Trouble) -> None:
        outcome = on_trouble(policy, trouble)
        if isinstance(outcome, Refuse):
            raise self.refuse(policy, outcome)
        self.bypass(policy.stage, outcome.reason)

    def _let_stand(self, policy: Policy, verdict: Verdict, subject: Text | None) -> Verdict:
        outcome = self.weighed(policy, verdict)
        if isinstance(outcome, Refuse):
            raise self.refuse(policy, outcome, subject.path if subject is not None else "")
        return verdict if outcome is None else ALLOW


def is_verdict(value: object) -> bool:
    """Return whether a stage gave what it should have."""
    return isinstance(value, Allow | Block) or (isinstance(value, Modify) and isinstance(value.text, str))


async def _in_a_thread(timeout_s: float, job: Callable[[], Sequence[Verdict]]) -> Sequence[Verdict]:
    async with asyncio.timeout(timeout_s):
        return await asyncio.get_running_loop().run_in_executor(_pool, job)
