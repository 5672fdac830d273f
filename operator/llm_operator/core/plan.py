"""The plan: one pass over what was observed, from what is asked for to the writes and the status that follow from it."""

from dataclasses import replace
from datetime import datetime

from llm_operator.api.config import OperatorConfig
from llm_operator.core import verbs
from llm_operator.core.actions import Apply, Decision, Delete, EventDraft, Nudge, Plan
from llm_operator.core.aspects import conditions_of
from llm_operator.core.autoscale import autoscale
from llm_operator.core.changes import changes, decisions
from llm_operator.core.children import children
from llm_operator.core.clock import seconds_since
from llm_operator.core.conditions import transitions
from llm_operator.core.course import chart
from llm_operator.core.delivery import NOTHING as NO_DELIVERY
from llm_operator.core.delivery import Delivery, deliver
from llm_operator.core.diagnose import NOTHING as NO_ENGINE
from llm_operator.core.diagnose import diagnose
from llm_operator.core.gateway import told_of_route
from llm_operator.core.kinds import CHILDREN, JOB, OPTIONAL, Kind
from llm_operator.core.loan import LOOK_S
from llm_operator.core.observed import Observed
from llm_operator.core.peers import peers
from llm_operator.core.promotion import takes_over
from llm_operator.core.prompts import Check
from llm_operator.core.ratchet import Situation, replicas
from llm_operator.core.reasons import Reason
from llm_operator.core.refresh import target_of
from llm_operator.core.removal import removal
from llm_operator.core.roles import cast
from llm_operator.core.rollout.follow import follow
from llm_operator.core.rollout.gating import weigh
from llm_operator.core.scaling.leaving import leaving
from llm_operator.core.startup import starts
from llm_operator.core.status import status_of
from llm_operator.core.summary import Findings, Summary, summarize
from llm_operator.core.tables import snapshot
from llm_operator.core.target import Target
from llm_operator.core.world import World, sort
from llm_sidecar.prompt_tests import check as check_bundle

__all__ = ["Apply", "Decision", "Delete", "EventDraft", "Nudge", "Plan", "plan"]

_STALLED_S = 30.0
_COLLECTING_S = 1.0
_PROMOTED_S = 0.1
_REACHING_S = 1.0
_UNSETTLED_S = 5.0


def plan(observed: Observed, config: OperatorConfig, now: datetime, check: Check = check_bundle) -> Plan:
    """Return everything that follows from one look; the same look gives the same plan.

    Mostly nothing is left to do after a promotion, and the status says so at once. Otherwise what follows from it waits until it is in the
    status.
    """
    deployment = observed.deployment
    if "deletionTimestamp" in deployment["metadata"]:
        return Plan(status=deployment.get("status") or {})  # the garbage collector does the rest
    found, promotes = _step(observed, config, now, check)
    if not promotes:
        return found
    then, again = _step(replace(observed, deployment={**deployment, "status": found.status}), config, now, check)
    if again or then.nudges or (then.applies, then.deletes) != (found.applies, found.deletes):
        return found
    return replace(then, events=tuple(dict.fromkeys((*found.events, *then.events))), decisions=found.decisions)


