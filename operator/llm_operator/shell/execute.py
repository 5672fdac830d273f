"""Carries a plan out: dumb on purpose, in the plan's order, and without a write that the plan does not name."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from llm_operator.core import kinds, names
from llm_operator.core.actions import Apply, Delete, Plan
from llm_operator.core.kinds import Kind
from llm_operator.shell.errors import ApiError, ConflictError, NotFoundError, RejectedError, TerminatingError
from llm_operator.shell.logging import log
from llm_operator.shell.ports import Cluster, Manifest

_NEVER = "1"
"""Versions are revisions of the whole store, and its first one has no objects in it."""

Wrote = Callable[[str, str], None]
"""Called with kind and verb after each write that went through."""


@dataclass(frozen=True)
class Refusal:
    """What the API server would not take, and why in its own words."""

    what: str
    message: str


@dataclass
class Outcome:
    """What came of a plan: what the server stored, what it refused, and whose object is under a name that was to be used first.

    ``spared`` is what it refused of what everything else goes on without.
    """

    applied: list[Manifest] = field(default_factory=list)
    refusal: Refusal | None = None
    spared: Refusal | None = None
    taken: tuple[Kind, str] | None = None


async def execute(cluster: Cluster, plan: Plan, namespace: str, wrote: Wrote) -> Outcome:
    """Mark what is to go, apply, delete and nudge.

    A refused object does not keep the others from being applied, unless they rely on it, but nothing is deleted then: what is there may
    have to go on in place of what was refused. At a name that is taken the work ends. Any other error ends the pass; the next one starts
    from what is then there.
    """
    outcome = Outcome()
    for mark in plan.marks:
        await _annotate(cluster, namespace, mark.pod_name, {names.ANNOTATION_DELETION_COST: str(mark.cost)}, wrote)
    for apply in plan.applies:
        if not await _apply(cluster, apply, outcome, wrote):
            break
    if outcome.refusal or outcome.taken:
        return outcome
    for delete in plan.deletes:
        await _delete(cluster, delete, namespace, outcome, wrote)
    for nudge in plan.nudges:
        await _annotate(cluster, namespace, nudge.pod_name, {names.ANNOTATION_GENERATION: nudge.value}, wrote)
    return outcome


async def _apply(cluster: Cluster, apply: Apply, outcome: Outcome, wrote: Wrote) -> bool:
    """Apply one object; return whether those after it may be applied. Of an optional object the whole kind may not be there."""
    try:
        live = await (_create(cluster, apply) if apply.first else cluster.apply(apply.object, force=apply.force))
    except TerminatingError:
        raise
    except (RejectedError, NotFoundError) as error:
        refusal = Refusal(f"{apply.kind.kind} {apply.name}", error.message)
        if apply.is_optional:
            outcome.spared = refusal
            return True
        if isinstance(error, NotFoundError):
            raise
        outcome.refusal = outcome.refusal or refusal
        return not apply.relied_on
    if live is None:
        outcome.taken = (apply.kind, apply.name)
        return False
    outcome.applied.append(live)
    wrote(apply.kind.kind, "apply")
    return True


async def _delete(cluster: Cluster, delete: Delete, namespace: str, outcome: Outcome, wrote: Wrote) -> None:
    try:
        await cluster.delete(delete.kind, namespace, delete.name, delete.uid)
    except RejectedError as error:
        if not delete.is_optional:
            raise
        outcome.spared = Refusal(f"the deletion of {delete.kind.kind} {delete.name}", error.message)
    else:
        wrote(delete.kind.kind, "delete")


async def _create(cluster: Cluster, apply: Apply) -> Manifest | None:
    """Apply an object that must not be there yet; return None if it is.

    A version no object can have makes the server refuse an apply to anything that is there, and says nothing to one that creates.
    """
    manifest = {**apply.object, "metadata": {**apply.object["metadata"], "resourceVersion": _NEVER}}
    try:
        return await cluster.apply(manifest, force=False)
    except ConflictError:
        return None


async def write_status(cluster: Cluster, observed: Manifest, status: Manifest, wrote: Wrote) -> Manifest | None:
    """Write the status if it is not what is there already, provided the object is still the one it was computed from."""
    if status == observed.get("status", {}):
        return None
    metadata = observed["metadata"]
    live = await cluster.apply_status(
        {
            "apiVersion": observed["apiVersion"],
            "kind": observed["kind"],
            "metadata": {name: metadata[name] for name in ("name", "namespace", "resourceVersion")},
            "status": status,
        }
    )
    wrote(observed["kind"], "status")
    return live


async def write_events(cluster: Cluster, events: list[Manifest], wrote: Wrote) -> None:
    """Write Events; they are a courtesy, so a failure is logged and no more."""
    for each in events:
        try:
            await cluster.apply(each, force=True)
        except ApiError as error:
            log(logging.WARNING, f"event not written: {error}", reason=each["reason"])
        else:
            wrote(kinds.EVENT.kind, "apply")


async def _annotate(cluster: Cluster, namespace: str, pod: str, annotations: Mapping[str, str], wrote: Wrote) -> None:
    """Tell the kubelet to sync a pod's volumes now, or the controller to take that pod; without the right or the pod it goes on without."""
    try:
        await cluster.annotate(kinds.POD, namespace, pod, annotations)
    except (RejectedError, NotFoundError) as error:
        log(logging.DEBUG, f"pod not annotated: {error}")
    else:
        wrote(kinds.POD.kind, "annotate")
