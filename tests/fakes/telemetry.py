"""The Telemetry port in memory."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from llm_operator.core.gates.fetched import Fetched, Question
from llm_operator.core.observed import SidecarReport
from llm_operator.core.scaling.decide import Memory
from llm_operator.core.scaling.outlook import Alarm
from llm_operator.core.scaling.sample import Expected
from llm_operator.core.scaling.watched import Watched
from llm_operator.core.telemetry.replies import Heard
from llm_operator.shell.ports import Manifest


@dataclass
class FakeTelemetry:
    """Answers with what a test put in; a pod it does not know cannot be asked. ``asked`` is the uids of all it was asked for.

    ``followed`` has the revisions of each deployment whose statistics are asked for, ``questions`` is what was asked last of
    others. ``asleep`` has the pods of each deployment that are asked whether somebody waits.
    """

    reported: dict[str, SidecarReport] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    told: dict[str, Heard] = field(default_factory=dict)
    followed: dict[str, frozenset[str]] = field(default_factory=dict)
    fetched: dict[str, tuple[Fetched, ...]] = field(default_factory=dict)
    questions: tuple[Question, ...] = ()
    loaded: Watched = field(default_factory=Watched)
    load: dict[str, Watched] = field(default_factory=dict)
    alarm: Alarm | None = None
    asleep: dict[str, list[str]] = field(default_factory=dict)

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

    def watch(
        self, deployment: str, pods: Iterable[Manifest], engines: Mapping[str, Expected], memory: Memory, alarm: Alarm | None = None
    ) -> None:
        """Take note of whose load is asked for, and keep the memory."""
        self.asked += [pod["metadata"]["uid"] for pod in pods if engines]
        self.load.pop(deployment, None)
        self.alarm = alarm
        if engines:
            self.load[deployment] = replace(self.loaded, memory=memory)

    def watched(self, deployment: str) -> Watched:
        """Return what a test put in, of a deployment that is watched."""
        return self.load.get(deployment, self.loaded)

    def listen(self, deployment: str, pods: Iterable[Manifest]) -> None:
        """Take note of who is asked whether somebody waits."""
        self.asleep[deployment] = [pod["metadata"]["uid"] for pod in pods]

    def statistics(self, deployment: str) -> Mapping[str, Heard]:
        """Return what a test put in, of a deployment that is followed."""
        return dict(self.told) if deployment in self.followed else {}

    def answers(self, deployment: str) -> Mapping[str, tuple[Fetched, ...]]:
        """Return what a test put in as answers to questions, of a deployment that is followed."""
        return dict(self.fetched) if deployment in self.followed else {}
