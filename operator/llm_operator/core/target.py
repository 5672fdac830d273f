"""What the spec asks for now: one engine and one bundle, or why that cannot be told (yet)."""

from dataclasses import dataclass, replace
from datetime import datetime

from llm_operator.api.config import OperatorConfig
from llm_operator.api.llmdeployment import LLMDeploymentSpec, PromptRef
from llm_operator.api.sources import parse_source
from llm_operator.core import names, profiles, prompts
from llm_operator.core.bundles import Words, inline, make_bundle, referenced
from llm_operator.core.differences import differences, listed
from llm_operator.core.engine_args import vllm_argv
from llm_operator.core.engines import choose, too_old
from llm_operator.core.errors import UserError
from llm_operator.core.identity import engine_inputs, make_revision
from llm_operator.core.kinds import CONTROLLER_REVISION
from llm_operator.core.observed import Obj, Observed
from llm_operator.core.prompts import Check
from llm_operator.core.reasons import Reason
from llm_operator.core.references import PROMPT_FIELD, References
from llm_operator.core.render.pod import pod_template
from llm_operator.core.resolver import Waiting, resolve_model
from llm_operator.core.source_checks import check_model
from llm_operator.core.stored import REQUESTED, Engine, Revision
from llm_operator.core.validate import read_spec, validate
from llm_operator.core.verbs import Action
from llm_operator.core.world import World
from llm_sidecar.bundle import Bundle


@dataclass(frozen=True)
class Version:
    """An engine with the revision it serves."""

    engine: Engine
    revision: Revision


@dataclass(frozen=True)
class Target:
    """What one spec asks for, or why that cannot be told: what is wrong with it, or what it waits for.

    ``rendering`` says what of the pods this operator would make otherwise, ``actions`` what became of the verbs, and ``look_s`` when
    those, or what the model's source holds, need the next look.
    """

    references: References
    outcome: Version | UserError | Waiting
    spec: LLMDeploymentSpec | None = None
    jobs: tuple[Obj, ...] = ()
    rendering: str = ""
    actions: tuple[Action, ...] = ()
    look_s: float | None = None

    @property
    def version(self) -> Version | None:
        """Return what is asked for, once that is known."""
        return self.outcome if isinstance(self.outcome, Version) else None

    @property
    def problem(self) -> UserError | None:
        """Return what is wrong with the spec."""
        return self.outcome if isinstance(self.outcome, UserError) else None

    @property
    def waiting(self) -> Waiting | None:
        """Return what the spec waits for."""
        return self.outcome if isinstance(self.outcome, Waiting) else None


def find_target(world: World, observed: Observed, config: OperatorConfig, now: datetime, check: Check, anew: str = "") -> Target:
    """Validate a spec, resolve what it refers to, and return what it asks for.

    ``anew`` is the id of a request to carry nothing forward: every reference is resolved again, and the pod template rendered again.
    """
    references = References.of(() if anew else world.resolutions)
    spec: LLMDeploymentSpec | None = None
    try:
        spec = read_spec(observed.deployment)
        validate(spec, config)
        engine = profiles.engine_profile(spec, config, references, world.stored)
        accelerator = profiles.accelerator_profile(spec, config, references, world.stored)
        bundle = _bundle(spec, observed.prompt, world, references, check)
    except UserError as problem:
        return Target(references, problem, spec)
    model = resolve_model(world, spec, config, references, now, anew)
    if isinstance(model.outcome, Waiting):
        return Target(references, model.outcome, spec, model.jobs)
    checked = check_model(world, spec.model, config, references, now)
    digest, jobs = checked.digest, (*model.jobs, *checked.jobs)
    name = world.owner.name
    argv = vllm_argv(spec, spec.model.served_name or name, engine)
    template = pod_template(name, spec, engine, accelerator, parse_source(spec.model.source), digest, argv, config)
    requested = {"accelerator": spec.accelerator.profile, "engine": spec.engine.profile}
    inputs = {**engine_inputs(name, spec, engine, accelerator, digest), REQUESTED: requested}
    chosen = choose(world.stored, inputs, template, anew=bool(anew))
    if behind := too_old(world, chosen.id, bundle.schema_version):
        newer = choose(world.stored, inputs, template, anew=True)
        if newer.id == chosen.id:
            words = f"{behind}, and so would every new pod; ask the administrator to upgrade the sidecar image {config.images.sidecar}"
            return Target(references, UserError(Reason.SIDECAR_TOO_OLD, "", words), spec)
        chosen = newer  # it is stored as the last rendering, so it stays the engine of this spec
    version = Version(chosen, _revision(world, chosen.id, bundle, references))
    look_s = min((each for each in (model.look_s, checked.look_s) if each is not None), default=None)
    return Target(references, version, spec, jobs, listed(list(differences(chosen.template, template))), look_s=look_s)


def _revision(world: World, engine: str, bundle: Bundle, references: References) -> Revision:
    """Return the revision; one that is not stored but rebuilt does not know all that its resolutions said."""
    known = world.stored.revision_of(engine, bundle)
    if known is None:
        return make_revision(engine, bundle, references.pinned())
    is_stored = world.live(CONTROLLER_REVISION, names.child(world.owner.name, known.id)) is not None
    return known if is_stored else replace(known, inputs={**known.inputs, "resolutions": references.pinned()})


def _bundle(spec: LLMDeploymentSpec, live: Obj | None, world: World, references: References, check: Check) -> Bundle:
    """Return the bundle of a spec; one that is stored was checked when it was made."""
    words = _prompt(spec, live, world, references)
    bundle = make_bundle(spec, words)
    known = any(each.bundle == bundle for each in world.stored.revisions)
    return bundle if known and not words.tests else prompts.checked(bundle, words.tests, words.origin, check)


def _prompt(spec: LLMDeploymentSpec, live: Obj | None, world: World, references: References) -> Words:
    """Return what the prompt of a spec says; one that was served passed its tests then."""
    asked = spec.prompt
    if asked is None or asked.ref is None:
        return inline(spec)
    frozen = _frozen(asked.ref, world, references) if asked.update_policy != "Rollout" else None
    if frozen is None:
        words = referenced(asked.ref.name, live)
        references.resolve(PROMPT_FIELD, asked.ref.name, words.digest)
        return words
    if asked.update_policy == "Notify" and live is not None:
        references.newer_prompt = _newer(live, frozen)
    return Words(frozen.prompt, frozen.sampling, (), prompts.written_in(asked.ref.name))


def _frozen(ref: PromptRef, world: World, references: References) -> Bundle | None:
    """Return a stored bundle with the prompt as it was when the reference was resolved, and keep that resolution."""
    known = references.carried(PROMPT_FIELD, ref.name)
    for each in world.stored.revisions:
        prompt = each.bundle.prompt
        if known is not None and prompt is not None and (prompt.name, prompt.digest) == (ref.name, known.digest):
            references.keep(known)
            return each.bundle
    return None


def _newer(live: Obj, frozen: Bundle) -> str:
    """Return what to say when the LLMPrompt is another than the one that is served."""
    try:
        newest = prompts.prompt_digest(prompts.read_prompt(live))
    except UserError:
        return ""  # what cannot be served is no update
    name, served = live["metadata"]["name"], frozen.prompt.digest if frozen.prompt else ""
    if newest == served:
        return ""
    return f"LLMPrompt {name} has changed: {newest} is newer than {served}; to serve it set spec.prompt.updatePolicy to Rollout"
