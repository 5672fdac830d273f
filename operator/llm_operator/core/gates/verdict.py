"""What a gate answers: a verdict, why in a word and in a sentence, and the figures it rests on."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

STALE_AFTER = timedelta(minutes=3)
"""Evidence that is older passes nothing."""
EFFECTIVE_MIN = 30.0
"""Buckets of units that must carry a comparison: the units of fewer may happen to be all alike."""


class Verdict(StrEnum):
    """The three answers. Only proof passes, only proof harms; everything else is undecided."""

    PASS = "Pass"  # noqa: S105 - an answer, no password
    HARM = "Harm"
    UNDECIDED = "Undecided"


class GateReason(StrEnum):
    """Why a gate answers as it does."""

    # Pass
    ERRORS_FEW = "ErrorsFew"
    ERRORS_NOT_MORE = "ErrorsNotMore"
    FITS_WEIGHTS = "FitsWeights"
    NOT_WORSE = "NotWorse"
    WITHIN_BOUNDS = "WithinBounds"
    WEBHOOK_PASSED = "WebhookPassed"

    # Harm
    ERRORS_MORE = "ErrorsMore"
    OUT_OF_BOUNDS = "OutOfBounds"
    SAMPLE_RATIO_MISMATCH = "SampleRatioMismatch"
    WEBHOOK_REFUSED = "WebhookRefused"
    WORSE = "Worse"

    # Undecided
    EVIDENCE_INVALID = "EvidenceInvalid"
    EVIDENCE_MISSING = "EvidenceMissing"
    EVIDENCE_STALE = "EvidenceStale"
    EVIDENCE_TOO_LARGE = "EvidenceTooLarge"
    LOAD_SHARE_HIGH = "LoadShareHigh"
    MORE_REQUESTS_NEEDED = "MoreRequestsNeeded"
    NO_BASELINE = "NoBaseline"
    TOO_FEW_SUBJECTS = "TooFewSubjects"
    WEBHOOK_UNDECIDED = "WebhookUndecided"


class OnHarm(StrEnum):
    """What proven harm does to a rollout."""

    ABORT = "Abort"
    PAUSE = "Pause"


@dataclass(frozen=True)
class Counts:
    """How much of each arm a verdict rests on."""

    canary: int = 0
    stable: int = 0


@dataclass(frozen=True)
class Result:
    """The answer of one gate.

    ``estimate`` is a ratio of canary to stable where the gate compares, else the value itself; ``interval`` is what the truth lies in, at
    all looks together, with None for an end that is open. ``needs`` says how many more requests of the canary would do if all goes on as
    it did; None where that cannot be said or none are needed.
    """

    gate: str
    verdict: Verdict
    reason: GateReason
    message: str
    estimate: float | None = None
    interval: tuple[float | None, float | None] | None = None
    counts: Counts = Counts()
    needs: int | None = None
    on_harm: OnHarm = OnHarm.ABORT


def too_few(buckets: float) -> str:
    """Return that a comparison rests on too few units, as the end of a sentence."""
    return f"; units fill {buckets:.0f} buckets evenly, {EFFECTIVE_MIN:.0f} are asked for"


def needed(needs: int | None) -> str:
    """Return how many more requests a gate needs, as the end of a sentence."""
    return "; no number of further requests like these will pass" if needs is None else f"; needs about {needs} more requests of the canary"
