"""Autoscaling of one deployment: from what its pods have told to the number of pods, and what the status says of it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from llm_operator.api.autoscaling import Autoscaling
from llm_operator.api.durations import parse_s
from llm_operator.api.llmdeployment import LLMDeploymentSpec
from llm_operator.core.clock import seconds_since, stamp
from llm_operator.core.conditions import Condition, condition
from llm_operator.core.door import door, held_by_entries
from llm_operator.core.observed import Obj
from llm_operator.core.pending import are_coming, pending, since
from llm_operator.core.reasons import Reason
from llm_operator.core.roles import asked_of, engines_seen, weights_of
from llm_operator.core.rollout.progress import COMING, ENDS
from llm_operator.core.scaling.capacity import Capacity, Learned, Limits, capacity
from llm_operator.core.scaling.decide import Decision, Fleet, Memory, Rules
from llm_operator.core.scaling.load import STALE_AFTER, Blind, held
from llm_operator.core.scaling.need import Need, need
from llm_operator.core.scaling.outlook import Alarm, Outlook
from llm_operator.core.scaling.reasons import ScaleReason
from llm_operator.core.scaling.rivals import told_of_rivals, unknown_rivals
from llm_operator.core.scaling.sample import MOST, Expected, Most
from llm_operator.core.scaling.schedule import least_at
from llm_operator.core.scaling.watched import Watched
from llm_operator.core.scaling.zero import Door, decide
from llm_operator.core.startup import Start
from llm_operator.core.stored import Engine
from llm_operator.core.world import World, ready

DECIDED_S = 5.0
"""How often it is decided at least; a reading that asks for more pods is not waited for."""
_ASLEEP_S = 30.0
"""The same while there is no pod: who asks is heard of."""

_STARTUP_S = 120.0
"""How long a pod takes to start, until one was seen to."""
_PENDING_S, _LATE = 300.0, 1.5
"""How long a pod counts as one that is coming at least, and how many times as long as pods usually take."""
_TIME_PER_OUTPUT_TOKEN_S = 0.2
_SEQUENCES, _STEP_TOKENS = 256, 2048
"""What an engine has places for, and reads at a time, unless its arguments say otherwise."""
_TOO_SHORT = "; pods take {:.0f} s to start, and whoever has waited for limits.hold.timeout, {}, is refused"
_HEADROOM = {"Low": 0.0, "Normal": 0.25, "High": 1.0}
_KEPT = 5
_BLIND = frozenset({ScaleReason.CONFLICT, ScaleReason.METRICS_STALE, ScaleReason.NO_READY_POD, ScaleReason.OBSERVING})


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
    writer: Condition
    """Whether anybody else sets the number of pods."""
    listened: bool = True
    """Whether this operator has looked at it before: from then on it hears who asks."""

    @property
    def sleeps(self) -> bool:
        """Return whether there is to be no pod, so that somebody has to hear who asks."""
        return self.acts and not self.replicas

    @property
    def look_s(self) -> float:
        """Return when to decide again although nothing was heard."""
        known = self.listened and self.entry["lastDecisions"][-1]["reason"] == ScaleReason.SCALED_TO_ZERO
        return _ASLEEP_S if self.sleeps and known else DECIDED_S

    def conditions(self) -> list[Condition]:
        """Return what the conditions say; words change with the decision alone."""
        last = self.entry["lastDecisions"][-1]
        active = condition("ScalingActive", last["reason"], last["message"], holds=last["reason"] not in _BLIND)
        return [active, self.writer] if self.acts else [active]


def autoscale(
    world: World, spec: LLMDeploymentSpec | None, watched: Watched, now: datetime, started: Sequence[Start] = ()
) -> Scaling | None:
    """Return how many pods there are to be, or None where the load does not decide that, or nobody can read what does."""
    if spec is None or spec.autoscaling.mode == "Disabled":
        return None
    before: dict[str, Any] = world.status.get("autoscaling") or {}
    acts, seen = spec.autoscaling.mode == "BuiltIn", engines_seen(world)
    engines = [each for each in world.stored.engines if each.id in seen]
    pods = [pod for each in engines for pod in world.pods_of(each.id)]
    asked = _asked(world, before, pods, spec)
    serving = [each for each in engines if any(map(ready, world.pods_of(each.id)))]
    able = {each.id: _capacity(each, spec, watched.learned.get(each.id, Learned())) for each in _loaded(world, serving)}
    fleet = Fleet(
        asked,
        pending(world, engines, now),
        calibrated=all(each.calibrated for each in able.values()),
        stepping=(world.status.get("rollout") or {}).get("state", "") not in {"", *COMING, *ENDS},
    )
    startup_s = _startup_s(started)
    rules = _rules(spec.autoscaling, startup_s, now)
    outlook = Outlook(
        tuple((frozenset(_heard_or_due(world.pods_of(engine), watched, now)), each) for engine, each in able.items()),
        asked,
        startup_s,
        are_coming(world, engines, fleet, rules.pending_timeout, now),
        tuple((held(held_by_entries(world)), each) for engine, each in able.items() if engine == world.stable_engine),
    )
    found = outlook.need(watched.tracks, now)
    if acts and asked and (rivals := told_of_rivals(world)):
        rules, found = replace(rules, least=asked, most=asked, idle=None), Blind(ScaleReason.CONFLICT, rivals)
    who = door(world, watched, pods, asked, now, acts=acts) if rules.idle is not None else Door()
    if who.waiting and not serving:
        found = _waking(world, spec, watched, outlook, who.waiting)
    decision, memory = decide(watched.memory, rules, fleet, who, found, now)
    if not serving and started and outlook.startup_s > parse_s(spec.limits.hold.timeout):
        decision = replace(decision, message=decision.message + _TOO_SHORT.format(outlook.startup_s, spec.limits.hold.timeout))
    began = int(before.get("specReplicas", spec.replicas)) if before.get("mode") == spec.autoscaling.mode else spec.replicas
    entry = {
        "mode": spec.autoscaling.mode,
        "replicas": decision.replicas,
        "specReplicas": began,
        "lastDecisions": _last(before.get("lastDecisions", []), decision, now),
    }
    watches = {each.id: _expected(each, world.owner.name) for each in engines}
    alarm = Alarm(outlook, rules.headroom, rules.most, known=max(decision.replicas, decision.wanted or 0))
    writer = _writer(world, spec, began, decision.replicas)
    return Scaling(acts, decision.replicas, memory, watches, alarm, entry, writer, listened=watched.memory.began is not None)


def _asked(world: World, before: Mapping[str, Any], pods: list[Obj], spec: LLMDeploymentSpec) -> int:
    """Return how many pods are asked for: as decided before, else what the spec says, or with no status at all, what is there.

    What another mode has come to takes no pod away: that is left to the rules, so it goes on with those there are.
    """
    deployed = [count for engine in engines_seen(world) if (count := asked_of(world, engine)) is not None]
    there = spec.replicas if world.status or not deployed else len(pods) or sum(deployed)
    asked = int(before.get("replicas", there))
    return asked if before.get("mode") == spec.autoscaling.mode else max(asked, len(pods))


def _loaded(world: World, serving: Sequence[Engine]) -> Sequence[Engine]:
    """Return the engines that have requests by the table: copies that one gets besides, or what one keeps warm for, are no load.

    Where the table gives none of them any, or there is no table, any of them may have some.
    """
    weights = weights_of(world)
    return [each for each in serving if weights.get(each.id)] or serving


def _waking(world: World, spec: LLMDeploymentSpec, watched: Watched, outlook: Outlook, waiting: int) -> Need | Blind:
    """Return what those need who wait while no pod serves: more than is coming only where that could not work it off in time."""
    engine = world.stored.engine(world.stable_engine)
    able = _capacity(engine, spec, watched.learned.get(engine.id, Learned())) if engine else None
    if able is not None and able.calibrated:
        found = need([(held(waiting), able)], max(outlook.pods, 1), outlook.startup_s, coming=False)
        if found.with_headroom(0) > outlook.pods:
            return found
    return Blind(ScaleReason.WAKING, "requests wait for the first pod")


def _writer(world: World, spec: LLMDeploymentSpec, began: int, replicas: int) -> Condition:
    """Return whether anybody else sets the number of pods, or would if it had an effect."""
    if rivals := told_of_rivals(world):
        words = f"{rivals}, so no pod is added or taken: leave it to one, or set spec.autoscaling.mode to Disabled"
        return condition("ScalingConflict", Reason.TARGETED_TOO, words, holds=True)
    if began != spec.replicas:
        words = f"spec.replicas was set from {began} to {spec.replicas}; autoscaling decides, and asks for {replicas}"
        return condition("ScalingConflict", Reason.REPLICAS_CHANGED, words, holds=True)
    return condition("ScalingConflict", Reason.ONE_WRITER, f"nobody else sets the number of pods{unknown_rivals(world)}", holds=False)


def _rules(asked: Autoscaling, startup_s: float, now: datetime) -> Rules:
    hold, idle = timedelta(seconds=parse_s(asked.scale_down_delay)), timedelta(seconds=parse_s(asked.scale_to_zero_after))
    least, by = least_at(asked, now)
    headroom, patience = _HEADROOM[asked.headroom], timedelta(seconds=max(_PENDING_S, _LATE * startup_s))
    return Rules(max(least, 1), asked.max_replicas, headroom, hold, least_by=by, pending_timeout=patience, idle=None if least else idle)


def _capacity(engine: Engine, spec: LLMDeploymentSpec, learned: Learned) -> Capacity:
    asked = _per_step(engine, Most(_SEQUENCES, _STEP_TOKENS))
    return capacity(learned, Limits(_TIME_PER_OUTPUT_TOKEN_S, min(asked.sequences, spec.limits.max_concurrency), asked.tokens))


def _per_step(engine: Engine, default: Most) -> Most:
    """Return what an engine is asked to do in one step at most, with defaults for what nobody asks."""
    arguments = (engine.inputs.get("engine") or {}).get("args") or {}
    return Most(int(arguments.get("max-num-seqs", default.sequences)), int(arguments.get("max-num-batched-tokens", default.tokens)))


def _expected(engine: Engine, name: str) -> Expected:
    """Return whose figures are expected. One that is asked for less than the most there is may still do more: by drafts of tokens."""
    asked = _per_step(engine, MOST)
    most = Most(max(asked.sequences, MOST.sequences), max(asked.tokens, MOST.tokens))
    return Expected(name, engine.id, _model(engine, name), most)


def _model(engine: Engine, default: str) -> str:
    return str((engine.inputs.get("model") or {}).get("servedName", default))


def _startup_s(started: Sequence[Start]) -> float:
    """Return how long the last few pods took to become ready."""
    return median(each.ready_s for each in started) if started else _STARTUP_S


def _heard_or_due(pods: Iterable[Obj], watched: Watched, now: datetime) -> Iterator[str]:
    """Yield the ready pods, by uid, that were heard or had the time to be: one that has just become ready is not silent yet."""
    for pod in pods:
        uid, began = pod["metadata"]["uid"], since(pod, "True")
        if ready(pod) and (uid in watched.tracks or not began or seconds_since(began, now) > STALE_AFTER.total_seconds()):
            yield uid


def _last(before: list[dict[str, Any]], decision: Decision, now: datetime) -> list[dict[str, Any]]:
    """Return the last decisions: one is told anew when the number or the reason is another one."""
    if before and (before[-1]["replicas"], before[-1]["reason"]) == (decision.replicas, decision.reason):
        return before
    inputs = {"requests": "requests", "prefill": "prompts", "backlog": "backlog"}
    told = {name: f"{getattr(decision.need, of):.2f}" for of, name in inputs.items()} if decision.need else {}
    wanted = {} if decision.wanted is None else {"wanted": decision.wanted}
    entry = {"at": stamp(now), "replicas": decision.replicas, "reason": str(decision.reason), "message": decision.message, **wanted}
    return [*before, {**entry, **({"need": told} if told else {})}][-_KEPT:]
