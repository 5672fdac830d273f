"""From a spec and the words of its prompt to the bundle of a revision."""

from dataclasses import dataclass

import msgspec

from llm_operator.api.llmdeployment import LLMDeploymentSpec
from llm_operator.api.llmprompt import PromptSpec
from llm_operator.core import prompts
from llm_operator.core.errors import UserError
from llm_operator.core.observed import Obj
from llm_operator.core.pipelines import bundle_pipeline
from llm_operator.core.reasons import Reason
from llm_sidecar.bundle import Auth, Bundle, Prompt, Sampling, needed_schema
from llm_sidecar.prompt_tests import PromptTest


@dataclass(frozen=True)
class Words:
    """What a prompt gives to a bundle, its tests, and where it was written."""

    prompt: Prompt | None
    sampling: Sampling
    tests: tuple[PromptTest, ...]
    origin: str

    @property
    def digest(self) -> str:
        """Return the digest of the prompt, empty where there is none."""
        return self.prompt.digest if self.prompt is not None else ""


def of_prompt(spec: PromptSpec, origin: str, name: str = "") -> Words:
    """Return what a prompt says."""
    return Words(prompts.bundle_prompt(spec, name), prompts.bundle_sampling(spec.sampling), prompts.prompt_tests(spec), origin)


def inline(spec: LLMDeploymentSpec) -> Words:
    """Return what a spec itself says, which may be nothing."""
    if spec.prompt is None or spec.prompt.inline is None:
        return Words(None, Sampling(), (), "spec.prompt")
    return of_prompt(spec.prompt.inline, prompts.INLINE)


def referenced(name: str, live: Obj | None) -> Words:
    """Return what an LLMPrompt says, or raise UserError where there is none of this name or it is none."""
    if live is None:
        raise UserError(
            Reason.PROMPT_MISSING,
            "spec.prompt.ref.name",
            f'there is no LLMPrompt "{name}" in this namespace; create it, refer to another one (kubectl get llmprompts shows '
            "those there are), or use spec.prompt.inline",
        )
    return of_prompt(prompts.read_prompt(live), prompts.written_in(name), name)


def make_bundle(spec: LLMDeploymentSpec, words: Words) -> Bundle:
    """Return the bundle, not yet tried out, or raise UserError where no request could be served with it."""
    _fits_the_context(spec, words)
    auth = Auth(api_keys="Required") if spec.auth.api_keys == "Required" else None
    bundle = Bundle(
        prompt=words.prompt,
        sampling=words.sampling,
        limits=prompts.bundle_limits(spec.limits),
        pipeline=bundle_pipeline(spec.pipeline),
        auth=auth,
    )
    return msgspec.structs.replace(bundle, schema_version=needed_schema(bundle))


def _fits_the_context(spec: LLMDeploymentSpec, words: Words) -> None:
    """Raise UserError where no request could be served: the engine refuses one whose answer alone may fill the context."""
    most, asked = spec.engine.max_model_len, words.sampling.max_tokens
    if most is not None and asked is not None and asked >= most:
        raise UserError(
            Reason.PROMPT_INVALID,
            f"{words.origin}.sampling.maxTokens",
            f"{asked} leaves no room for a prompt in a context of {most} tokens; lower it, or raise spec.engine.maxModelLen",
        )
