"""What a model source stands for: asked once, then carried forward; what fails is asked again with growing patience."""

from dataclasses import dataclass
from datetime import datetime

from llm_operator.api.config import OperatorConfig
from llm_operator.api.llmdeployment import LLMDeploymentSpec
from llm_operator.api.sources import parse_source
from llm_operator.core.asking import ANSWERED_S, Failure, answer_of, pod_of, question
from llm_operator.core.clock import seconds_since
from llm_operator.core.errors import UNRESOLVED
from llm_operator.core.kinds import JOB
from llm_operator.core.observed import Obj
from llm_operator.core.podstate import blocked
from llm_operator.core.reasons import Reason
from llm_operator.core.references import MODEL_FIELD, References, Resolution
from llm_operator.core.world import World

TRANSIENT = frozenset({Reason.RESOLVER_FAILED, "FetcherFailed", "SourceChanged", "SourceUnreachable"})
"""Failures that may go by themselves; every other one needs somebody to change something."""

_FIRST_RETRY_S = 10.0
_LAST_RETRY_S = 300.0
_LOOK_S = 5.0
"""The end of its pod is heard of; that there is none is not."""


@dataclass(frozen=True)
class Waiting:
    """Why there is no digest yet. ``stalled`` says that waiting alone will not help."""

    reason: str
    message: str
    stalled: bool
    next_look_s: float


@dataclass(frozen=True)
class Model:
    """The digest of the weights or what it waits for, the Job to have meanwhile, and when a digest needs another look."""

    outcome: str | Waiting
    jobs: tuple[Obj, ...] = ()
    look_s: float | None = None


def resolve_model(
    world: World, spec: LLMDeploymentSpec, config: OperatorConfig, references: References, now: datetime, anew: str = ""
) -> Model:
    """Return what ``spec.model.source`` stands for; ``anew`` names the request to ask again, with a Job of its own."""
    requested = str(parse_source(spec.model.source))
    known = references.carried(MODEL_FIELD, requested)
    if known is not None:
        references.keep(known)
        return Model(known.digest)
    wanted = question(world, spec.model, config, refresh=anew or None)
    job = world.live(JOB, wanted["metadata"]["name"])
    pod = pod_of(world, job) if job else None
    answer = answer_of(job, pod, requested) if job else None
    if isinstance(answer, Resolution):
        references.keep(answer)
        return Model(answer.digest, (wanted,), ANSWERED_S)  # the Job goes once the status has the digest
    if isinstance(answer, Failure):
        return _failed(world, wanted, answer, now)
    stuck = blocked(pod) if pod else None
    words = f"asking what {requested} holds{f': {stuck.message}' if stuck else ''}"
    failure = None if anew else _carried_failure(world)
    return Model(failure or Waiting(Reason.RESOLVING, words, stalled=False, next_look_s=_LOOK_S), (wanted,))


def _failed(world: World, wanted: Obj, failure: Failure, now: datetime) -> Model:
    """Keep the failed Job until its time is up; without it the next look starts a new one."""
    transient = failure.reason in TRANSIENT
    ended_s = seconds_since(failure.at, now)
    unresolved_s = seconds_since(world.previous.get("Resolved", {}).get("lastTransitionTime"), now) - ended_s
    pause_s = min(max(unresolved_s, _FIRST_RETRY_S), _LAST_RETRY_S) if transient else _LAST_RETRY_S
    left_s = pause_s - ended_s
    if left_s <= 0:
        return Model(Waiting(failure.reason, failure.message, stalled=not transient, next_look_s=1.0))
    return Model(Waiting(failure.reason, failure.message, stalled=not transient, next_look_s=left_s), (wanted,))


def _carried_failure(world: World) -> Waiting | None:
    """While the same request is tried again, the reason it failed for last stays what is reported."""
    last = world.previous.get("Resolved", {})
    if last.get("status") != "False" or last.get("observedGeneration") != world.generation or last["reason"] in UNRESOLVED:
        return None
    return Waiting(last["reason"], last["message"], stalled=last["reason"] not in TRANSIENT, next_look_s=_LOOK_S)
