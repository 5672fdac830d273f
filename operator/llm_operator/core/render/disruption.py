"""PodDisruptionBudget: node drains take one serving pod at a time."""

from llm_operator.core import kinds
from llm_operator.core.observed import Obj
from llm_operator.core.render.meta import Owner, child


def budget(owner: Owner) -> Obj:
    """Return the budget. Pods that do not serve yet never block a drain: loading takes minutes, and they would lose nothing."""
    spec = {"maxUnavailable": 1, "unhealthyPodEvictionPolicy": "AlwaysAllow", "selector": {"matchLabels": owner.serving_labels}}
    return {**child(kinds.POD_DISRUPTION_BUDGET, owner, owner.name), "spec": spec}
