"""Whose number of pods a scaler of somebody else sets: that of an LLMDeployment, or of a Deployment that the operator has made for one."""

from collections.abc import Collection, Mapping
from typing import Any

from llm_operator.core.kinds import DEPLOYMENT, LLM_DEPLOYMENT


def target_of(scaler: Mapping[str, Any]) -> str:
    """Return the name of the LLMDeployment that a scaler is for, or nothing; of a Deployment the one it would be a child of."""
    kind, group, name = _reference(scaler)
    if (kind, group) == (LLM_DEPLOYMENT.kind, LLM_DEPLOYMENT.group):
        return name
    return child_of(scaler).rpartition("-")[0]


def child_of(scaler: Mapping[str, Any]) -> str:
    """Return the name of the Deployment that a scaler is for, or nothing."""
    kind, group, name = _reference(scaler)
    return name if (kind, group) == (DEPLOYMENT.kind, DEPLOYMENT.group) else ""


def rivals(scalers: Collection[Mapping[str, Any]], deployments: Collection[str]) -> tuple[str, ...]:
    """Return in words those scalers that are for an LLMDeployment or one of its Deployments: another one may be called as a child would."""
    named = sorted((f"{each['kind']} {each['metadata']['name']}", child_of(each)) for each in scalers)
    return tuple(f"{name} (for Deployment {child})" if child else name for name, child in named if not child or child in deployments)


def _reference(scaler: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return kind, group and name of what a scaler is for. One that says only a name means a Deployment: that is KEDA's default."""
    found = scaler.get("spec", {}).get("scaleTargetRef") or {}
    version = str(found.get("apiVersion") or DEPLOYMENT.api_version)
    return str(found.get("kind") or DEPLOYMENT.kind), version.partition("/")[0], str(found.get("name", ""))
