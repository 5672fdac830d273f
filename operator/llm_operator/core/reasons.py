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
    READY = "Ready"
    SCALED_TO_ZERO = "ScaledToZero"
    STALLED = "Stalled"


class Reason(StrEnum):
    """Why something is so."""

    # What a user has to repair.
    ACCELERATOR_PROFILE_UNKNOWN = "AcceleratorProfileUnknown"
    BUNDLE_TOO_LARGE = "BundleTooLarge"
    ENGINE_ARGUMENT_INVALID = "EngineArgumentInvalid"
    ENGINE_PROFILE_UNKNOWN = "EngineProfileUnknown"
    NAME_CONFLICT = "NameConflict"
    PIPELINE_INVALID = "PipelineInvalid"
    PROMPT_INVALID = "PromptInvalid"
    PROMPT_MISSING = "PromptMissing"
    SOURCE_INVALID = "SourceInvalid"
    SOURCE_NOT_ALLOWED = "SourceNotAllowed"
    SPEC_INVALID = "SpecInvalid"

    # What has gone wrong on the way.
    ACTION_FAILED = "ActionFailed"
    ACTION_REJECTED = "ActionRejected"
    ACTION_SUPERSEDED = "ActionSuperseded"
    BUNDLE_REFUSED = "BundleRefused"
    FAILED_CREATE = "FailedCreate"
    PROGRESS_DEADLINE_EXCEEDED = "ProgressDeadlineExceeded"
    RESOLVER_FAILED = "ResolverFailed"
    SIDECAR_TOO_OLD = "SidecarTooOld"
    UNSCHEDULABLE = "Unschedulable"

    # What is waited for.
    CREATING_PODS = "CreatingPods"
    DELIVERING = "Delivering"
    DRAINING = "Draining"
    FETCHING = "Fetching"
    LOADING = "Loading"
    NAME_IN_USE = "NameInUse"
    NOT_READY = "NotReady"
    REACHING = "Reaching"
    REMOVING = "Removing"
    RESOLVING = "Resolving"
    SCHEDULED = "Scheduled"
    STARTING = "Starting"

    # What has been reached.
    COMPLETE = "Complete"
    DELIVERED = "Delivered"
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
    MODEL_CHANGED = "ModelChanged"
    NO_PODS = "NoPods"
    NO_TABLE = "NoTable"
    PROFILE_CHANGED = "ProfileChanged"
    PROMPT_CHANGED = "PromptChanged"
    RENDERING_CHANGED = "RenderingChanged"

    # What was done.
    CREATED = "Created"
    DELETED = "Deleted"
    UPDATED = "Updated"
