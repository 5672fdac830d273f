"""Services: one for clients over all pods that serve, and for sidecars that forward one per engine where there is more than one."""

from llm_operator.core import kinds, names
from llm_operator.core.observed import Obj
from llm_operator.core.render.meta import Owner, child


def public(owner: Owner) -> Obj:
    """Return the Service clients use; it never changes, whatever engine serves."""
    return _service(owner, owner.name, owner.serving_labels)


def engine(owner: Owner, engine_id: str) -> Obj:
    """Return the Service of one engine."""
    return _service(owner, names.child(owner.name, engine_id), owner.engine_labels(engine_id), {names.LABEL_ENGINE: engine_id})


def _service(owner: Owner, name: str, selector: dict[str, str], labels: dict[str, str] | None = None) -> Obj:
    port = {"name": "http", "protocol": "TCP", "port": names.PUBLIC_PORT, "targetPort": names.PUBLIC_PORT}
    return {**child(kinds.SERVICE, owner, name, labels), "spec": {"type": "ClusterIP", "selector": selector, "ports": [port]}}
