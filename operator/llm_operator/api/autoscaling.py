"""Autoscaling: how the number of engine pods follows the load."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from llm_operator.api.base import ApiModel, rule
from llm_operator.api.durations import Duration

Day = Literal["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
_TIME = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"
AutoscalingMode = Literal["Disabled", "Shadow", "BuiltIn"]


class Schedule(ApiModel):
    """A time of day for which more pods are kept."""

    days: Annotated[tuple[Day, ...], Field(max_length=7, json_schema_extra={"x-kubernetes-list-type": "set"})] = ()
    """Days of the week it begins on; every day where none is named."""
    start: str = Field(max_length=5, pattern=_TIME)
    """When it begins, such as `07:45`. Pods take a while to start: let it begin that much earlier."""
    end: str = Field(max_length=5, pattern=_TIME)
    """When it ends; on the next day where that is not after `start`."""
    timezone: str = Field(default="UTC", min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_+/-]+$")
    """Time zone of both, as the IANA names it, such as `Europe/Berlin`. It is the clock on the wall that counts, in summer as in winter."""
    min_replicas: int = Field(ge=1, le=1000)
    """Fewest pods meanwhile. The highest of all that apply counts."""


class Autoscaling(ApiModel):
    """How the number of engine pods follows the load."""

    rules: ClassVar = (
        rule(
            "!has(self.minReplicas) || !has(self.maxReplicas) || self.minReplicas <= self.maxReplicas",
            "minReplicas must not be more than maxReplicas",
        ),
        rule(
            "!has(self.schedules) || !has(self.maxReplicas) || self.schedules.all(each, each.minReplicas <= self.maxReplicas)",
            "minReplicas of a schedule must not be more than maxReplicas",
        ),
    )

    mode: AutoscalingMode = "Disabled"
    """`BuiltIn` sets the number of pods by the load that they tell every five seconds, and `replicas` has no effect. `Shadow` only says in
    `status.autoscaling` what it would do. `Disabled` leaves the number to `replicas`."""
    min_replicas: int = Field(default=1, ge=0, le=1000)
    """Fewest pods. With 0 there is none while nobody asks: requests wait in `NAME-entry`, NAME being the name of this object, and the first
    one brings a pod."""
    max_replicas: int = Field(default=1, ge=1, le=1000)
    """Most pods, apart from the one more of a change with `rollout.capacity.mode: Surge`."""
    headroom: Literal["Low", "Normal", "High"] = "Normal"
    """How many more pods there are than the load of now needs: for ten pods' load none, one or four."""
    scale_down_delay: Annotated[str, Duration("1m", "1h")] = "5m"
    """How long fewer pods must have been enough before one goes."""
    scale_to_zero_after: Annotated[str, Duration("30s", "24h")] = "15m"
    """How long nobody must have asked before the last pod goes; no effect unless `minReplicas` is 0."""
    schedules: Annotated[tuple[Schedule, ...], Field(max_length=16, json_schema_extra={"x-kubernetes-list-type": "atomic"})] = ()
    """Times for which more pods are kept than `minReplicas`, whatever the load: for load that is known to come."""
