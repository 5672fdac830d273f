"""Engine and accelerator profiles: frozen when first used, so that an administrator's edit restarts nothing."""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import TypeVar

from pydantic import ValidationError

from llm_operator.api.config import AcceleratorProfile, EngineProfile, OperatorConfig
from llm_operator.api.llmdeployment import LLMDeploymentSpec
from llm_operator.core.canonical import digest
from llm_operator.core.errors import UserError
from llm_operator.core.reasons import Reason
from llm_operator.core.references import ACCELERATOR_FIELD, ENGINE_FIELD, References
from llm_operator.core.stored import Stored

Profile = TypeVar("Profile", EngineProfile, AcceleratorProfile)


def engine_profile(spec: LLMDeploymentSpec, config: OperatorConfig, references: References, stored: Stored) -> EngineProfile:
    """Return the engine profile a spec means, as it was when it was first used."""
    frozen = _frozen(EngineProfile, "engine", stored)
    return _resolve(ENGINE_FIELD, spec.engine.profile, config.engine_profiles, frozen, references)


def accelerator_profile(spec: LLMDeploymentSpec, config: OperatorConfig, references: References, stored: Stored) -> AcceleratorProfile:
    """Return the accelerator profile a spec means, as it was when it was first used."""
    frozen = _frozen(AcceleratorProfile, "accelerator", stored)
    return _resolve(ACCELERATOR_FIELD, spec.accelerator.profile, config.accelerator_profiles, frozen, references)


def profile_digest(profile: EngineProfile | AcceleratorProfile) -> str:
    """Return the hash of what a profile says."""
    return digest(profile.model_dump(by_alias=True, exclude_defaults=True))


def _resolve(field: str, name: str, offered: Mapping[str, Profile], frozen: Mapping[str, Profile], references: References) -> Profile:
    known = references.carried(field, name)
    current = offered.get(name)
    if known is not None and known.digest in frozen:
        references.keep(known)
        if current is not None and profile_digest(current) != known.digest:
            references.outdated.append(f"{field} {name}")
        return frozen[known.digest]
    if current is None:
        valid = ", ".join(sorted(offered))
        what = "engine" if field == ENGINE_FIELD else "accelerator"
        raise UserError(
            Reason.ENGINE_PROFILE_UNKNOWN if field == ENGINE_FIELD else Reason.ACCELERATOR_PROFILE_UNKNOWN,
            field,
            f'"{name}" is not an {what} profile of this cluster; valid names are {valid}; use one, or ask the administrator to add it',
        )
    references.resolve(field, name, profile_digest(current))
    return current


def _frozen(model: type[Profile], part: str, stored: Stored) -> dict[str, Profile]:
    """Return the profiles that stored engines were made from, by digest."""
    contents = [inputs.get(part, {}).get("profile") for engine in stored.engines for inputs in engine.made_from]
    return dict(read for content in contents if (read := _read(model, json.dumps(content))) is not None)


@lru_cache(maxsize=1024)
def _read(model: type[Profile], text: str) -> tuple[str, Profile] | None:
    """Return a profile as it was stored behind its digest, unless this operator cannot read it any more; every look reads the same few."""
    content = json.loads(text)
    try:
        return digest(content), model.model_validate(content)
    except ValidationError:
        return None
