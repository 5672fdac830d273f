"""Objects as the operator writes them; each test changes the one thing it is about."""

from typing import Any

from tests.integration.chart.kit import REGISTRY

Object = dict[str, Any]

LABELS = {"app.kubernetes.io/managed-by": "llm-operator", "llmops.dev/deployment": "chat"}
SECURITY: Object = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
ENGINE = "vllm/vllm-openai:v0.32.0"
SIDECAR = f"{REGISTRY}/llm-sidecar:0.1.0"
FETCHER = f"{REGISTRY}/llm-fetcher:0.1.0"
LLM: Object = {
    "apiVersion": "llmops.dev/v1alpha1",
    "kind": "LLMDeployment",
    "metadata": {"name": "chat"},
    "spec": {"model": {"source": "s3://models/tiny"}, "accelerator": {"profile": "nvidia"}},
}


def owner(uid: str = "11111111-1111-1111-1111-111111111111") -> Object:
    """Return the owner reference of one of the operator's objects."""
    return {"apiVersion": LLM["apiVersion"], "kind": LLM["kind"], "name": "chat", "uid": uid, "controller": True}


def meta(name: str, **change: Any) -> Object:
    """Return the metadata of one of the operator's objects."""
    return {"name": name, "labels": LABELS, "ownerReferences": [owner()], **change}


def container(name: str, image: str, **change: Any) -> Object:
    """Return a container."""
    return {"name": name, "image": image, "securityContext": SECURITY, **change}


def pod_spec(**change: Any) -> Object:
    """Return the spec of an engine's pod."""
    return {
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
        "initContainers": [container("fetch", FETCHER), container("sidecar", SIDECAR, restartPolicy="Always")],
        "containers": [container("engine", ENGINE)],
        "volumes": [
            {"name": "cache", "emptyDir": {}},
            {"name": "model", "persistentVolumeClaim": {"claimName": "weights", "readOnly": True}},
            {"name": "snapshot", "configMap": {"name": "chat-snapshot"}},
            {"name": "secrets", "secret": {"secretName": "chat-sidecar", "optional": True}},
        ],
        **change,
    }


def deployment(name: str = "chat-abc", *, pod: Object | None = None, **metadata: Any) -> Object:
    """Return the Deployment of an engine."""
    labels = {**LABELS, "llmops.dev/engine": "abc"}
    template = {"metadata": {"labels": labels}, "spec": pod_spec(**(pod or {}))}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta(name, **metadata), "spec": spec}


def job(name: str = "chat-resolve-abc", *, pod: Object | None = None, **metadata: Any) -> Object:
    """Return the Job that resolves a reference."""
    resolver = {"restartPolicy": "Never", "initContainers": [], "containers": [container("resolve", FETCHER)], "volumes": []}
    template = {"metadata": {"labels": LABELS}, "spec": {**pod_spec(**resolver), **(pod or {})}}
    spec = {"backoffLimit": 0, "suspend": True, "template": template}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta(name, **metadata), "spec": spec}


def service(name: str = "chat", *, spec: Object | None = None, **metadata: Any) -> Object:
    """Return a Service."""
    ports = [{"name": "http", "port": 8080}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": meta(name, **metadata),
        "spec": {"selector": LABELS, "ports": ports, **(spec or {})},
    }


def config_map(name: str = "chat-snapshot", **metadata: Any) -> Object:
    """Return a ConfigMap."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta(name, **metadata), "data": {"table.json": "{}"}}


def lease(name: str) -> Object:
    """Return a Lease."""
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}, "spec": {"holderIdentity": "me"}}


def pod(name: str, **metadata: Any) -> Object:
    """Return a pod as the Deployment of an engine makes it."""
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta(name, **metadata), "spec": pod_spec()}
