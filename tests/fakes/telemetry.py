"""The Telemetry port in memory."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from llm_operator.core.observed import SidecarReport
from llm_operator.shell.ports import Manifest


@dataclass
class FakeTelemetry:
    """Answers with what a test put in; a pod it does not know cannot be asked. ``asked`` is the uids of all it was asked for."""

    answers: dict[str, SidecarReport] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def reports(self, pods: Iterable[Manifest]) -> Mapping[str, SidecarReport | None]:
        """Return a report per pod uid."""
        uids = [pod["metadata"]["uid"] for pod in pods]
        self.asked += uids
        return {uid: self.answers.get(uid) for uid in uids}
