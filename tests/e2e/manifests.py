"""LLMDeployments the tests apply; each test changes only what it is about."""

import json
from typing import Any

from tests.unit.sidecar.support.keys import entry

Object = dict[str, Any]

SYSTEM = "You are a helpful assistant. Answer in one sentence."

SMALL: Object = {
    "engine": {"profile": "stub-slow", "resources": {"cpu": "30m", "memory": "96Mi"}},
    "accelerator": {"profile": "none"},
}
"""Spec fields of which twenty fit on two cores, all of them serving."""


def merged(base: Object, change: Object) -> Object:
    """Return base with change laid over it; None removes a field."""
    out = dict(base)
    for key, value in change.items():
        if value is None:
            out.pop(key, None)
        elif isinstance(value, dict) and isinstance(out.get(key), dict):
            out[key] = merged(out[key], value)
        else:
            out[key] = value
    return out


def deployment(name: str = "chat", *, profile: str = "stub", **change: Any) -> Object:
    """Return a small LLMDeployment on the stub engine (or the real one), with spec fields laid over it."""
    spec: Object = {
        "model": {"source": "s3://models/tiny", "credentials": {"secretName": "models"}},
        "engine": {"profile": profile, "maxModelLen": 2048, "resources": {"cpu": "50m", "memory": "256Mi", "shm": "64Mi"}},
        "accelerator": {"profile": "nvidia", "count": 1},
        "replicas": 1,
        "prompt": {"inline": {"system": SYSTEM}},
        "limits": {"totalTimeout": "2m"},
        "drain": {"minimum": "3s", "maxStream": "2m"},
    }
    if profile == "vllm":
        spec["engine"]["resources"] = {"cpu": "400m", "memory": "3Gi", "shm": "256Mi"}
    return {"apiVersion": "llmops.dev/v1alpha1", "kind": "LLMDeployment", "metadata": {"name": name}, "spec": merged(spec, change)}


def prompt(name: str, **spec: Any) -> Object:
    """Return an LLMPrompt."""
    return {"apiVersion": "llmops.dev/v1alpha1", "kind": "LLMPrompt", "metadata": {"name": name}, "spec": spec}


def api_keys(deployment_name: str, **keys: str) -> Object:
    """Return the Secret that lets keys in, by their ids."""
    text = json.dumps({"keys": [entry(id_, key) for id_, key in keys.items()]})
    metadata = {"name": f"{deployment_name}-sidecar"}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"api-keys.json": text}}
