"""The status of an LLMPrompt: its digest, whether it can be served, and who uses it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from llm_operator.core.conditions import condition, merge
from llm_operator.core.errors import UserError
from llm_operator.core.observed import Obj
from llm_operator.core.prompts import Check, bundle_prompt, bundle_sampling, checked, prompt_tests, read_prompt
from llm_operator.core.reasons import Reason
from llm_sidecar.bundle import Bundle
from llm_sidecar.prompt_tests import check as check_bundle

NAMED = 32
"""Users that a status names: a list of all would be written anew with each of them."""


def plan_prompt(prompt: Obj, used_by: Sequence[str], now: datetime, check: Check = check_bundle) -> dict[str, Any]:
    """Return the status of an LLMPrompt; ``used_by`` are the LLMDeployments that refer to it."""
    generation = prompt["metadata"].get("generation", 1)
    status: dict[str, Any] = {"observedGeneration": generation}
    try:
        spec = read_prompt(prompt)
        made = bundle_prompt(spec, prompt["metadata"]["name"])
        checked(Bundle(prompt=made, sampling=bundle_sampling(spec.sampling)), prompt_tests(spec), "spec", check)
    except UserError as problem:
        valid = condition("Valid", problem.reason, problem.sentence, holds=False)
    else:
        status["digest"] = made.digest
        passed = f" and passes {len(spec.tests)} tests" if len(spec.tests) > 1 else " and passes its test" if spec.tests else ""
        valid = condition("Valid", Reason.VALID, f"the prompt compiles{passed}", holds=True)
    previous = {each["type"]: each for each in (prompt.get("status") or {}).get("conditions", [])}
    status["conditions"] = merge([valid], previous, generation, now)
    if used_by:
        status["users"] = len(used_by)
        status["usedBy"] = sorted(used_by)[:NAMED]
    return status
