"""What a manifest would change of a deployment: the fields, whether that needs new pods, and on which road it would be let in."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from llm_operator.api.config import AcceleratorProfile, EngineProfile
from llm_operator.api.llmdeployment import LLMDeploymentSpec
from llm_operator.api.rollout import Step
from llm_operator.cli import apiserver
from llm_operator.core.bundles import Words, inline, make_bundle, referenced
from llm_operator.core.identity import engine_inputs
from llm_operator.core.validate import read_spec
from llm_sidecar.bundle import encode

Body = Mapping[str, Any]


@dataclass(frozen=True)
class Change:
    """One field that would be another one; None is absent."""

    field: str
    before: Any
    after: Any


@dataclass(frozen=True)
class Diff:
    """``diff_class`` is `Engine` for new pods, `Config` for another revision on the pods there are, `None` for no other revision."""

    diff_class: str
    road: str
    changes: tuple[Change, ...]


def compare(name: str, live: Body, live_prompt: dict[str, Any] | None, body: Body, prompt: dict[str, Any] | None) -> Diff:
    """Return what a manifest would change, or raise UserError where one of the two cannot be served."""
    after = apiserver.defaulted(dict(body))
    changes = tuple(_changes(live["spec"], after["spec"], "spec"))
    if live_prompt != prompt:
        changes += tuple(_changes((live_prompt or {}).get("spec"), (prompt or {}).get("spec"), "LLMPrompt.spec"))
    old, new = read_spec(dict(live)), read_spec(after)
    if _engine(name, old) != _engine(name, new):
        return Diff("Engine", _engine_road(new), changes)
    if _bundle(old, live_prompt) != _bundle(new, prompt):
        return Diff("Config", _config_road(new), changes)
    return Diff("None", "no other revision: it counts from the next look on" if changes else "nothing changes", changes)


def _engine(name: str, spec: LLMDeploymentSpec) -> dict[str, Any]:
    """Return what the engine is made with; what a profile is counts for nothing here, which one it is does."""
    engine = EngineProfile(image=spec.engine.profile, version="0")
    return engine_inputs(name, spec, engine, AcceleratorProfile(resource=spec.accelerator.profile), "")


def _bundle(spec: LLMDeploymentSpec, prompt: dict[str, Any] | None) -> bytes:
    words: Words = inline(spec)
    if spec.prompt is not None and spec.prompt.ref is not None:
        words = referenced(spec.prompt.ref.name, prompt)
    return encode(make_bundle(spec, words))


def _engine_road(spec: LLMDeploymentSpec) -> str:
    mode = spec.rollout.capacity.mode
    most = spec.replicas + (mode == "Surge")
    if mode == "Borrow" and spec.replicas == 1:
        return "none: Borrow never takes the only replica; use Surge or Replace"
    if spec.rollout.engine is not None and spec.replicas and not (mode == "Replace" and spec.replicas == 1):
        return f"one new pod by steps: {_listed(spec.rollout.engine.steps)}; then one up and one down; never more than {most}"
    if mode == "Surge":
        return f"new pods, one up and one down; never more than {most}"
    return f"new pods, one after another in place of an old one; never more than {most}"


def _config_road(spec: LLMDeploymentSpec) -> str:
    config = spec.rollout.config
    if config is None:
        return "the pods that serve take it up without a restart, for every request at once"
    return f"the pods that serve take it up without a restart, by steps: {_listed(config.steps)}"


def _listed(steps: Iterable[Step]) -> str:
    return ", ".join(map(_step, steps))


def _step(step: Step) -> str:
    if step.shadow is not None:
        return f"copies of {step.shadow.sample_percent}%"
    return "approval" if step.weight_percent is None else f"{step.weight_percent}%"


def _changes(before: Any, after: Any, path: str) -> Iterator[Change]:
    if isinstance(before, dict) and isinstance(after, dict):
        for name in sorted(before.keys() | after.keys()):
            yield from _changes(before.get(name), after.get(name), f"{path}.{name}")
    elif before != after:
        yield Change(path, before, after)