def _step(observed: Observed, config: OperatorConfig, now: datetime, check: Check) -> tuple[Plan, bool]:
    """Return what follows from a look, and whether a revision becomes stable by it."""
    world = sort(observed)
    target = target_of(world, observed, config, now, check)
    gating = weigh(world, observed.statistics, observed.answers, target, now)
    started = starts(world, target.spec)
    scaling = autoscale(world, target.spec, observed.watched, now, started)
    scaled = scaling.replicas if scaling is not None and scaling.acts else None
    target, before, rollout = follow(world, target, cast(world, target, scaled), now, gating.verdict)
    course = chart(world, before)
    content = snapshot(world, before, course, target.spec.routing if target.spec is not None else None)
    delivery = deliver(world, content.generation, now, is_live=content.is_live) if content else NO_DELIVERY
    peers_in_s = None
    if content is not None:
        keys, peers_in_s = peers(world, content, now)
        content = replace(content, data={**content.data, **keys})
    leaves = removal(world, before, content, delivery, rollout.warm)
    numbers, diagnosis = {}, NO_ENGINE
    if course is not None:
        waits = bool(diagnose(world, course.growing, before.replicas).unschedulable)
        numbers = replicas(Situation(world, before, course, delivery, waits, now))
        diagnosis = diagnose(world, course.growing, max(numbers[course.growing], min(before.replicas, 1)))
    wanted = children(world, config, target, before, content, numbers, gating)
    found = changes(world, wanted, prune=_prunable(target), retained=leaves.kept)
    taken = takes_over(world, before, course, content, delivery, now) if course and content and not found.conflicts else None
    taken = before.target if rollout.promotes else taken
    roles = before.promoted(taken) if taken else before
    findings = Findings(
        world, target, roles, found, delivery, diagnosis, now, course, content, leaves, taken is not None, rollout, gating, scaling, started
    )
    summary = summarize(findings)
    conditions = [*conditions_of(findings, summary), *told_of_route(world, config, target), *(scaling.conditions() if scaling else ())]
    promoted = _promotion(findings)
    looks = (peers_in_s, gating.look_s, scaling.look_s if scaling else None, _next_look_s(findings, summary))
    decided = Plan(
        marks=leaving(world, course, numbers) if config.nudge and course is not None else (),
        applies=found.applies,
        deletes=found.deletes,
        nudges=delivery.nudges if config.nudge else (),
        status=status_of(findings, summary, conditions),
        events=tuple(
            dict.fromkeys(
                (
                    *(EventDraft("Normal", each.reason, each.message) for each in promoted),
                    *rollout.events(),
                    *verbs.events(target.actions, verbs.read(world.status)),
                    *transitions(conditions, world.previous),
                )
            )
        ),
        decisions=(*promoted, *decisions(found)),
        asks=gating.asks,
        questions=gating.questions,
        watches=scaling.watches if scaling else {},
        memory=scaling.memory if scaling else observed.watched.memory,
        alarm=scaling.alarm if scaling else None,
        sleeps=scaling is not None and scaling.sleeps,
        next_look_s=min((each for each in looks if each is not None), default=None),
    )
    return decided, findings.promotes


def _prunable(target: Target) -> frozenset[Kind]:
    """Return the kinds of which what is not asked for may go. As long as the spec cannot be used nobody knows what that is."""
    if target.version is not None:
        return frozenset(kind for kind in (*CHILDREN, *OPTIONAL) if "delete" in kind.verbs)
    return frozenset({JOB}) if target.waiting is not None else frozenset()


def _promotion(found: Findings) -> tuple[Decision, ...]:
    stable = found.roles.stable
    if not found.promotes or stable is None:
        return ()
    return (Decision(Reason.PROMOTED, f"revision {stable.revision.id} is stable now, on engine {stable.engine.id}"),)


def _next_look_s(found: Findings, summary: Summary) -> float | None:
    """Return when to look again although nothing may have been heard; None when only a change can change anything."""
    if found.promotes:
        return _PROMOTED_S
    looks = [each for each in (found.rollout.move.look_s,) if each is not None]
    if found.rollout.warm is not None:
        looks.append((found.rollout.warm.until - found.now).total_seconds())
    if found.rollout.loan is not None:
        looks.append(LOOK_S)
    if found.changes.leaving or found.changes.going:
        looks.append(_COLLECTING_S)
    if found.target.look_s is not None:
        looks.append(found.target.look_s)
    if found.target.waiting is not None:
        looks.append(found.target.waiting.next_look_s)
    if found.delivery.late or (found.writes and found.world.pods):
        looks.append(_while_delivering(found.world, found.delivery, found.now))
    if found.unreached:
        looks.append(_REACHING_S)
    if found.target.version is not None and not (summary.settled or summary.rests):
        looks.append(_STALLED_S if summary.stalled else _while_coming_up(found.world, found.now))
    return min(looks, default=None)


def _while_coming_up(world: World, now: datetime) -> float:
    """Return a pause that grows with the time it takes. What pods do is heard of; what their sidecars say has to be asked for."""
    if not any(pod.get("status", {}).get("phase") == "Running" for pod in world.pods):
        return _STALLED_S
    began = world.previous.get("Reconciling", {})
    late_s = seconds_since(began.get("lastTransitionTime"), now) if began.get("status") == "True" else 0.0
    return min(max(late_s / 4, _UNSETTLED_S), _STALLED_S)


def _while_delivering(world: World, delivery: Delivery, now: datetime) -> float:
    """Return a pause that grows with the time the delivery has taken: most of it is done within a second."""
    table = world.previous.get("TableProgrammed", {})
    late_s = seconds_since(table.get("lastTransitionTime"), now) if table.get("status") == "False" and delivery.is_live else 0.0
    return min(max(late_s / 2, 0.3), _UNSETTLED_S)
