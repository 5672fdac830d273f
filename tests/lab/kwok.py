"""Nodes that exist in the API only: KWOK answers for them, eight accelerators each."""

from collections.abc import Callable, Iterator
from typing import Any

Condition = Callable[[], bool]

LABEL = "lab.llmops.dev/simulated"
SELECTOR = f"{LABEL}=true"
TAINT = {"key": "kwok.x-k8s.io/node", "value": "fake", "effect": "NoSchedule"}
TOLERATION = {"key": "kwok.x-k8s.io/node", "operator": "Exists"}
GPUS = 8


def node(name: str, *, gpus: int = GPUS, labels: dict[str, str] | None = None) -> dict[str, Any]:
    """Return a simulated node; only pods that tolerate its taint land on it."""
    scale = max(gpus, GPUS)
    size = {"cpu": str(12 * scale), "memory": f"{128 * scale}Gi", "pods": "110", "nvidia.com/gpu": str(gpus)}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {"kwok.x-k8s.io/node": "fake"},
            "labels": {LABEL: "true", "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", **(labels or {})},
        },
        "spec": {"taints": [TAINT]},
        "status": {"capacity": size, "allocatable": size},
    }


def open_node(name: str, *, gpus: int = GPUS) -> dict[str, Any]:
    """Return a simulated node that takes any pod, where there is no real one to take it: resolvers tolerate no taint."""
    return {**node(name, gpus=gpus), "spec": {}}


def nodes(count: int) -> Iterator[dict[str, Any]]:
    """Return so many simulated nodes."""
    return (node(f"sim-{index}") for index in range(1, count + 1))
