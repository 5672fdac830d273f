"""What an engine can have done between two readings, by what it has counted itself, and what a pod can have, by what its peers have."""

from collections.abc import Collection

from llm_operator.core.scaling.sample import Counters, Most

STALLS = 3.0
"""How many times as long as a step the mean gap between tokens may be: some sequences are stopped while others go on."""
PEERS = 2.0
"""How many times what its peers have counts of a pod at most, on top of what is its own."""


def can_read(grown: Counters, most: Most, begun: float) -> bool:
    """Return whether so few steps can have read so much; of the prompts that end in them so many tokens may have been read before."""
    # A prompt counts whole in the step that ends it, and a step may be counted after its tokens.
    return grown.prefill_tokens <= (grown.steps + 1) * most.tokens + begun


def can_write(grown: Counters, most: Most) -> bool:
    """Return whether so few steps can have added so many tokens."""
    return grown.generated_tokens <= (grown.steps + 1) * most.sequences


def has_time(grown: Counters, seconds: float, stalls: float = STALLS) -> bool:
    """Return whether so many steps fit in the time: they do not where all that was done while figures stood still comes at once."""
    return grown.steps * grown.gap_seconds <= stalls * seconds * grown.gaps


def at_most(told: Collection[float], doubted: int, own: float) -> float:
    """Return how much of what pods have told counts of each. So many may have told anything, so the one after them is what peers have.

    Where that is too little for one that is right, it asks for no pod that would help: what a pod works on or has in line stays with it,
    so others could take nothing of what it has beyond its peers, however many they were.
    """
    return PEERS * sorted(told)[-1 - doubted] + own
