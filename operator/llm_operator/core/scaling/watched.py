"""What is known of a deployment's load while its pods are asked for it. It is in memory alone, and begins anew with the operator."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from llm_operator.core.scaling.capacity import Learned
from llm_operator.core.scaling.decide import Memory
from llm_operator.core.scaling.load import Track


@dataclass(frozen=True)
class Watched:
    """Readings by pod uid, what was learned by engine, and what the last decision left."""

    tracks: Mapping[str, Track] = field(default_factory=dict)
    learned: Mapping[str, Learned] = field(default_factory=dict)
    memory: Memory = field(default_factory=Memory)
