"""The evidence: the ConfigMap that keeps what gates have seen of a rollout, for as long as it lasts."""

from llm_operator.core import kinds, names
from llm_operator.core.observed import Obj
from llm_operator.core.render.meta import Owner, child
from llm_operator.core.telemetry.archive import Content


def evidence(owner: Owner, content: Content) -> Obj:
    """Return the evidence with the given content."""
    return {**child(kinds.CONFIG_MAP, owner, names.evidence(owner.name)), **content}
