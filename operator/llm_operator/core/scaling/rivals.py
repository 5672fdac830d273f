"""Who else sets the number of replicas: an HPA or a ScaledObject for the object or a Deployment of it. There is one writer, or none."""

from collections.abc import Mapping
from typing import Any

from llm_operator.core.kinds import SCALERS
from llm_operator.core.reasons import Reason
from llm_operator.core.world import World


def may_have_rivals(deployment: Mapping[str, Any]) -> bool:
    """Return whether others have to be looked at: only one mode writes what they would."""
    return (deployment.get("spec", {}).get("autoscaling") or {}).get("mode") == "BuiltIn"


def told_of_rivals(world: World) -> str:
    """Return who else is to set the number of replicas, or nothing."""
    verb = "targets" if len(world.scalers) == 1 else "target"
    return f"{' and '.join(world.scalers)} {verb} this object too" if world.scalers else ""


def unknown_rivals(world: World) -> str:
    """Return which kinds of others nobody may look for, or nothing; one that the cluster does not have is no rival."""
    denied = [f"{each.plural}.{each.group}" for each in SCALERS if world.unreadable.get(each.kind) == Reason.FORBIDDEN]
    return f"; whether another scaler does is not known: the operator has no right to list {' and '.join(denied)}" if denied else ""
