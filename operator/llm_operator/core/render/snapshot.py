"""The snapshot: the ConfigMap with the table and every live bundle, mounted in every sidecar."""

from llm_operator.core import kinds, names
from llm_operator.core.observed import Obj
from llm_operator.core.render.meta import Owner, child


def snapshot(owner: Owner, data: dict[str, str]) -> Obj:
    """Return the snapshot with the given keys."""
    return {**child(kinds.CONFIG_MAP, owner, names.snapshot(owner.name)), "data": data}
