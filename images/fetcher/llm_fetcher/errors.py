"""Why a model cannot be resolved or fetched: a machine reason and a sentence a user can act on."""

from enum import StrEnum


class Reason(StrEnum):
    """Every reason the fetcher ends with; the operator shows it in a condition."""

    SOURCE_INVALID = "SourceInvalid"
    SOURCE_NOT_FOUND = "SourceNotFound"
    SOURCE_EMPTY = "SourceEmpty"
    SOURCE_DENIED = "SourceDenied"
    SOURCE_MISCONFIGURED = "SourceMisconfigured"
    SOURCE_UNREACHABLE = "SourceUnreachable"
    SOURCE_CHANGED = "SourceChanged"
    SOURCE_CORRUPT = "SourceCorrupt"
    NOT_A_MODEL = "NotAModel"
    UNSAFE_WEIGHTS = "UnsafeWeights"
    UNSAFE_PATH = "UnsafePath"
    TARGET_IN_USE = "TargetInUse"
    TARGET_NOT_WRITABLE = "TargetNotWritable"
    DISK_FULL = "DiskFull"
    INTERNAL = "FetcherFailed"


class FetchError(Exception):
    """An end without a model. ``transient`` says that trying again later may help without anyone changing anything."""

    def __init__(self, reason: Reason, message: str, *, transient: bool = False) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message
        self.transient = transient
