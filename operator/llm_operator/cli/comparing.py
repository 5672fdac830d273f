"""`diff`: a deployment and its prompt, from files and from the cluster."""

from collections.abc import Sequence
from typing import Any

from llm_operator.cli import manifests
from llm_operator.cli.diff import Diff, compare
from llm_operator.cli.exits import CliError, Exit
from llm_operator.cli.kube import Kube, NotFoundError
from llm_operator.core.errors import UserError


def diff(kube: Kube, name: str, files: Sequence[str]) -> Diff:
    """Return what the manifest of a deployment in some files would change of it."""
    found = manifests.read(files)
    body = next((each.body for each in found if (each.kind, each.name) == (manifests.DEPLOYMENT, name)), None)
    if body is None:
        names = ", ".join(each.name for each in found if each.kind == manifests.DEPLOYMENT) or "none"
        raise CliError(f"-f: there is no LLMDeployment {name} in {', '.join(files)}; there are: {names}")
    live = kube.deployment(name)
    before, after = _prompt_name(live), _prompt_name(body)
    live_prompt = _live(kube, before)
    given = next((each.body for each in found if (each.kind, each.name) == (manifests.PROMPT, after)), None)
    prompt = given or (live_prompt if before == after else _live(kube, after))
    try:
        return compare(name, live, live_prompt, body, prompt)
    except UserError as error:
        raise CliError(error.sentence, Exit.REJECTED) from error


def _prompt_name(body: dict[str, Any]) -> str:
    return str(((body["spec"].get("prompt") or {}).get("ref") or {}).get("name") or "")


def _live(kube: Kube, name: str) -> dict[str, Any] | None:
    try:
        return kube.prompt(name) if name else None
    except NotFoundError:
        return None
