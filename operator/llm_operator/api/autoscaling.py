"""Autoscaling: how the number of engine pods follows the load."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from llm_operator.api.base import ApiModel, rule
from llm_operator.api.durations import Duration

AutoscalingMode = Literal["Disabled", "Shadow", "BuiltIn"]


class Autoscaling(ApiModel):
    """How the number of engine pods follows the load."""

    rules: ClassVar = (
        rule(
            "!has(self.minReplicas) || !has(self.maxReplicas) || self.minReplicas <= self.maxReplicas",
            "minReplicas must not be more than maxReplicas",
        ),
    )

    mode: AutoscalingMode = "Disabled"
    """`BuiltIn` sets the number of pods by the load that they tell every five seconds, and `replicas` has no effect. `Shadow` only says in
    `status.autoscaling` what it would do. `Disabled` leaves the number to `replicas`."""
    min_replicas: int = Field(default=1, ge=1, le=1000)
    """Fewest pods."""
    max_replicas: int = Field(default=1, ge=1, le=1000)
    """Most pods, apart from the one more of a change with `rollout.capacity.mode: Surge`."""
    headroom: Literal["Low", "Normal", "High"] = "Normal"
    """How many more pods there are than the load of now needs: for ten pods' load none, one or four."""
    scale_down_delay: Annotated[str, Duration("1m", "1h")] = "5m"
    """How long fewer pods must have been enough before one goes."""
