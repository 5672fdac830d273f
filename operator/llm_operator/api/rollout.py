"""Rollout: how a change is let in."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from llm_operator.api.base import VALIDATIONS, ApiModel, rule
from llm_operator.api.durations import Duration
from llm_operator.api.gates import MAX_GATES, UNIQUE, Gate

MAX_STEPS = 20
PROGRESS_DEADLINE = "10m"
ENGINE_DEADLINE = "30m"
KEEP_CANARY_FOR = "2m"


class Capacity(ApiModel):
    """Which accelerators a change of the engine may use."""

    rules: ClassVar = (
        rule(
            "!has(self.mode) || self.mode != 'Borrow' || self.stableFloorPercent == 100",  # its own default has no fields yet
            "Borrow leaves as many pods as the load needs; stableFloorPercent cannot take more of them",
        ),
    )

    mode: Literal["Surge", "Borrow", "Replace"] = "Surge"
    """`Surge` starts one more pod than `replicas` and always has `replicas` ready ones. `Borrow` never has more pods than `replicas`: it
    takes one away first, as long as the others can carry the load, and gives it back when they cannot; the only replica is never taken.
    `Replace` takes one away whatever the load is. With one replica requests wait meanwhile, up to `limits.hold`, in a pod without an
    engine that this mode adds."""
    headroom_percent: int = Field(default=20, ge=0, le=90)
    """Of the requests that a pod may have at once, which are `limits.maxConcurrency`, or `max-num-seqs` where that is less, so much has to
    stay free: in the pods that carry the load when `Borrow` takes one, and in those of a new engine that is let in by steps."""
    stable_floor_percent: int = Field(default=100, ge=1, le=100)
    """Of the old pods that the new ones do not stand in for yet, so many stay while pods change hands. Less is faster, as more pods load
    at once, and leaves fewer to serve meanwhile. It begins when the first new pod serves, and takes no pod that the load is known to need
    in a change by steps."""


class Approval(ApiModel):
    """Somebody says that the revision may go on: by `rollout.approve.revision` or by the verb `approve`."""


class Shadow(ApiModel):
    """Copies of requests that stable has answered: the new revision answers them too, and nobody waits for that or gets to see it."""

    sample_percent: int = Field(ge=1, le=100)
    """Share of all requests that is copied, as far as `maxInFlight` allows it."""
    max_in_flight: int = Field(default=2, ge=1, le=16)
    """Copies that one pod has on their way at a time; one more is dropped and counted."""


class Step(ApiModel):
    """One step: copies of requests, a share of the requests, or an approval."""

    rules: ClassVar = (
        rule(
            "[has(self.weightPercent), has(self.approval), has(self.shadow)].filter(is_set, is_set).size() == 1",
            "exactly one of weightPercent, approval and shadow must be set",
        ),
        rule(
            "!has(self.shadow) || duration(self.minDuration) > duration('0s')",
            "a step with shadow ends by its time, and by nothing else; set minDuration",
        ),
        rule(
            "duration(self.minDuration) <= duration(self.maxDuration)",
            "minDuration must not be longer than maxDuration, else the step could not end by itself",
        ),
    )

    weight_percent: int | None = Field(default=None, ge=1, le=100)
    """Share of all requests that the new revision gets in this step."""
    approval: Approval | None = None
    """Wait until somebody says that the revision may go on; the share of requests stays what it was."""
    shadow: Shadow | None = None
    """Send copies of requests to the new revision for `minDuration`, and keep both answers; the share of requests stays what it was."""
    min_duration: Annotated[str, Duration("0s", "720h")] = "0s"
    """Time the step takes at least, from when every ready pod knows of it."""
    max_duration: Annotated[str, Duration("1s", "720h")] = "24h"
    """Time after which a step that cannot end is given up: an approval that nobody gave, or a pod that does not follow."""
    on_inconclusive: Literal["Pause", "Abort"] = "Pause"
    """What happens then: `Pause` keeps the share of requests until somebody decides, `Abort` takes all requests back."""


class SteppedRollout(ApiModel):
    """What every change that is let in by steps has."""

    steps: tuple[Step, ...] = Field(min_length=1, max_length=MAX_STEPS, json_schema_extra={"x-kubernetes-list-type": "atomic"})
    """Steps one after the other; after the last one the revision gets every request and becomes stable."""


class ConfigRollout(SteppedRollout):
    """How a change that needs no new pods is let in, such as one of the prompt."""

    rules: ClassVar = (
        rule(
            "!self.steps.exists(each, has(each.shadow))",
            "shadow is a step of rollout.engine: without pods of its own, the copies would take the place of requests",
        ),
    )

    progress_deadline: Annotated[str, Duration("10s", "24h")] = PROGRESS_DEADLINE
    """Time in which every ready pod must be able to serve a new revision; one that takes longer is aborted before it gets any request."""


class EngineRollout(SteppedRollout):
    """How a change of the engine is let in, such as one of the weights: one pod of it is tried by steps beside those of the old."""

    progress_deadline: Annotated[str, Duration("10s", "24h")] = ENGINE_DEADLINE
    """Time in which the pod of the new engine must be ready and reached by every other one, from when it has a node; one that takes longer
    is aborted. Time without room for the pod does not count."""


class Abort(ApiModel):
    """What follows when a change of the engine is aborted."""

    keep_canary_for: Annotated[str, Duration("0s", "24h")] = KEEP_CANARY_FOR
    """How long the pod of the new engine stays without requests, so that the verb `retry` need not load it again. Not with `Borrow` or
    `Replace`."""


class Approve(ApiModel):
    """Approval that is given in the spec."""

    revision: str = Field(default="", max_length=63, pattern=r"^[a-z0-9]*$")
    """Revision that may pass every step with `approval`, as `status.latestRevision` names it. It approves no other one, so it can stay."""


class Rollout(ApiModel):
    """How a change is let in."""

    rules: ClassVar = (
        rule("!has(self.gates) || has(self.config) || has(self.engine)", "gates judge steps: they need rollout.config or rollout.engine"),
        *(
            rule(
                f"!has(self.gates) || !has(self.{kind}) || self.{kind}.steps.exists(each, has(each.weightPercent))",
                f"gates judge steps with weightPercent, and rollout.{kind}.steps has none: its revisions would become stable unproven; "
                "add one, or leave gates out",
            )
            for kind in ("config", "engine")
        ),
    )

    capacity: Capacity = Capacity()
    """Which accelerators a change of the engine may use."""
    config: ConfigRollout | None = None
    """Steps of a change that needs no new pods; absent is all requests at once, as soon as every ready pod can serve it."""
    engine: EngineRollout | None = None
    """Steps of a change of the engine; absent is pod by pod, each with its share of the requests."""
    abort: Abort = Abort()
    """What follows when a change of the engine is aborted."""
    gates: Annotated[
        tuple[Gate, ...] | None,
        Field(
            min_length=1,
            max_length=MAX_GATES,
            json_schema_extra={"x-kubernetes-list-type": "atomic", VALIDATIONS: list(UNIQUE)},
        ),
    ] = None
    """What has to be proven before a step with a weight is over. Until all gates pass it goes on, up to its `maxDuration`."""
    approve: Approve = Approve()
    """Approval for steps that wait for one."""
    git_ops_health: Literal["Serving", "Rollout"] = "Serving"
    """What tools that wait for what they applied, such as Flux, wait for: `Serving` until the operator has done what it can and the rest is
    up to the steps, `Rollout` until the rollout has ended or needs somebody. It is the condition Reconciling that tells them."""
