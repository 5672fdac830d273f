"""What a model source stands for: asked of a Job in the tenant's namespace, believed only from a pod of a Job of ours."""

import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from llm_operator.api.config import OperatorConfig
from llm_operator.api.llmdeployment import LLMDeploymentSpec
from llm_operator.api.sources import parse_source
from llm_operator.core import names
from llm_operator.core.canonical import identity
from llm_operator.core.clock import seconds_since
from llm_operator.core.errors import UNRESOLVED
from llm_operator.core.kinds import JOB
from llm_operator.core.observed import Obj
from llm_operator.core.podstate import blocked
from llm_operator.core.reasons import Reason
from llm_operator.core.references import MODEL_FIELD, References, Resolution
from llm_operator.core.render.fetcher import resolver_job
from llm_operator.core.world import World, controller

TRANSIENT = frozenset({Reason.RESOLVER_FAILED, "FetcherFailed", "SourceChanged", "SourceUnreachable"})
"""Failures that may go by themselves; every other one needs somebody to change something."""

_FIRST_RETRY_S = 10.0
_LAST_RETRY_S = 300.0
_LOOK_S = 2.0
_MESSAGE_MAX = 1024
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_REASON = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}")
_COUNT_MAX = 2**53


@dataclass(frozen=True)
class Waiting:
    """Why there is no digest yet. ``stalled`` says that waiting alone will not help."""

    reason: str
    message: str
    stalled: bool
    next_look_s: float


@dataclass(frozen=True)
class Model:
    """The digest of the weights or what it waits for, and the Job to have meanwhile."""

    outcome: str | Waiting
    jobs: tuple[Obj, ...] = ()


@dataclass(frozen=True)
class Failure:
    """Why a Job found nothing, and when it ended."""

    reason: str
    message: str
    at: str | None


def resolve_model(
    world: World, spec: LLMDeploymentSpec, config: OperatorConfig, references: References, now: datetime, anew: str = ""
) -> Model:
    """Return what ``spec.model.source`` stands for; ``anew`` names the request to ask again, with a Job of its own."""
    source = parse_source(spec.model.source)
    requested = str(source)
    known = references.carried(MODEL_FIELD, requested)
    if known is not None:
        references.keep(known)
        return Model(known.digest)
    secret = spec.model.credentials.secret_name if spec.model.credentials else None
    name = names.resolve_job(world.owner.name, identity({"source": requested, "secret": secret, "refresh": anew or None}))
    wanted = resolver_job(world.owner, config, source, spec.model.credentials, name)
    job = world.live(JOB, name)
    pod = _pod(world, job) if job else None
    answer = _answer(job, pod, requested) if job else None
    if isinstance(answer, Resolution):
        references.keep(answer)
        return Model(answer.digest, (wanted,))  # the Job goes once the status has the digest
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


def _pod(world: World, job: Obj) -> Obj | None:
    """Return the pod of a Job, if the Job is under our uid; anybody may give a pod our labels."""
    ours = controller(job)
    if ours is None or ours["uid"] != world.owner.uid:
        return None
    uid = job["metadata"]["uid"]
    return next((pod for pod in world.job_pods if (controller(pod) or {}).get("uid") == uid), None)


def _answer(job: Obj, pod: Obj | None, requested: str) -> Resolution | Failure | None:
    """Return what the Job found, why it failed, or None while it runs."""
    condition = _end_condition(job)
    at = condition.get("lastTransitionTime") if condition else None
    ended = _terminated(pod) if pod else None
    if ended is not None:
        return _read(ended, requested, at)
    if condition is None or (pod is not None and condition["type"] == "Complete"):
        return None  # still running, or its end has not reached the list of pods yet
    words = condition.get("message") or condition.get("reason") or "its pod is gone"
    return Failure(Reason.RESOLVER_FAILED, f"the resolver Job left no answer: {words}", at)


def _read(ended: dict[str, Any], requested: str, at: str | None) -> Resolution | Failure:
    try:
        body = json.loads(ended.get("message") or "")
    except ValueError:
        body = None
    body = body if isinstance(body, dict) else {}
    error = body.get("error")
    if isinstance(error, dict) and isinstance(error.get("reason"), str) and isinstance(error.get("message"), str):
        return Failure(_word(error["reason"]), error["message"][:_MESSAGE_MAX], at)
    digest = body.get("digest")
    if ended.get("exitCode") == 0 and isinstance(digest, str) and _DIGEST.fullmatch(digest):
        return Resolution(MODEL_FIELD, requested, digest, _count(body.get("bytes")), _count(body.get("files")))
    said = (ended.get("message") or ended.get("reason") or "nothing").strip()[-_MESSAGE_MAX:]
    return Failure(Reason.RESOLVER_FAILED, f"the resolver ended with exit code {ended.get('exitCode')} and said: {said}", at)


def _word(reason: str) -> str:
    """Return a reason a condition can have: what a pod writes is not to be trusted with the form of one."""
    return reason if _REASON.fullmatch(reason) else Reason.RESOLVER_FAILED


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _COUNT_MAX else None


def _terminated(pod: Obj) -> dict[str, Any] | None:
    statuses = pod.get("status", {}).get("containerStatuses", [])
    return next((each["state"]["terminated"] for each in statuses if "terminated" in each.get("state", {})), None)


def _end_condition(job: Obj) -> dict[str, Any] | None:
    conditions = job.get("status", {}).get("conditions", [])
    return next((each for each in conditions if each["type"] in {"Failed", "Complete"} and each["status"] == "True"), None)
