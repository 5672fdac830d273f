"""Objects for tests, each with defaults that work; a test names only what it is about."""

import base64
import hashlib
from datetime import UTC, datetime
from typing import Any

from llm_operator.api.config import OperatorConfig
from llm_operator.core import names
from llm_operator.core.observed import Obj

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
UID = "00000000-0000-4000-8000-000000000001"
MODEL_DIGEST = "sha256:" + "a" * 64
SOURCE = "s3://models/tiny"


def make_config(**changes: Any) -> OperatorConfig:
    base: dict[str, Any] = {
        "images": {"sidecar": "example.org/llm-sidecar:1", "fetcher": "example.org/llm-fetcher:1"},
        "engineProfiles": {"vllm": {"image": "example.org/vllm:0.32.0", "version": "0.32.0"}},
        "acceleratorProfiles": {
            "l4": {
                "resource": "nvidia.com/gpu",
                "nodeSelector": {"gpu": "l4"},
                "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
            },
            "cpu": {},
        },
        "operatorNamespace": "llm-system",
    }
    return OperatorConfig.model_validate({**base, **changes})


def make_spec(**changes: Any) -> dict[str, Any]:
    base: dict[str, Any] = {"model": {"source": SOURCE}, "accelerator": {"profile": "l4"}, "replicas": 1}
    return {**base, **changes}


def make_deployment(
    *, name: str = "chat", uid: str = UID, generation: int = 1, spec: dict[str, Any] | None = None, status: dict[str, Any] | None = None
) -> Obj:
    return {
        "apiVersion": "llmops.dev/v1alpha1",
        "kind": "LLMDeployment",
        "metadata": {"name": name, "namespace": "team", "uid": uid, "generation": generation, "resourceVersion": "1"},
        "spec": make_spec() if spec is None else spec,
        **({"status": status} if status is not None else {}),
    }


def make_prompt(name: str = "support", generation: int = 1, **spec: Any) -> Obj:
    return {
        "apiVersion": "llmops.dev/v1alpha1",
        "kind": "LLMPrompt",
        "metadata": {"name": name, "namespace": "team", "uid": "prompt-uid", "generation": generation, "resourceVersion": "1"},
        "spec": spec or {"system": "Be brief."},
    }


def make_pod(name: str = "pod-1", engine: str = "engine1", uid: str = UID, **status: Any) -> Obj:
    """A pod as the scheduler sees it first, or in the given state."""
    token = names.pod_token(uid)
    return {
        "metadata": {"name": name, "uid": name, "labels": {names.LABEL_DEPLOYMENT: "chat", names.LABEL_ENGINE: engine}},
        "spec": {
            "initContainers": [{"name": "sidecar", "env": [{"name": "LLM_POD_TOKEN", "value": token}]}],
            "containers": [{"name": "engine", "resources": {"limits": {"cpu": "4", "nvidia.com/gpu": "2"}}}],
        },
        "status": {"phase": "Pending", **status},
    }


def owner_reference(kind: str, name: str, uid: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "name": name, "uid": uid, "controller": True}


def digest_of(text: str) -> str:
    """The digest a fetcher would give a source: any function of it will do."""
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def short(text: str) -> str:
    return base64.b32encode(hashlib.sha256(text.encode()).digest()).decode().lower()[:8]
