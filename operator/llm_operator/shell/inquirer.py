"""Asks Prometheus and webhooks what the gates of a rollout want to know, again and again, and keeps the last answers to each question."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from llm_operator.core.gates.fetched import Fetched, Question

_AT_ONCE = 16

Pose = Callable[[Question], Awaitable[tuple[int, str]]]
"""Asks once and returns status and body; status 0 with a reason where there was no answer. Never raises."""


@dataclass
class _Posed:
    answers: tuple[Fetched, ...] = ()
    task: "asyncio.Task[None] | None" = None


@dataclass
class Inquirer:
    """Has a task for each question, so that no server keeps the questions to another one waiting.

    A deployment is named as in logs, by namespace and name.
    """

    pose: Pose
    now: Callable[[], datetime]
    _posed: dict[str, dict[Question, _Posed]] = field(default_factory=dict)
    _slots: dict[str, asyncio.Semaphore] = field(default_factory=dict)

    def follow(self, deployment: str, questions: Iterable[Question]) -> None:
        """Ask these questions from now on, and no others about the deployment; what one that is over was answered is forgotten."""
        wanted, posed = set(questions), self._posed.pop(deployment, {})
        _cancel(each for question, each in posed.items() if question not in wanted)
        kept = {question: posed.get(question) or self._begin(question) for question in wanted}
        if kept:
            self._posed[deployment] = kept

    def answers(self, deployment: str) -> Mapping[str, tuple[Fetched, ...]]:
        """Return the last answers about a deployment by gate, the newest last."""
        return {question.gate: posed.answers for question, posed in self._posed.get(deployment, {}).items()}

    async def close(self) -> None:
        """Ask nothing any more."""
        posed = [each for questions in self._posed.values() for each in questions.values()]
        _cancel(posed)
        self._posed.clear()
        await asyncio.gather(*(each.task for each in posed if each.task), return_exceptions=True)

    def _begin(self, question: Question) -> _Posed:
        posed = _Posed()
        posed.task = asyncio.create_task(self._keep_asking(question, posed))
        return posed

    async def _keep_asking(self, question: Question, posed: _Posed) -> None:
        slots = self._slots.setdefault(question.server, asyncio.Semaphore(_AT_ONCE))
        while True:
            async with slots:
                status, body = await self.pose(question)
            posed.answers = (*posed.answers, Fetched(self.now(), status, body))[-question.kept :]
            await asyncio.sleep(question.interval_s)


def _cancel(posed: Iterable[_Posed]) -> None:
    for each in posed:
        if each.task:
            each.task.cancel()
