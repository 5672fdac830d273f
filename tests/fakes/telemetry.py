"""The Telemetry port in memory."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from llm_operator.core.gates.fetched import Fetched, Question
from llm_operator.core.observed import SidecarReport
from llm_operator.core.telemetry.replies import Heard
from llm_operator.shell.ports import Manifest


@dataclass
class FakeTelemetry:
    """Answers with what a test put in; a pod it does not know cannot be asked. ``asked`` is the uids of all it was asked for.

    ``followed`` has the revisions of each deployment whose statistics are asked for, ``questions`` is what was asked last of
    others.
    """

    reported: dict[str, SidecarReport] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    told: dict[str, Heard] = field(default_factory=dict)
    followed: dict[str, frozenset[str]] = field(default_factory=dict)
    fetched: dict[str, tuple[Fetched, ...]] = field(default_factory=dict)
    questions: tuple[Question, ...] = ()

    async def reports(self, pods: Iterable[Manifest]) -> Mapping[str, SidecarReport | None]:
        """Return a report per pod uid."""
        uids = [pod["metadata"]["uid"] for pod in pods]
        self.asked += uids
        return {uid: self.reported.get(uid) for uid in uids}

    def follow(self, deployment: str, pods: Iterable[Manifest], revisions: Collection[str], questions: Iterable[Question]) -> None:
        """Take note of whose statistics are asked for, and what else."""
        self.asked += [pod["metadata"]["uid"] for pod in pods]
        self.followed.pop(deployment, None)
        if revisions:
            self.followed[deployment] = frozenset(revisions)
        self.questions = tuple(questions)

    def statistics(self, deployment: str) -> Mapping[str, Heard]:
        """Return what a test put in, of a deployment that is followed."""
        return dict(self.told) if deployment in self.followed else {}

    def answers(self, deployment: str) -> Mapping[str, tuple[Fetched, ...]]:
        """Return what a test put in as answers to questions, of a deployment that is followed."""
        return dict(self.fetched) if deployment in self.followed else {}
