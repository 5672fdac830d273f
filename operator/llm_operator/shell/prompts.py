"""Who uses which LLMPrompt."""

from collections.abc import Iterable, Mapping
from typing import Any

from llm_operator.shell.observe import prompt_name
from llm_operator.shell.ports import Manifest


def users(deployments: Iterable[Manifest], prompt: str) -> list[str]:
    """Return the names of the deployments that refer to a prompt, in order."""
    return sorted(each["metadata"]["name"] for each in deployments if prompt_name(each) == prompt)


def outdated(prompts: Iterable[Manifest], deployment: str, refers_to: str | None) -> list[str]:
    """Return the names of the prompts whose status may be wrong about whether a deployment uses them."""
    return [each["metadata"]["name"] for each in prompts if _is_outdated(each, deployment, refers_to)]


def same_prompt(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether two statuses say the same of the prompt itself, whoever uses it."""
    return _of_itself(one) == _of_itself(other)


def _is_outdated(prompt: Manifest, deployment: str, refers_to: str | None) -> bool:
    status = prompt.get("status", {})
    named = status.get("usedBy", [])
    if deployment not in named and status.get("users", 0) > len(named):
        return True  # it may be one of those that are only counted
    return bool((deployment in named) != (prompt["metadata"]["name"] == refers_to))


def _of_itself(status: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in status.items() if name not in {"users", "usedBy"}}
