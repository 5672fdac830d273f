"""Gates within the plan: what was counted so far, what the gates make of it, and what the rollout is told."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from llm_operator.api.gates import Gate
from llm_operator.core import names
from llm_operator.core.delivery import deliver
from llm_operator.core.gates.comparison import MINUTES_MIN, ComparisonGate, Metric
from llm_operator.core.gates.decision import Gate as Asked
from llm_operator.core.gates.decision import Move, decide, judge
from llm_operator.core.gates.errors import ErrorsGate
from llm_operator.core.gates.fetched import Question
from llm_operator.core.gates.verdict import STALE_AFTER, GateReason, OnHarm, Result
from llm_operator.core.kinds import CONFIG_MAP
from llm_operator.core.rollout.evidence import NO_GATES, Answer, Verdict
from llm_operator.core.rollout.fetching import Answers, Fetching
from llm_operator.core.rollout.progress import Memory, Progress
from llm_operator.core.target import Target
from llm_operator.core.telemetry.archive import Content, pack, unpack
from llm_operator.core.telemetry.record import MINUTE, Record, begin, fold
from llm_operator.core.telemetry.replies import Heard
from llm_operator.core.world import World, ready
from llm_sidecar.table import WHOLE

WARM_UP_REQUESTS = 10
"""For each pod: so many requests of the canary come before its times count, since caches are cold."""

_PATIENCE_S = 60.0
"""How much longer a minute may take for all pods to agree on a share."""
_UNHEARD_LOOK_S = 5.0
_GATHER_S = 15.0
"""How long a record waits for every ready pod to be heard: what a pod has counted by then was before."""
_GATHER_LOOK_S = 1.0

_TOO_LARGE = "what the pods have counted does not fit a ConfigMap"

_ANSWERS = {Move.PROMOTE: Answer.PASS, Move.ABORT: Answer.HARM, Move.PAUSE: Answer.INCONCLUSIVE, Move.HOLD: Answer.WAITING}
_METRICS = {
    "timeToFirstToken": Metric.TIME_TO_FIRST_TOKEN,
    "timePerOutputToken": Metric.TIME_PER_OUTPUT_TOKEN,
    "promptTokens": Metric.PROMPT_TOKENS,
    "stableTimeToFirstToken": Metric.SELF_TIME_TO_FIRST_TOKEN,
}


@dataclass(frozen=True)
class Gating:
    """What a look makes of the gates.

    ``content`` is what the ConfigMap with the evidence has to hold; None when there is none to keep. ``entries`` are the answers as status
    has them, those of the last rollout until another one begins. ``asks`` are the revisions whose statistics are needed, none while
    nothing is asked of gates, and ``questions`` what somebody else has to answer. ``look_s`` is when the next minute is over, or an answer
    is due.
    """

    verdict: Verdict = NO_GATES
    content: Content | None = None
    entries: tuple[dict[str, Any], ...] = ()
    asks: frozenset[str] = frozenset()
    questions: tuple[Question, ...] = ()
    look_s: float | None = None


NONE = Gating()
"""Nothing is asked of any gate."""


def weigh(world: World, statistics: Mapping[str, Heard], answers: Answers, target: Target, now: datetime) -> Gating:
    """Return what the gates of a rollout say now, a minute further where one is over."""
    progress, known = Memory.read(world.status).progress, tuple(world.status.get("gates", ()))
    if progress is None or not progress.is_active:
        return Gating(entries=known)
    live = _live(world)
    if target.spec is None:
        waiting = Verdict(Answer.WAITING, GateReason.EVIDENCE_MISSING, "the spec cannot be read, so nobody knows its gates")
        return Gating(waiting, live, known)
    wanted = target.spec.rollout.gates
    if not wanted or progress.rollback:
        return NONE
    gates, fetching = asked(wanted), Fetching.of(world.owner, progress, wanted)
    asks = frozenset({progress.revision, progress.replaces})
    record, grows = _record(progress, live), False
    silent = [pod["metadata"]["name"] for pod in world.pods if ready(pod) and not _told(statistics.get(pod["metadata"]["uid"]), now)]
    if record is None:
        if silent and progress.waited_s(now) < _GATHER_S:
            words = f"pod {silent[0]} has not told its statistics yet"
            waiting = Verdict(Answer.WAITING, GateReason.EVIDENCE_MISSING, words, before=words)
            return Gating(waiting, live, known, asks, look_s=_GATHER_LOOK_S)
        warm_up = WARM_UP_REQUESTS * _cold(world, progress)
        record, grows = begin(progress.id, progress.revision, progress.replaces, warm_up, statistics, now), True
    elif _is_over(record, statistics, share := _share(world, progress, now), now):
        record, grows = fold(record, statistics, {pod["metadata"]["uid"] for pod in world.pods}, share, now), True
    content = pack(record) if grows else live
    results = (*judge(gates, record.evidence, now), *fetching.judge(answers, now))
    withheld = _withheld(silent) if content else Verdict(Answer.WAITING, GateReason.EVIDENCE_TOO_LARGE, _TOO_LARGE)
    due_s = record.due_s(now)
    said = {each["name"]: each for each in known}
    questions = fetching.questions
    looks = [due_s if due_s > 0 else _UNHEARD_LOOK_S, *(each.interval_s for each in questions)]
    return Gating(
        replace(_verdict(results, withheld), before=_before(gates, record)),
        content or live,
        tuple(said[each.gate] if each.gate in fetching.settled & said.keys() else entry(each) for each in results),
        asks,
        questions,
        min(looks),
    )


def asked(gates: tuple[Gate, ...]) -> tuple[Asked, ...]:
    """Return those gates of a spec that are answered from evidence, as they are judged."""
    found: list[Asked] = []
    for each in gates:
        if each.errors is not None:
            errors = each.errors
            found.append(ErrorsGate("errors", float(errors.limit_percent) / 100, float(errors.ratio), OnHarm(errors.on_harm)))
        for name, mean in (
            ("timeToFirstToken", each.time_to_first_token),
            ("timePerOutputToken", each.time_per_output_token),
            ("promptTokens", each.prompt_tokens),
            ("stableTimeToFirstToken", each.stable_time_to_first_token),
        ):
            if mean is not None:
                harm = None if mean.harm_margin_percent is None else float(mean.harm_margin_percent) / 100
                found.append(ComparisonGate(name, _METRICS[name], float(mean.margin_percent) / 100, harm, OnHarm(mean.on_harm)))
    return tuple(found)


def entry(result: Result) -> dict[str, Any]:
    """Return the answer of a gate as status has it."""
    low, high = result.interval or (None, None)
    figures = {"estimate": result.estimate, "low": low, "high": high}
    return {
        "name": result.gate,
        "verdict": str(result.verdict),
        "reason": str(result.reason),
        "message": result.message,
        **{name: f"{value:.4g}" for name, value in figures.items() if value is not None},
        "canary": result.counts.canary,
        "stable": result.counts.stable,
        **({"needs": result.needs} if result.needs is not None else {}),
    }


def _live(world: World) -> Content | None:
    live = world.live(CONFIG_MAP, names.evidence(world.owner.name))
    return {name: live[name] for name in ("data", "binaryData") if live.get(name)} if live else None


def _record(progress: Progress, live: Content | None) -> Record | None:
    """Return the record of this rollout, if there is one."""
    record = unpack(live) if live else None
    of = (progress.id, progress.revision, progress.replaces)
    return record if record is not None and (record.rollout, record.canary, record.stable) == of else None


def _cold(world: World, progress: Progress) -> int:
    """Return how many pods begin to serve the canary: all there are, or the one that another engine is tried with."""
    canary, stable = world.stored.revision(progress.revision), world.stored.revision(progress.replaces)
    if canary is not None and stable is not None and canary.engine != stable.engine:
        return 1
    return sum(ready(pod) for pod in world.pods)


def _is_over(record: Record, statistics: Mapping[str, Heard], share: float | None, now: datetime) -> bool:
    """Return whether a minute is over, and something was heard in it; it waits a while for all pods to agree on a share."""
    due_s = record.due_s(now)
    agreed = share is not None or due_s <= -_PATIENCE_S
    return due_s <= 0 and agreed and any(each.at > record.until for each in statistics.values())


def _share(world: World, progress: Progress, now: datetime) -> float | None:
    """Return the share of all units that every ready pod gives the canary; None while one of them does not run the table."""
    table = world.table
    if table is None or deliver(world, table.generation, now, is_live=True).late:
        return None
    routes = (route for route in table.routes if route.slot is not None and route.revision == progress.revision)
    weight = sum(route.weight for route in routes) if table.salt == progress.id else 0
    return weight / WHOLE


def _withheld(silent: list[str]) -> Verdict | None:
    """Return why nothing may pass although gates do: a pod that tells nothing may be the one that fails."""
    if not silent:
        return None
    more = f", nor have {len(silent) - 1} more" if silent[1:] else ""
    words = f"pod {silent[0]} has not told its statistics for {STALE_AFTER // MINUTE} minutes{more}"
    return Verdict(Answer.WAITING, GateReason.EVIDENCE_MISSING, words)


def _told(heard: Heard | None, now: datetime) -> bool:
    return heard is not None and now - heard.at <= STALE_AFTER


def _verdict(results: tuple[Result, ...], withheld: Verdict | None) -> Verdict:
    decision = decide(results)
    answer, gates = _ANSWERS[decision.move], tuple(each.gate for each in results)
    if answer is Answer.PASS and withheld is not None:
        return replace(withheld, gates=gates)
    return Verdict(answer, str(decision.reason or "GatesPass"), decision.message, gates)


def _before(gates: tuple[Asked, ...], record: Record) -> str:
    """Return what has to be known of stable before the canary has its first request, or nothing."""
    known = record.evidence.before.course.minutes
    compared = any(isinstance(each, ComparisonGate) and each.metric is Metric.SELF_TIME_TO_FIRST_TOKEN for each in gates)
    if not compared or known >= MINUTES_MIN:
        return ""
    return f"{known} of {MINUTES_MIN} minutes are known of what the stable revision is like without it"
