"""Why there are as many pods as there are, in a word."""

from enum import StrEnum


class ScaleReason(StrEnum):
    """The reasons of decisions about the number of pods."""

    # There are more pods from now on.
    LOAD_GREW = "LoadGrew"
    WAKING = "Waking"
    BELOW_MINIMUM = "BelowMinimum"

    # There are fewer.
    LOAD_FELL = "LoadFell"
    SCALED_TO_ZERO = "ScaledToZero"
    ABOVE_MAXIMUM = "AboveMaximum"

    # There are as many as before, since they fit,
    FITS = "Fits"
    # … since they may not be more,
    AT_MAXIMUM = "AtMaximum"
    BUDGET_EXCEEDED = "BudgetExceeded"
    REPLICAS_UNSCHEDULABLE = "ReplicasUnschedulable"
    # … since fewer would be too soon,
    HOLDING = "Holding"
    ROLLOUT_STEP = "RolloutStep"
    UNCALIBRATED = "Uncalibrated"
    # … since somebody else decides it too,
    CONFLICT = "Conflict"
    # … or since the load is not known.
    METRICS_STALE = "MetricsStale"
    NO_READY_POD = "NoReadyPod"
    OBSERVING = "Observing"
