"""Containers of the fetcher image: the init container that fetches weights, the Job that resolves what a source stands for."""

from typing import Any

from llm_operator.api.config import OperatorConfig
from llm_operator.api.llmdeployment import Credentials
from llm_operator.api.sources import Source
from llm_operator.core import kinds, names
from llm_operator.core.observed import Obj
from llm_operator.core.render.container import SECURITY, USER_ENV, env, pod_security
from llm_operator.core.render.meta import Owner, child
from llm_operator.core.render.quantity import resources

CREDENTIAL_KEYS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_ALLOW_HTTP",
    "AWS_ENDPOINT_URL",
    "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
)
"""Keys a credentials Secret may have. Each is asked for by name: a Secret must not be able to set any other variable."""

RESOLVER = "resolve"
"""The container whose last words say what a source stands for."""
RESOLVE_DEADLINE_S = 600
_USER = 10001


def fetch_container(config: OperatorConfig, source: Source, credentials: Credentials | None, digest: str) -> dict[str, Any]:
    """Return the init container that puts the weights in place, or checks those of a volume, against their digest."""
    target = ["--path", names.MODEL_DIR] if source.scheme == "pvc" else ["--target", names.MODEL_DIR]
    args = ["fetch", "--source", str(source), "--digest", digest, *target]
    return _container(config, "fetch", args, credentials, [model_mount(source, read_only=source.scheme == "pvc")])


def resolver_job(owner: Owner, config: OperatorConfig, source: Source, credentials: Credentials | None, name: str) -> Obj:
    """Return the Job that says what a source stands for; it lists and never downloads."""
    args = ["resolve", "--source", str(source)]
    mounts, volumes = [], []
    if source.scheme == "pvc":
        args += ["--path", names.MODEL_DIR]
        mounts, volumes = [model_mount(source)], [model_volume(source)]
    pod: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "restartPolicy": "Never",
        "securityContext": pod_security(_USER, _USER),
        "containers": [_container(config, RESOLVER, args, credentials, mounts)],
    }
    if volumes:
        pod["volumes"] = volumes
    if config.image_pull_secrets:
        pod["imagePullSecrets"] = [{"name": secret} for secret in config.image_pull_secrets]
    template = {"metadata": {"labels": names.managed_labels(owner.name)}, "spec": pod}
    spec = {"backoffLimit": 0, "activeDeadlineSeconds": RESOLVE_DEADLINE_S, "template": template}
    return {**child(kinds.JOB, owner, name), "spec": spec}


def model_volume(source: Source) -> dict[str, Any]:
    """Return the volume the weights are in."""
    if source.scheme == "pvc":
        return {"name": "model", "persistentVolumeClaim": {"claimName": source.container, "readOnly": True}}
    return {"name": "model", "emptyDir": {}}


def model_mount(source: Source, *, read_only: bool = True) -> dict[str, Any]:
    """Return the mount of the weights; of a volume only the path that was asked for."""
    mount: dict[str, Any] = {"name": "model", "mountPath": names.MODEL_DIR}
    if read_only:
        mount["readOnly"] = True
    if source.scheme == "pvc" and source.path:
        mount["subPath"] = source.path
    return mount


def _container(
    config: OperatorConfig, name: str, args: list[str], credentials: Credentials | None, mounts: list[dict[str, Any]]
) -> dict[str, Any]:
    container: dict[str, Any] = {
        "name": name,
        "image": config.images.fetcher,
        "imagePullPolicy": config.image_pull_policy,
        "args": args,
        "securityContext": SECURITY,
        "env": [*env({**USER_ENV, "HOME": names.MODEL_DIR}), *_keys(credentials)],
        "resources": resources(config.fetcher_resources.requests, config.fetcher_resources.limits),
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    return {**container, "volumeMounts": mounts} if mounts else container


def _keys(credentials: Credentials | None) -> list[dict[str, Any]]:
    if credentials is None:
        return []
    return [
        {"name": key, "valueFrom": {"secretKeyRef": {"name": credentials.secret_name, "key": key, "optional": True}}}
        for key in CREDENTIAL_KEYS
    ]
