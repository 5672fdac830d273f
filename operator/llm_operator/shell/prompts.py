"""Who uses which LLMPrompt."""

from collections.abc import Iterable

from llm_operator.shell.observe import prompt_name
from llm_operator.shell.ports import Manifest


def users(deployments: Iterable[Manifest], prompt: str) -> list[str]:
    """Return the names of the deployments that refer to a prompt, in order."""
    return sorted(each["metadata"]["name"] for each in deployments if prompt_name(each) == prompt)


def outdated(prompts: Iterable[Manifest], deployment: str, refers_to: str | None) -> list[str]:
    """Return the names of the prompts whose status is wrong about whether a deployment uses them."""
    return [
        prompt["metadata"]["name"]
        for prompt in prompts
        if (deployment in prompt.get("status", {}).get("usedBy", [])) != (prompt["metadata"]["name"] == refers_to)
    ]
