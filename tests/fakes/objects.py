"""Builders of the objects a user and a cluster would make, with defaults for what a test does not care about."""

import json
from typing import Any

from llm_operator.api.config import OperatorConfig
from llm_operator.core import kinds
from llm_operator.shell.ports import Manifest

DIGEST = "sha256:" + "0123456789abcdef" * 4


def operator_config(**changes: Any) -> OperatorConfig:
    """Return a configuration with one engine and two accelerators, of an operator that is alone."""
    values: dict[str, Any] = {
        "images": {"sidecar": "lab.local/llm-sidecar:dev", "fetcher": "lab.local/llm-fetcher:dev"},
        "engineProfiles": {"vllm": {"image": "lab.local/vllm-cpu:0.32.0", "version": "0.32.0"}},
        "acceleratorProfiles": {"cpu": {}, "nvidia": {"resource": "nvidia.com/gpu"}},
        "operatorNamespace": "llm-operator",
        "namespaces": ["ns"],
        "leaderElection": {"enabled": False},
    }
    return OperatorConfig.model_validate(values | changes)


def llm_deployment(name: str = "chat", namespace: str = "ns", **spec: Any) -> Manifest:
    """Return an LLMDeployment that serves a model without a prompt on CPU."""
    wanted: dict[str, Any] = {"model": {"source": "s3://models/tiny"}, "engine": {}, "accelerator": {"profile": "cpu"}, "replicas": 1}
    return _custom(kinds.LLM_DEPLOYMENT, name, namespace, wanted | spec)


def llm_prompt(name: str = "support", namespace: str = "ns", **spec: Any) -> Manifest:
    """Return an LLMPrompt with a system message."""
    return _custom(kinds.LLM_PROMPT, name, namespace, spec or {"system": "Be brief."})


def resolver_answer(digest: str = DIGEST) -> str:
    """Return what a resolver that succeeded leaves as termination message."""
    return json.dumps({"digest": digest, "bytes": 123, "files": 4})


def job_pod(job: Manifest, message: str, exit_code: int = 0) -> Manifest:
    """Return the pod of a Job after its container has ended."""
    template = job["spec"]["template"]
    name = template["spec"]["containers"][0]["name"]
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job["metadata"]["name"], "uid": job["metadata"]["uid"], "controller": True}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{job['metadata']['name']}-pod",
            "namespace": job["metadata"]["namespace"],
            "labels": template["metadata"]["labels"],
            "ownerReferences": [owner],
        },
        "spec": template["spec"],
        "status": ended(name, message, exit_code),
    }


def ended(container: str, message: str, exit_code: int = 0) -> Manifest:
    """Return the status of a pod whose only container has ended."""
    state = {"terminated": {"exitCode": exit_code, "message": message, "reason": "Error" if exit_code else "Completed"}}
    status = {"name": container, "image": "i", "imageID": "", "ready": False, "restartCount": 0, "state": state}
    return {"phase": "Failed" if exit_code else "Succeeded", "containerStatuses": [status]}


def engine_pod(deployment: Manifest, name: str, *, ready: bool = True) -> Manifest:
    """Return a pod of an engine's Deployment that runs."""
    template = deployment["spec"]["template"]
    conditions = [{"type": kind, "status": str(ready or kind == "PodScheduled")} for kind in ("PodScheduled", "Ready")]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": deployment["metadata"]["namespace"], "labels": template["metadata"]["labels"]},
        "spec": template["spec"],
        "status": {"phase": "Running", "podIP": "10.0.0.1", "conditions": conditions, "containerStatuses": []},
    }


def _custom(kind: kinds.Kind, name: str, namespace: str, spec: dict[str, Any]) -> Manifest:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, "spec": spec}
