"""The entry: a sidecar without an engine, so that there is somebody to hold a request while no engine can take it."""

from collections.abc import Mapping
from typing import Any

from llm_operator.api.config import OperatorConfig
from llm_operator.api.durations import parse_s
from llm_operator.api.llmdeployment import LLMDeploymentSpec
from llm_operator.core import kinds, names
from llm_operator.core.canonical import canonical, identity
from llm_operator.core.observed import Obj
from llm_operator.core.render.container import pod_security
from llm_operator.core.render.meta import Owner, child
from llm_operator.core.render.pod import GRACE_MARGIN_S, sidecar_container, sidecar_volumes

REPLICAS = 1
_USER = 10001


def entry_template(owner: Owner, spec: LLMDeploymentSpec, config: OperatorConfig) -> dict[str, Any]:
    """Return the pod template of an entry. It needs no accelerator, so it asks for no particular node."""
    drain_s = (parse_s(spec.drain.minimum), parse_s(spec.drain.max_stream))
    variables = {
        "LLM_DEPLOYMENT": owner.name,
        "LLM_SERVED_NAME": spec.model.served_name or owner.name,
        "LLM_ENGINE": "",
        "LLM_NAMESPACE": owner.namespace,
        "LLM_POD_TOKEN": names.pod_token(owner.uid),
    }
    pod: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": sum(drain_s) + GRACE_MARGIN_S,
        "securityContext": pod_security(_USER, _USER),
        "containers": [sidecar_container(variables, drain_s, config, beside_engine=False)],
        "volumes": sidecar_volumes(owner.name),
    }
    if config.image_pull_secrets:
        pod["imagePullSecrets"] = [{"name": secret} for secret in config.image_pull_secrets]
    return {"metadata": {"labels": {**_labels(owner), names.LABEL_SERVING: "true"}}, "spec": pod}


def entry(owner: Owner, template: dict[str, Any], inputs: Mapping[str, Any]) -> Obj:
    """Return the Deployment of the entry; ``inputs`` is what of the spec its template was rendered from."""
    spec = {
        "replicas": REPLICAS,
        "revisionHistoryLimit": 1,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "selector": {"matchLabels": {names.LABEL_DEPLOYMENT: owner.name, names.LABEL_ROLE: names.ROLE_ENTRY}},
        "template": template,
    }
    manifest = child(kinds.DEPLOYMENT, owner, names.entry(owner.name), {names.LABEL_ROLE: names.ROLE_ENTRY})
    manifest["metadata"]["annotations"] = {
        names.ANNOTATION_INPUTS: canonical(inputs).decode(),
        names.ANNOTATION_TEMPLATE: identity(template),
    }
    return {**manifest, "spec": spec}


def _labels(owner: Owner) -> dict[str, str]:
    return {**names.managed_labels(owner.name), names.LABEL_ROLE: names.ROLE_ENTRY}
