"""Which engine and which revision a spec asks for: inputs without defaults, in canonical spelling, under one hash."""

from collections.abc import Mapping, Sequence
from typing import Any

from llm_operator.api.config import AcceleratorProfile, EngineProfile
from llm_operator.api.durations import parse_ms, render_ms
from llm_operator.api.llmdeployment import Drain, EngineResources, LLMDeploymentSpec
from llm_operator.api.sources import parse_source
from llm_operator.core.canonical import identity, storable
from llm_operator.core.render.quantity import canonical_quantity
from llm_operator.core.stored import Engine, Revision
from llm_sidecar.bundle import Bundle, encode


def engine_inputs(
    name: str, spec: LLMDeploymentSpec, engine: EngineProfile, accelerator: AcceleratorProfile, digest: str
) -> dict[str, Any]:
    """Return everything a pod template depends on that a user or an administrator chose, spelt in one way only."""
    settings = spec.engine.model_copy(
        update={
            "resources": _resources(spec.engine.resources),
            "tensor_parallel_size": _unless(spec.engine.tensor_parallel_size, spec.accelerator.count),
        }
    )
    inputs = {
        "accelerator": {"profile": _dump(accelerator), "count": spec.accelerator.count},
        "drain": _dump(_drain(spec.drain)),
        "engine": {"profile": _dump(engine), **settings.model_dump(by_alias=True, exclude_defaults=True, exclude={"profile", "startup"})},
        "model": {
            "source": str(parse_source(spec.model.source)),
            "digest": digest,
            "servedName": spec.model.served_name or name,
            "credentials": _dump(spec.model.credentials) if spec.model.credentials else None,
        },
    }
    stored: dict[str, Any] = storable(inputs)
    return stored


def make_engine(inputs: dict[str, Any], template: dict[str, Any]) -> Engine:
    """Return the engine a template makes: its id is the hash of the template alone."""
    return Engine(identity(template), inputs, template)


def make_revision(engine: str, bundle: Bundle, resolutions: Sequence[Mapping[str, Any]] = ()) -> Revision:
    """Return the revision an engine and a bundle make together; ``resolutions`` are kept with it and no part of its id."""
    inputs: dict[str, Any] = {"engine": engine, "resolutions": list(resolutions)}
    return Revision(identity({"engine": engine, "bundle": encode(bundle).decode()}), engine, bundle, inputs)


def _dump(model: Any) -> dict[str, Any]:
    dumped: dict[str, Any] = model.model_dump(by_alias=True, exclude_defaults=True)
    return dumped


def _unless(value: int | None, default: int) -> int | None:
    return None if value == default else value


def _resources(resources: EngineResources) -> EngineResources:
    """The canonical text may be one a user could not write, so it is not validated again."""
    return resources.model_copy(update={name: canonical_quantity(getattr(resources, name)) for name in ("cpu", "memory", "shm")})


def _drain(drain: Drain) -> Drain:
    return drain.model_copy(update={name: render_ms(parse_ms(getattr(drain, name))) for name in ("minimum", "max_stream")})
