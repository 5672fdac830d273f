"""What the operator reports. No field has a default: absent means the operator has not seen it yet."""

from typing import Annotated, Literal

from pydantic import Field

from llm_operator.api.autoscaling import AutoscalingMode
from llm_operator.api.base import ApiModel

Text = Annotated[str, Field(max_length=32_768)]
Count = Annotated[int, Field(ge=0, le=2**31 - 1)]
Name = Annotated[str, Field(max_length=253)]
RolloutState = Literal[
    "Preparing", "WaitingCapacity", "Warming", "Stepping", "Paused", "Ratcheting", "Finalising", "Promoted", "Aborted", "Superseded"
]


class Condition(ApiModel):
    """One aspect of the state, as Kubernetes conditions are."""

    type: str = Field(min_length=1, max_length=316)
    """Aspect the condition is about."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    reason: str = Field(min_length=1, max_length=1024)
    """Why, as one word for machines."""
    message: Text
    """Why, as a sentence for people."""
    last_transition_time: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    """When the status last changed."""
    observed_generation: int | None = Field(default=None, ge=0)
    """Generation of the spec the condition was computed from."""


Conditions = Annotated[
    tuple[Condition, ...],
    Field(max_length=32, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}),
]


class StableStatus(ApiModel):
    """The revision that serves."""

    revision: Name | None = None
    """Hash of weights, engine and prompt together; answers carry it as x-llm-revision."""
    engine: Name | None = None
    """Hash of the pod template, part of the names of its Deployment and Service."""
    replicas: Count | None = None
    """Pods of the engine."""
    ready: Count | None = None
    """Pods of the engine that answer requests."""
    weight: int | None = Field(default=None, ge=0, le=100)
    """Share of all requests it gets, in percent."""


class CanaryStatus(StableStatus):
    """The revision that is coming up beside the stable one."""

    diff_class: Name | None = None
    """What the change needs: `Config` no pod, `Engine` new pods."""


class InputsStatus(ApiModel):
    """What `latestRevision` was computed from."""

    generation: int | None = Field(default=None, ge=0)
    """Generation of the spec."""
    prompt_digest: Name | None = None
    """Digest of the LLMPrompt."""


class Resolution(ApiModel):
    """What a reference of the spec stands for, fixed until the reference changes."""

    field: Name
    """Path of the field in the spec."""
    requested: str = Field(max_length=1024)
    """The reference as it was written."""
    digest: Name
    """Hash of the content it stood for when it was resolved."""
    bytes: int | None = Field(default=None, ge=0)
    """Size of the content."""
    files: Count | None = None
    """Number of files."""
    checked_at: Annotated[str | None, Field(json_schema_extra={"format": "date-time"})] = None
    """When a source with an `updatePolicy` other than `Pin` was last found to hold this, or something else."""
    available: Name | None = None
    """Hash of what it held then, if that was something else."""


class TableStatus(ApiModel):
    """The newest table of live revisions, and which pods run it."""

    generation: int | None = Field(default=None, ge=0)
    """Generation of the table."""
    acked: Count | None = None
    """Pods that run it."""
    of: Count | None = None
    """Pods there are."""


class ActionStatus(ApiModel):
    """The answer to a verb that was asked for with the annotation `llmops.dev/action`."""

    id: str = Field(min_length=1, max_length=64)
    """Id under which it was asked for; the same id is never done twice."""
    verb: str | None = Field(default=None, max_length=64)
    """What was asked for, such as `refresh` or `promote`."""
    revision: str | None = Field(default=None, max_length=64)
    """Revision that had to be the latest one for the verb to be meant."""
    outcome: Literal["Running", "Done", "Failed", "Rejected", "Superseded"]
    """What became of it; all but `Running` are final."""
    message: str = Field(max_length=1024)
    """What became of it, as a sentence for people."""
    result: str | None = Field(default=None, max_length=64)
    """Revision that is asked for since."""
    at: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    """When this became its outcome."""


class RolloutStatus(ApiModel):
    """The last change that was let in by steps, or is being let in."""

    id: str = Field(max_length=64)
    """Id of the rollout, which no other one has; the requests a step gives to a revision are drawn by it."""
    revision: str = Field(max_length=64)
    """Revision on its way."""
    replaces: str = Field(max_length=64)
    """Revision that was stable when it began."""
    state: RolloutState
    """What it is doing; `Promoted`, `Aborted` and `Superseded` are ends."""
    step: int = Field(ge=1, le=1_000)
    """Step it is at, counted from 1."""
    weight: int = Field(ge=0, le=100)
    """Share of all requests the revision is meant to have, in percent."""
    rollback: bool | None = None
    """Whether it goes back to a revision that was stable before, without steps."""
    losses: int | None = Field(default=None, ge=1, le=1_000)
    """How often the only pod of its engine was lost, or stopped being ready, at this step; the third time aborts it."""
    since: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    """When it came into this state or step, or began to wait for what `reason` says."""
    reason: str = Field(max_length=1024)
    """Why it is there, as one word for machines."""
    message: Text
    """Why it is there, as a sentence for people."""


class LoanStatus(ApiModel):
    """Whether a change of the engine may have a pod of stable, with `rollout.capacity.mode: Borrow`."""

    lent: bool
    """Whether it may."""
    reason: str = Field(max_length=1024)
    """Why, as one word for machines: `Lent`, `LoadHigh`, `LoadSettling`, `LoadUnknown` or `OnlyReplica`."""
    message: Text
    """Why, as a sentence for people."""
    since: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    """When that began."""
    requests: int = Field(ge=0, le=2**53)
    """Requests there were when `message` was written, where the load is too high."""


class AbortedRevision(ApiModel):
    """A revision that was aborted or rolled back; it is not served until the verb `retry` asks for it."""

    revision: str = Field(max_length=64)
    """The revision."""
    reason: str = Field(max_length=1024)
    """Why, as one word for machines."""
    message: Text
    """Why, as a sentence for people."""
    at: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    """When."""


class GateStatus(ApiModel):
    """The answer of one gate."""

    name: Name
    """What is asked, as `rollout.gates` names it; `sampleRatio`, whether requests come to both revisions as the weights say, always is."""
    verdict: Literal["Pass", "Harm", "Undecided"]
    """Only what is proven passes or is harm."""
    reason: str = Field(max_length=1024)
    """Why, as one word for machines."""
    message: Text
    """Why, as a sentence for people."""
    estimate: str | None = Field(default=None, max_length=32)
    """How many times that of the stable revision it is; of a `promql` gate the number itself."""
    low: str | None = Field(default=None, max_length=32)
    """The truth is above this, at all looks together."""
    high: str | None = Field(default=None, max_length=32)
    """The truth is below this, at all looks together."""
    canary: int = Field(ge=0, le=2**53)
    """Requests of the new revision the answer rests on; units for `sampleRatio`."""
    stable: int = Field(ge=0, le=2**53)
    """Requests of the stable revision."""
    needs: int | None = Field(default=None, ge=0, le=2**53)
    """About how many more requests of the new revision it takes, if all goes on like this."""


class HistoryLine(ApiModel):
    """One change of state, step or weight."""

    at: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    """When."""
    revision: str = Field(max_length=64)
    """Revision on its way."""
    state: RolloutState
    """What the rollout does since."""
    step: int = Field(ge=1, le=1_000)
    """Step it is at, counted from 1."""
    weight: int = Field(ge=0, le=100)
    """Share of all requests the revision is meant to have since, in percent."""
    reason: str = Field(max_length=1024)
    """Why, as one word for machines."""
    message: Text
    """Why, as a sentence for people."""


class RouteParent(ApiModel):
    """What one controller says of the route at one Gateway."""

    gateway: str = Field(max_length=512)
    """Namespace and name of the Gateway."""
    section_name: str | None = Field(default=None, max_length=253)
    """Listener of it."""
    controller: str = Field(max_length=253)
    """Name of the controller."""
    conditions: Conditions = ()
    """Its conditions, such as Accepted and ResolvedRefs, with the generation of the route as observedGeneration."""


class RouteStatus(ApiModel):
    """What Gateways say of the route."""

    parents: Annotated[tuple[RouteParent, ...], Field(max_length=32, json_schema_extra={"x-kubernetes-list-type": "atomic"})] = ()
    """One item for each Gateway and controller."""


class ScalingNeed(ApiModel):
    """Pods that the load needs, not rounded."""

    requests: str = Field(max_length=32)
    """For the requests that are worked on or come."""
    prompts: str = Field(max_length=32)
    """For the tokens of prompts that come; the larger of both counts."""
    backlog: str = Field(max_length=32)
    """For what waits, besides."""


class ScalingDecision(ApiModel):
    """One decision about the number of pods."""

    at: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    """When it was first made."""
    replicas: Count
    """Pods there are to be."""
    reason: str = Field(max_length=1024)
    """Why, as one word for machines."""
    message: Text
    """Why, as a sentence for people."""
    wanted: Count | None = None
    """Pods the load needs, within the bounds; absent while it is not known."""
    need: ScalingNeed | None = None
    """What that rests on."""


class AutoscalingStatus(ApiModel):
    """What autoscaling does, or in `Shadow` would do."""

    mode: AutoscalingMode
    """Mode the decisions were made in."""
    replicas: Count
    """Pods there are to be."""
    spec_replicas: Count
    """`spec.replicas` when this mode began; another number since then is a conflict."""
    last_decisions: Annotated[tuple[ScalingDecision, ...], Field(max_length=5, json_schema_extra={"x-kubernetes-list-type": "atomic"})] = ()
    """The last decisions that differ in number or reason, newest last."""


class StartupPhase(ApiModel):
    """How long one part of a start takes, in whole seconds."""

    name: Literal["Scheduled", "Fetched", "Image", "Weights", "Ready"]
    """`Scheduled`: until a node was found; `Fetched`: until the model's files were there; `Image`: until the engine ran; `Weights`: until
    it answered; `Ready`: all of it."""
    last_seconds: Count
    """How long the last pod took."""
    median_seconds: Count
    """The median of the last few."""


class PodStart(ApiModel):
    """How long one pod took to start."""

    pod: Name
    """Its name."""
    ready_at: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    """When it was ready."""
    seconds: Annotated[tuple[Count, ...], Field(max_length=5, json_schema_extra={"x-kubernetes-list-type": "atomic"})]
    """Seconds of each phase, in their order."""


class StartupStatus(ApiModel):
    """How long engine pods take to start, and with what."""

    phases: Annotated[
        tuple[StartupPhase, ...],
        Field(max_length=5, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}),
    ] = ()
    """The parts of a start."""
    starts: Annotated[tuple[PodStart, ...], Field(max_length=5, json_schema_extra={"x-kubernetes-list-type": "atomic"})] = ()
    """The last few that became ready, newest last: what the medians are of."""


class LLMDeploymentStatus(ApiModel):
    """What the operator has seen and done."""

    observed_generation: int | None = Field(default=None, ge=0)
    """Generation of the spec this status was computed from."""
    phase: Name | None = None
    """The state in one word, such as Pending, Fetching, Loading, Ready or Stalled."""
    reason: str | None = Field(default=None, max_length=1024)
    """Why it is in this phase, as one word for machines."""
    message: Text | None = None
    """Why it is in this phase, as a sentence for people."""
    replicas: Count | None = None
    """Engine pods there are."""
    ready_replicas: Count | None = None
    """Engine pods that answer requests."""
    selector: str | None = Field(default=None, max_length=1024)
    """Label selector of the engine pods, for autoscalers."""
    latest_revision: Name | None = None
    """Revision of the newest spec that could be used."""
    stable: StableStatus | None = None
    """The revision that serves."""
    canary: CanaryStatus | None = None
    """The revision that is coming up."""
    inputs: InputsStatus | None = None
    """What `latestRevision` was computed from."""
    resolutions: Annotated[
        tuple[Resolution, ...],
        Field(max_length=64, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["field"]}),
    ] = ()
    """What the references of the spec stand for."""
    table: TableStatus | None = None
    """The newest table of live revisions, and which pods run it."""
    actions: Annotated[tuple[ActionStatus, ...], Field(max_length=10, json_schema_extra={"x-kubernetes-list-type": "atomic"})] = ()
    """Answers to the last verbs, newest last."""
    rollout: RolloutStatus | None = None
    """The last change that was let in by steps, or is being let in."""
    loan: LoanStatus | None = None
    """Whether a change of the engine that is on its way may have a pod of stable, with `rollout.capacity.mode: Borrow`."""
    aborted_revisions: Annotated[
        tuple[AbortedRevision, ...],
        Field(max_length=10, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["revision"]}),
    ] = ()
    """Revisions that were aborted or rolled back, newest last; the spec may ask for one, but it is not served."""
    history: Annotated[tuple[HistoryLine, ...], Field(max_length=20, json_schema_extra={"x-kubernetes-list-type": "atomic"})] = ()
    """What rollouts did, newest last."""
    gates: Annotated[
        tuple[GateStatus, ...],
        Field(max_length=16, json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}),
    ] = ()
    """What the gates of the rollout say, once a minute; after it, what they said last."""
    autoscaling: AutoscalingStatus | None = None
    """What autoscaling does, where the load decides the number of pods, or would in `Shadow`."""
    startup: StartupStatus | None = None
    """How long engine pods take to start, and with what; autoscaling counts on it."""
    route: RouteStatus | None = None
    """What Gateways say of the route, where there is one."""
    conditions: Conditions = ()
    """Aspects of the state: Stalled, Reconciling and Ready first."""


class LLMPromptStatus(ApiModel):
    """What the operator has found in a prompt, and who uses it."""

    observed_generation: int | None = Field(default=None, ge=0)
    """Generation of the spec this status was computed from."""
    digest: Name | None = None
    """Hash of the prompt."""
    conditions: Conditions = ()
    """Valid: whether the prompt can be served."""
    users: int | None = Field(default=None, ge=0)
    """How many LLMDeployments of the namespace refer to the prompt."""
    used_by: Annotated[tuple[Name, ...], Field(max_length=1024, json_schema_extra={"x-kubernetes-list-type": "set"})] = ()
    """The first 32 of them by name."""
