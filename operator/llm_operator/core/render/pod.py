"""The pod of an engine: fetch, sidecar, engine, under PSS ``restricted``, with nothing a tenant could have written in it."""

import copy
from collections.abc import Sequence
from typing import Any

from llm_operator.api.config import AcceleratorProfile, EngineProfile, OperatorConfig
from llm_operator.api.durations import parse_s
from llm_operator.api.llmdeployment import LLMDeploymentSpec
from llm_operator.api.sources import Source
from llm_operator.core import names
from llm_operator.core.render.container import SECURITY, USER_ENV, env, pod_security
from llm_operator.core.render.fetcher import fetch_container, model_mount, model_volume
from llm_operator.core.render.meta import Owner
from llm_operator.core.render.quantity import canonical_quantity, resources

GRACE_MARGIN_S = 15
"""What the grace period has beyond the drain: the engine's own shutdown, and slack for the kubelet."""

ENGINE_ENV = {
    **USER_ENV,
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "HOME": "/cache/home",
    "TORCHINDUCTOR_CACHE_DIR": "/cache/inductor",
    "TRANSFORMERS_OFFLINE": "1",
    "TRITON_CACHE_DIR": "/cache/triton",
    "VLLM_CACHE_ROOT": "/cache/vllm",
    "VLLM_MAX_N_SEQUENCES": "64",
    "VLLM_MEDIA_URL_ALLOW_REDIRECTS": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "XDG_CACHE_HOME": "/cache",
}

_SNAPSHOT, _SECRETS = "snapshot", "secrets"


def pod_template(
    deployment: str,
    spec: LLMDeploymentSpec,
    engine: EngineProfile,
    accelerator: AcceleratorProfile,
    source: Source,
    digest: str,
    argv: Sequence[str],
    config: OperatorConfig,
) -> dict[str, Any]:
    """Return the pod template before anything that tells one engine or one owner from another is stamped in."""
    drain_s = (parse_s(spec.drain.minimum), parse_s(spec.drain.max_stream))
    pull = config.image_pull_policy
    pod: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": sum(drain_s) + GRACE_MARGIN_S,
        "securityContext": pod_security(engine.run_as_user, engine.run_as_group),
        "initContainers": [
            fetch_container(config, source, spec.model.credentials, digest),
            _sidecar(deployment, spec, engine, drain_s, config),
        ],
        "containers": [_engine(spec, engine, accelerator, source, argv, engine.image_pull_policy or pull)],
        "volumes": [model_volume(source), *_volumes(deployment, spec)],
    }
    if secrets := list(dict.fromkeys((*config.image_pull_secrets, *engine.image_pull_secrets))):
        pod["imagePullSecrets"] = [{"name": secret} for secret in secrets]
    if accelerator.node_selector:
        pod["nodeSelector"] = dict(accelerator.node_selector)
    if accelerator.tolerations:
        pod["tolerations"] = [toleration.model_dump(by_alias=True, exclude_none=True) for toleration in accelerator.tolerations]
    if accelerator.runtime_class_name:
        pod["runtimeClassName"] = accelerator.runtime_class_name
    return {"metadata": {"labels": {}}, "spec": pod}


_IDENTITY_LABELS = (*names.managed_labels(""), names.LABEL_ENGINE, names.LABEL_SERVING)
_IDENTITY = ("LLM_ENGINE", "LLM_NAMESPACE", "LLM_POD_TOKEN")


def stamp(template: dict[str, Any], owner: Owner, engine_id: str) -> dict[str, Any]:
    """Return a template with identity labels, identity environment and the pod token in place; what it leaves alone it shares."""
    labels = (*names.managed_labels(owner.name).values(), engine_id, "true")
    token = names.pod_token(owner.uid)
    told = env(dict(zip(_IDENTITY, (engine_id, owner.namespace, token), strict=True)))
    metadata, pod = template["metadata"], template["spec"]
    return {
        **template,
        "metadata": {**metadata, "labels": metadata["labels"] | dict(zip(_IDENTITY_LABELS, labels, strict=True))},
        "spec": {
            **pod,
            "initContainers": [_told(each, told) if each["name"] == "sidecar" else each for each in pod["initContainers"]],
            "containers": [_with_token(each, token) for each in pod["containers"]],
        },
    }


def _told(sidecar: dict[str, Any], variables: list[dict[str, Any]]) -> dict[str, Any]:
    return {**sidecar, "env": [*sidecar["env"], *variables]}


def _with_token(engine: dict[str, Any], token: str) -> dict[str, Any]:
    """Return an engine whose hook proves itself to the sidecar."""
    get = {**engine["lifecycle"]["preStop"]["httpGet"], "httpHeaders": [{"name": names.TOKEN_HEADER, "value": token}]}
    return {**engine, "lifecycle": {**engine["lifecycle"], "preStop": {"httpGet": get}}}


def unstamp(stamped: dict[str, Any]) -> dict[str, Any]:
    """Return the template that was stamped."""
    template = copy.deepcopy(stamped)
    labels = template["metadata"]["labels"]
    template["metadata"]["labels"] = {label: labels[label] for label in labels if label not in _IDENTITY_LABELS}
    sidecar = _sidecar_of(template)
    sidecar["env"] = [each for each in sidecar["env"] if each["name"] not in _IDENTITY]
    for container in template["spec"]["containers"]:
        del container["lifecycle"]["preStop"]["httpGet"]["httpHeaders"]
    return template


