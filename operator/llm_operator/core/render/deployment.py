"""The Deployment of one engine: its template never changes, its replicas do."""

from collections.abc import Mapping
from typing import Any

from llm_operator.core import kinds, names
from llm_operator.core.canonical import canonical
from llm_operator.core.observed import Obj
from llm_operator.core.render.meta import Owner, child
from llm_operator.core.render.pod import stamp


def deployment(
    owner: Owner, engine_id: str, inputs: Mapping[str, Any], template: dict[str, Any], *, replicas: int, startup_timeout_s: int
) -> Obj:
    """Return the Deployment of an engine."""
    spec = {
        "replicas": replicas,
        "revisionHistoryLimit": 1,
        "progressDeadlineSeconds": startup_timeout_s,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "selector": {"matchLabels": owner.engine_labels(engine_id)},
        "template": stamp(template, owner, engine_id),
    }
    manifest = child(kinds.DEPLOYMENT, owner, names.child(owner.name, engine_id), {names.LABEL_ENGINE: engine_id})
    manifest["metadata"]["annotations"] = {names.ANNOTATION_INPUTS: canonical(inputs).decode()}
    return {**manifest, "spec": spec}
