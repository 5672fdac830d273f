"""HTTPRoute: requests from Gateways to the Service of the deployment, all by one rule; which revision serves is decided behind it."""

from typing import Any

from llm_operator.api.routing import Gateway, ParentRef
from llm_operator.core import kinds, names
from llm_operator.core.observed import Obj
from llm_operator.core.render.meta import Owner, child


def route(owner: Owner, gateway: Gateway) -> Obj:
    """Return the route.

    Its lists are atomic, so it has everything that the server would add by default. It has no timeout of its own: those of gateways, often
    15 s, count until the end of an answer and would cut streams. The sidecars' limits bound every request.
    """
    rule = {
        "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
        "backendRefs": [{"group": "", "kind": "Service", "name": owner.name, "port": names.PUBLIC_PORT, "weight": 1}],
        "timeouts": {"request": "0s"},
    }
    spec: dict[str, Any] = {"parentRefs": [_parent(each) for each in gateway.parent_refs], "rules": [rule]}
    if gateway.hostnames:
        spec["hostnames"] = list(gateway.hostnames)
    return {**child(kinds.HTTP_ROUTE, owner, owner.name), "spec": spec}


def _parent(parent: ParentRef) -> dict[str, str]:
    named = {"namespace": parent.namespace, "sectionName": parent.section_name}
    return {
        "group": kinds.HTTP_ROUTE.group,
        "kind": "Gateway",
        "name": parent.name,
        **{field: value for field, value in named.items() if value is not None},
    }
