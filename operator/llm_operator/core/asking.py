"""The Job in the tenant's namespace that is asked what a model source holds, and its answer: believed only from a pod of a Job of ours."""

import json
import re
from dataclasses import dataclass
from typing import Any

from llm_operator.api.config import OperatorConfig
from llm_operator.api.llmdeployment import Model
from llm_operator.api.sources import parse_source
from llm_operator.core import names
from llm_operator.core.canonical import identity
from llm_operator.core.observed import Obj
from llm_operator.core.reasons import Reason
from llm_operator.core.references import MODEL_FIELD, Resolution
from llm_operator.core.render.fetcher import RESOLVER, resolver_job
from llm_operator.core.world import World, controller

ANSWERED_S = 3.0
"""After which the Job that has answered goes at the latest. Mostly it goes with the look at the pods that come up meanwhile."""

_MESSAGE_MAX = 1024
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_REASON = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}")
_COUNT_MAX = 2**53


@dataclass(frozen=True)
class Failure:
    """Why a Job found nothing, and when it ended."""

    reason: str
    message: str
    at: str | None


def question(world: World, model: Model, config: OperatorConfig, **turn: str | None) -> Obj:
    """Return the Job that asks; ``turn`` tells one that asks again from those before it."""
    source = parse_source(model.source)
    secret = model.credentials.secret_name if model.credentials else None
    name = names.resolve_job(world.owner.name, identity({"source": str(source), "secret": secret, **turn}))
    return resolver_job(world.owner, config, source, model.credentials, name)


def pod_of(world: World, job: Obj) -> Obj | None:
    """Return the pod of a Job, if the Job is under our uid; anybody may give a pod our labels."""
    ours = controller(job)
    if ours is None or ours["uid"] != world.owner.uid:
        return None
    uid = job["metadata"]["uid"]
    return next((pod for pod in world.job_pods if (controller(pod) or {}).get("uid") == uid), None)


def answer_of(job: Obj, pod: Obj | None, requested: str) -> Resolution | Failure | None:
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
    """Return how the resolver ended; what others have put into its pod may end before it."""
    statuses = [each for each in pod.get("status", {}).get("containerStatuses", []) if each["name"] == RESOLVER]
    return next((each["state"]["terminated"] for each in statuses if "terminated" in each.get("state", {})), None)


def _end_condition(job: Obj) -> dict[str, Any] | None:
    conditions = job.get("status", {}).get("conditions", [])
    return next((each for each in conditions if each["type"] in {"Failed", "Complete"} and each["status"] == "True"), None)
