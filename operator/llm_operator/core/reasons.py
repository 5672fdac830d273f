"""The words for machines: phases of a deployment, and reasons of our own for conditions, events and log lines.

Besides these, reasons are passed on in the words of Kubernetes (``ImagePullBackOff``, ``OOMKilled``) and of the fetcher
(``SourceNotFound``).
"""

from enum import StrEnum


class Phase(StrEnum):
    """The state of a deployment in one word; the objects bear it out at every moment."""

    PENDING = "Pending"
    RESOLVING = "Resolving"
    WAITING_FOR_ACCELERATORS = "WaitingForAccelerators"
    UNSCHEDULABLE = "Unschedulable"
    PULLING_IMAGE = "PullingImage"
    STARTING = "Starting"
    FETCHING = "Fetching"
    LOADING = "Loading"
    CRASHING = "Crashing"
    NOT_READY = "NotReady"
    UPDATING = "Updating"
    PAUSED = "Paused"
    READY = "Ready"
    SCALED_TO_ZERO = "ScaledToZero"
    WAKING = "Waking"
    STALLED = "Stalled"


class Reason(StrEnum):
    """Why something is so."""

    # What a user has to repair.
    ACCELERATOR_PROFILE_UNKNOWN = "AcceleratorProfileUnknown"
    BUNDLE_TOO_LARGE = "BundleTooLarge"
    ENGINE_ARGUMENT_INVALID = "EngineArgumentInvalid"
    ENGINE_PROFILE_UNKNOWN = "EngineProfileUnknown"
    GATE_UNKNOWN = "GateUnknown"
    NAME_CONFLICT = "NameConflict"
    PIPELINE_INVALID = "PipelineInvalid"
    PROMPT_INVALID = "PromptInvalid"
    PROMPT_MISSING = "PromptMissing"
    SOURCE_INVALID = "SourceInvalid"
    SOURCE_NOT_ALLOWED = "SourceNotAllowed"
    SPEC_INVALID = "SpecInvalid"

    # What the cluster or the administrator does not offer.
    FORBIDDEN = "Forbidden"
    KIND_MISSING = "KindMissing"
    NOT_ENABLED = "NotEnabled"

    # What has gone wrong on the way.
    ABORT_REQUESTED = "AbortRequested"
    ABORTED = "Aborted"
    ACTION_FAILED = "ActionFailed"
    ACTION_REJECTED = "ActionRejected"
    ACTION_SUPERSEDED = "ActionSuperseded"
    BORROW_UNSAFE = "BorrowUnsafe"
    BUNDLE_REFUSED = "BundleRefused"
    CANARY_LOST = "CanaryLost"
    CANARY_PREEMPTED = "CanaryPreempted"
    ENGINE_CRASHES = "EngineCrashes"
    FAILED_CREATE = "FailedCreate"
    INCONCLUSIVE = "Inconclusive"
    PROGRESS_DEADLINE_EXCEEDED = "ProgressDeadlineExceeded"
    RESOLVER_FAILED = "ResolverFailed"
    ROLLED_BACK = "RolledBack"
    SIDECAR_TOO_OLD = "SidecarTooOld"
    STABLE_LOST = "StableLost"
    SUPERSEDED = "Superseded"
    UNSCHEDULABLE = "Unschedulable"

    # What is waited for.
    APPROVAL_REQUIRED = "ApprovalRequired"
    CREATING_PODS = "CreatingPods"
    DELIVERING = "Delivering"
    DRAINING = "Draining"
    FINALISING = "Finalising"
    FETCHING = "Fetching"
    LOADING = "Loading"
    LOAD_HIGH = "LoadHigh"
    LOAD_SETTLING = "LoadSettling"
    LOAD_UNKNOWN = "LoadUnknown"
    NAME_IN_USE = "NameInUse"
    NOT_READY = "NotReady"
    ONLY_REPLICA = "OnlyReplica"
    PAUSE_REQUESTED = "PauseRequested"
    OBSERVING = "Observing"
    PREPARING = "Preparing"
    RATCHETING = "Ratcheting"
    REACHING = "Reaching"
    REMOVING = "Removing"
    RESOLVING = "Resolving"
    ROUTE_PENDING = "RoutePending"
    SCHEDULED = "Scheduled"
    STARTING = "Starting"
    STEPPING = "Stepping"
    WARMING = "Warming"
    WEIGHT_CAPPED_BY_CAPACITY = "WeightCappedByCapacity"

    # What has been reached.
    ACCEPTED = "Accepted"
    ACTION_DONE = "ActionDone"
    COMPLETE = "Complete"
    DELIVERED = "Delivered"
    LENT = "Lent"
    NOTHING_TO_REFRESH = "NothingToRefresh"
    NOT_STALLED = "NotStalled"
    PROMOTED = "Promoted"
    READY = "Ready"
    REFRESHED = "Refreshed"
    RESOLVED = "Resolved"
    SCALED_TO_ZERO = "ScaledToZero"
    SERVING = "Serving"
    SETTLED = "Settled"
    UP_TO_DATE = "UpToDate"
    VALID = "Valid"

    # What is known besides.
    AS_ASKED = "AsAsked"
    MODEL_CHANGED = "ModelChanged"
    NO_APPROVAL_REQUIRED = "NoApprovalRequired"
    NO_PODS = "NoPods"
    NO_TABLE = "NoTable"
    ONE_WRITER = "OneWriter"
    PROFILE_CHANGED = "ProfileChanged"
    PROMPT_CHANGED = "PromptChanged"
    RENDERING_CHANGED = "RenderingChanged"
    REPLICAS_CHANGED = "ReplicasChanged"
    TARGETED_TOO = "TargetedByAutoscaler"

    # What was done.
    CREATED = "Created"
    DELETED = "Deleted"
    UPDATED = "Updated"


QUOTA = "exceeded quota"
"""The words of the API server in every message about a pod that a quota refuses."""
