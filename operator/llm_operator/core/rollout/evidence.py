"""What the gates of a step say together, as far as a rollout has to know it."""

from dataclasses import dataclass
from enum import StrEnum


class Answer(StrEnum):
    """What evidence allows: only ``PASS`` lets a rollout go on, and only as long as it is the answer.

    ``HARM`` is proven and takes all requests back. ``INCONCLUSIVE`` means that more of the same would not decide it, as when the requests
    are not those that were assigned: somebody has to look, so the rollout pauses at once. ``WAITING`` is everything else, evidence that
    is missing or old included: the rollout stays where it is until ``maxDuration`` of the step is over.
    """

    PASS = "Pass"  # noqa: S105 - an answer, no password
    HARM = "Harm"
    INCONCLUSIVE = "Inconclusive"
    WAITING = "Waiting"


@dataclass(frozen=True)
class Verdict:
    """The answer for the step that a rollout is at, why in a word and in a sentence, and the gates it comes from.

    ``before`` is what has to be known before the first request is given, empty when it is.
    """

    answer: Answer
    reason: str
    message: str
    gates: tuple[str, ...] = ()
    before: str = ""


NO_GATES = Verdict(Answer.PASS, "NoGates", "no gate is asked for")
"""The verdict of a step without gates: it is over when its time is."""
