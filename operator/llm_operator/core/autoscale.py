"""Autoscaling of one deployment: from what its pods have told to the number of pods, and what the status says of it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from llm_operator.api.autoscaling import Autoscaling
from llm_operator.api.durations import parse_s
from llm_operator.api.llmdeployment import LLMDeploymentSpec
from llm_operator.core.clock import seconds_since, stamp
from llm_operator.core.conditions import Condition, condition
from llm_operator.core.observed import Obj
from llm_operator.core.reasons import Reason
from llm_operator.core.rollout.progress import ENDS
from llm_operator.core.scaling.capacity import Capacity, Learned, Limits, capacity
from llm_operator.core.scaling.decide import Decision, Fleet, Memory, Rules, decide
from llm_operator.core.scaling.load import STALE_AFTER
from llm_operator.core.scaling.outlook import Alarm, Outlook
from llm_operator.core.scaling.reasons import ScaleReason
from llm_operator.core.scaling.sample import Expected
from llm_operator.core.scaling.schedule import least_at
from llm_operator.core.scaling.watched import Watched
from llm_operator.core.startup import Start
from llm_operator.core.stored import Engine
from llm_operator.core.world import World, ready

DECIDED_S = 5.0
"""How often it is decided at least; a reading that asks for more pods is not waited for."""

_STARTUP_S = 120.0
"""How long a pod takes to start, until one was seen to."""
_TIME_PER_OUTPUT_TOKEN_S = 0.2
_SEQUENCES, _STEP_TOKENS = 256, 2048
"""What an engine has places for, and reads at a time, unless its arguments say otherwise."""
_HEADROOM = {"Low": 0.0, "Normal": 0.25, "High": 1.0}
_KEPT = 5
_BLIND = frozenset({ScaleReason.METRICS_STALE, ScaleReason.NO_READY_POD, ScaleReason.OBSERVING})


@dataclass(frozen=True)
class Scaling:
    """What autoscaling has come to: how many ``replicas`` there are to be, and what is to be remembered.

    ``acts`` says whether that is so, or would be. ``watches`` is whose figures are asked for, by engine, and ``alarm`` rings when they ask
    for more.
    """

    acts: bool
    replicas: int
    memory: Memory
    watches: Mapping[str, Expected]
    alarm: Alarm
    entry: dict[str, Any]
    conflict: str = ""

    def conditions(self) -> list[Condition]:
        """Return what the conditions say; words change with the decision alone."""
        last = self.entry["lastDecisions"][-1]
        active = condition("ScalingActive", last["reason"], last["message"], holds=last["reason"] not in _BLIND)
        if not self.acts:
            return [active]
        words = self.conflict or "nobody else sets the number of pods"
        reason = Reason.REPLICAS_CHANGED if self.conflict else Reason.ONE_WRITER
        return [active, condition("ScalingConflict", reason, words, holds=bool(self.conflict))]


def autoscale(
    world: World, spec: LLMDeploymentSpec | None, watched: Watched, now: datetime, started: Sequence[Start] = ()
) -> Scaling | None:
    """Return how many pods there are to be, or None where the load does not decide that, or nobody can read what does."""
    if spec is None or spec.autoscaling.mode == "Disabled":
        return None
    before: dict[str, Any] = world.status.get("autoscaling") or {}
    engines = [each for each in world.stored.engines if world.pods_of(each.id)]
    pods = [pod for each in engines for pod in world.pods_of(each.id)]
    asked = int(before.get("replicas") or (spec.replicas if world.status else len(pods) or spec.replicas))
    waits = [seconds_since(pod["metadata"].get("creationTimestamp"), now) for pod in pods if not ready(pod)]
    serving = [each for each in engines if any(map(ready, world.pods_of(each.id)))]
    able = {each.id: _capacity(each, spec, watched.learned.get(each.id, Learned())) for each in serving}
    fleet = Fleet(
        asked,
        timedelta(seconds=max(waits)) if waits else None,
        calibrated=all(each.calibrated for each in able.values()),
        stepping=(world.status.get("rollout") or {}).get("state", "") not in {"", *ENDS},
    )
    counted = ((frozenset(_heard_or_due(world.pods_of(engine), watched, now)), each) for engine, each in able.items())
    outlook = Outlook(tuple(counted), asked, _startup_s(started), coming=bool(waits) or len(pods) < asked)
    rules = _rules(spec.autoscaling, now)
    decision, memory = decide(watched.memory, rules, fleet, outlook.need(watched.tracks, now), now)
    acts = spec.autoscaling.mode == "BuiltIn"
    began = int(before.get("specReplicas", spec.replicas)) if before.get("mode") == spec.autoscaling.mode else spec.replicas
    entry = {
        "mode": spec.autoscaling.mode,
        "replicas": decision.replicas,
        "specReplicas": began,
        "lastDecisions": _last(before.get("lastDecisions", []), decision, now),
    }
    conflict = f"spec.replicas was set from {began} to {spec.replicas}; autoscaling decides, and asks for {decision.replicas}"
    watches = {each.id: Expected(world.owner.name, each.id, _model(each, world.owner.name)) for each in engines}
    alarm = Alarm(outlook, rules.headroom, rules.most, known=max(decision.replicas, decision.wanted or 0))
    return Scaling(acts, decision.replicas, memory, watches, alarm, entry, conflict if acts and began != spec.replicas else "")


def _rules(asked: Autoscaling, now: datetime) -> Rules:
    hold = timedelta(seconds=parse_s(asked.scale_down_delay))
    least, by = least_at(asked, now)
    return Rules(least, asked.max_replicas, _HEADROOM[asked.headroom], hold, least_by=by)


def _capacity(engine: Engine, spec: LLMDeploymentSpec, learned: Learned) -> Capacity:
    arguments = (engine.inputs.get("engine") or {}).get("args") or {}
    places = min(int(arguments.get("max-num-seqs", _SEQUENCES)), spec.limits.max_concurrency)
    tokens = int(arguments.get("max-num-batched-tokens", _STEP_TOKENS))
    return capacity(learned, Limits(_TIME_PER_OUTPUT_TOKEN_S, places, tokens))


def _model(engine: Engine, default: str) -> str:
    return str((engine.inputs.get("model") or {}).get("servedName", default))


def _startup_s(started: Sequence[Start]) -> float:
    """Return how long the last few pods took to become ready."""
    return median(each.ready_s for each in started) if started else _STARTUP_S


def _heard_or_due(pods: Iterable[Obj], watched: Watched, now: datetime) -> Iterator[str]:
    """Yield the ready pods, by uid, that were heard or had the time to be: one that has just become ready is not silent yet."""
    for pod in pods:
        uid, since = pod["metadata"]["uid"], _ready_since(pod)
        if ready(pod) and (uid in watched.tracks or not since or seconds_since(since, now) > STALE_AFTER.total_seconds()):
            yield uid


def _ready_since(pod: Obj) -> str | None:
    conditions = pod.get("status", {}).get("conditions", [])
    return next((each.get("lastTransitionTime") for each in conditions if each["type"] == "Ready" and each["status"] == "True"), None)


def _last(before: list[dict[str, Any]], decision: Decision, now: datetime) -> list[dict[str, Any]]:
    """Return the last decisions: one is told anew when the number or the reason is another one."""
    if before and (before[-1]["replicas"], before[-1]["reason"]) == (decision.replicas, decision.reason):
        return before
    inputs = {"requests": "requests", "prefill": "prompts", "backlog": "backlog"}
    told = {name: f"{getattr(decision.need, of):.2f}" for of, name in inputs.items()} if decision.need else {}
    wanted = {} if decision.wanted is None else {"wanted": decision.wanted}
    entry = {"at": stamp(now), "replicas": decision.replicas, "reason": str(decision.reason), "message": decision.message, **wanted}
    return [*before, {**entry, **({"need": told} if told else {})}][-_KEPT:]
