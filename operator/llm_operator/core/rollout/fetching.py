"""Gates that somebody else answers, within a rollout: what has to be asked now, and what the answers of this step come to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf

from llm_operator.api.durations import parse_s
from llm_operator.api.gates import Gate
from llm_operator.core.gates.fetched import Fetched, FetchedGate, PromqlGate, Question, Subject, WebhookGate
from llm_operator.core.gates.verdict import OnHarm, Result
from llm_operator.core.render.meta import Owner
from llm_operator.core.rollout.progress import Progress, State

Answers = Mapping[str, tuple[Fetched, ...]]
"""By gate, the newest answer last."""

_ASKED = frozenset({State.STEPPING, State.PAUSED, State.RATCHETING})
_STAMP = timedelta(seconds=1)
"""How much later than its stamp something may have happened."""


@dataclass(frozen=True)
class Fetching:
    """The gates of a rollout that somebody else answers, as far as there is something to ask about.

    When all steps ``are_over`` nobody is asked any more, and what was said last is what counted.
    """

    gates: tuple[FetchedGate, ...]
    subject: Subject
    since: datetime
    has_requests: bool
    are_over: bool

    @classmethod
    def of(cls, owner: Owner, progress: Progress, gates: Sequence[Gate]) -> "Fetching":
        """Return what is asked of a rollout where it stands."""
        subject = Subject(owner.namespace, owner.name, progress.revision, progress.replaces, progress.weight)
        has_requests, are_over = progress.weight > 0 and progress.state in _ASKED, progress.state == State.FINALISING
        return cls(tuple(_asked(gates)), subject, datetime.fromisoformat(progress.since) + _STAMP, has_requests, are_over)

    @property
    def questions(self) -> tuple[Question, ...]:
        """Return what has to be asked now: nothing as long as the revision has no request."""
        return tuple(each.question(self.subject) for each in self.gates) if self.has_requests else ()

    @property
    def settled(self) -> frozenset[str]:
        """Return the names of the gates that have said what they had to say."""
        return frozenset(each.name for each in self.gates) if self.are_over else frozenset()

    def judge(self, answers: Answers, now: datetime) -> tuple[Result, ...]:
        """Return what the gates say. What was answered before the revision had this share of the requests says nothing of it."""
        of_now = {name: tuple(each for each in told if each.at >= self.since) for name, told in answers.items()}
        return tuple(self._judge(each, of_now.get(each.name, ()), now) for each in self.gates)

    def _judge(self, gate: FetchedGate, answers: Sequence[Fetched], now: datetime) -> Result:
        return gate.judge(answers, now) if isinstance(gate, PromqlGate) else gate.judge(self.subject, answers, now)


def _asked(gates: Sequence[Gate]) -> list[FetchedGate]:
    found: list[FetchedGate] = []
    for each in gates:
        if each.promql is not None:
            low, high = each.promql.min_value, each.promql.max_value
            bounds = (-inf if low is None else float(low), inf if high is None else float(high))
            name, interval_s, on_harm = f"promql/{each.promql.name}", parse_s(each.promql.interval), OnHarm(each.promql.on_harm)
            found.append(PromqlGate(name, each.promql.query, *bounds, each.promql.times, interval_s, on_harm))
        if each.webhook is not None:
            name, interval_s, on_harm = f"webhook/{each.webhook.name}", parse_s(each.webhook.interval), OnHarm(each.webhook.on_harm)
            found.append(WebhookGate(name, each.webhook.name, interval_s, on_harm))
    return found