def _sidecar_of(template: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in template["spec"]["initContainers"] if each["name"] == "sidecar")
    return found


def _sidecar(
    deployment: str, spec: LLMDeploymentSpec, engine: EngineProfile, drain_s: tuple[int, int], config: OperatorConfig
) -> dict[str, Any]:
    variables = {
        "LLM_DEPLOYMENT": deployment,
        "LLM_SERVED_NAME": spec.model.served_name or deployment,
        "LLM_ENGINE_KIND": engine.kind,
        "LLM_ENGINE_URL": f"http://127.0.0.1:{names.ENGINE_PORT}",
    }
    if spec.engine.max_model_len is not None:
        variables["LLM_MAX_MODEL_LEN"] = str(spec.engine.max_model_len)
    return sidecar_container(variables, drain_s, config, beside_engine=True)


def sidecar_container(
    variables: dict[str, str], drain_s: tuple[int, int], config: OperatorConfig, *, beside_engine: bool
) -> dict[str, Any]:
    """Return the container of a sidecar, beside an engine or alone."""
    variables = {
        **variables,
        "LLM_SNAPSHOT_DIR": names.SNAPSHOT_DIR,
        "LLM_SECRETS_DIR": names.SECRETS_DIR,
        "LLM_DRAIN_MINIMUM_S": str(drain_s[0]),
        "LLM_DRAIN_MAX_STREAM_S": str(drain_s[1]),
    }
    pod_name = {"name": "LLM_POD_NAME", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}}
    return {
        "name": "sidecar",
        "image": config.images.sidecar,
        "imagePullPolicy": config.image_pull_policy,
        **({"restartPolicy": "Always"} if beside_engine else {}),
        "securityContext": SECURITY,
        "env": [*env(variables), pod_name],
        "ports": [
            {"name": "http", "containerPort": names.PUBLIC_PORT, "protocol": "TCP"},
            {"name": "admin", "containerPort": names.ADMIN_PORT, "protocol": "TCP"},
        ],
        "startupProbe": _probe("/startupz", period_s=1, failures=120),
        "readinessProbe": _probe("/readyz", period_s=1, failures=2),
        "livenessProbe": _probe("/livez", period_s=10, failures=6),
        "resources": resources(config.sidecar_resources.requests, config.sidecar_resources.limits),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": _SNAPSHOT, "mountPath": names.SNAPSHOT_DIR, "readOnly": True},
            {"name": _SECRETS, "mountPath": names.SECRETS_DIR, "readOnly": True},
        ],
    }


def _engine(
    spec: LLMDeploymentSpec,
    engine: EngineProfile,
    accelerator: AcceleratorProfile,
    source: Source,
    argv: Sequence[str],
    pull_policy: str,
) -> dict[str, Any]:
    amounts = {"cpu": spec.engine.resources.cpu, "memory": spec.engine.resources.memory}
    if accelerator.resource:
        amounts[accelerator.resource] = str(spec.accelerator.count)
    container: dict[str, Any] = {
        "name": "engine",
        "image": engine.image,
        "imagePullPolicy": pull_policy,
        "args": list(argv),
        "securityContext": SECURITY,
        "env": env({**ENGINE_ENV, **engine.env}),
        "resources": resources(amounts, amounts),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        # A number, not a name: the kubelet looks a name up among the engine's own ports.
        "lifecycle": {"preStop": {"httpGet": {"path": "/drain", "port": names.ADMIN_PORT, "scheme": "HTTP"}}},
        "volumeMounts": [
            model_mount(source),
            {"name": "dshm", "mountPath": "/dev/shm"},  # noqa: S108  # a mount point, not a file of ours
            {"name": "cache", "mountPath": "/cache"},
            {"name": "scratch", "mountPath": "/tmp"},  # noqa: S108
        ],
    }
    return {**container, "command": list(engine.command)} if engine.command else container


def _probe(path: str, period_s: int, failures: int) -> dict[str, Any]:
    """Return a probe of the sidecar's admin port."""
    get = {"path": path, "port": names.ADMIN_PORT, "scheme": "HTTP"}
    return {"httpGet": get, "periodSeconds": period_s, "timeoutSeconds": 2, "failureThreshold": failures}


def _volumes(deployment: str, spec: LLMDeploymentSpec) -> list[dict[str, Any]]:
    return [
        *sidecar_volumes(deployment),
        {"name": "dshm", "emptyDir": {"medium": "Memory", "sizeLimit": canonical_quantity(spec.engine.resources.shm)}},
        {"name": "cache", "emptyDir": {"sizeLimit": "10Gi"}},
        {"name": "scratch", "emptyDir": {"sizeLimit": "1Gi"}},
    ]


def sidecar_volumes(deployment: str) -> list[dict[str, Any]]:
    """Return the volumes a sidecar mounts."""
    return [
        {"name": _SNAPSHOT, "configMap": {"name": names.snapshot(deployment), "optional": False}},
        {"name": _SECRETS, "secret": {"secretName": names.secret(deployment), "optional": True}},
    ]
