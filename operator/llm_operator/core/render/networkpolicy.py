"""NetworkPolicy: clients reach the public port, operator and monitoring the admin port, nobody the engine."""

from collections.abc import Sequence
from typing import Any

from llm_operator.core import kinds, names
from llm_operator.core.observed import Obj
from llm_operator.core.render.meta import Owner, child

_NAMESPACE_LABEL = "kubernetes.io/metadata.name"


def policy(owner: Owner, operator_namespace: str, monitoring_namespaces: Sequence[str]) -> Obj:
    """Return the policy for ingress into serving pods; egress is not restricted."""
    namespaces = sorted({*monitoring_namespaces, operator_namespace} - {"", owner.namespace})
    admins: list[dict[str, Any]] = [{"podSelector": {}}]
    admins += [{"namespaceSelector": {"matchLabels": {_NAMESPACE_LABEL: namespace}}} for namespace in namespaces]
    spec = {
        "podSelector": {"matchLabels": owner.serving_labels},
        "policyTypes": ["Ingress"],
        "ingress": [
            {"ports": [{"protocol": "TCP", "port": names.PUBLIC_PORT}]},
            {"ports": [{"protocol": "TCP", "port": names.ADMIN_PORT}], "from": admins},
        ],
    }
    return {**child(kinds.NETWORK_POLICY, owner, owner.name), "spec": spec}
