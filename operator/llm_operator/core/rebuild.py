"""Makes lost ControllerRevisions again: engines from their Deployments, revisions from the snapshot."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llm_operator.core import names
from llm_operator.core.canonical import digest, identity
from llm_operator.core.fields import applied, project
from llm_operator.core.identity import make_revision
from llm_operator.core.kinds import DEPLOYMENT, Kind
from llm_operator.core.observed import Obj
from llm_operator.core.references import ACCELERATOR_FIELD, ENGINE_FIELD, MODEL_FIELD, PROMPT_FIELD, Resolution
from llm_operator.core.render.meta import Owner
from llm_operator.core.render.pod import unstamp
from llm_operator.core.stored import REQUESTED, Engine, Revision, Stored
from llm_sidecar.bundle import BundleError, decode
from llm_sidecar.table import Table


def complete(stored: Stored, owner: Owner, owned: Mapping[tuple[Kind, str], Obj], table: Table | None, data: Mapping[str, str]) -> Stored:
    """Return what is stored, and what is lost of that but can be told from what is live. Only what has its old id again counts."""
    engines = stored.engines + tuple(_engines(stored, owner, owned))
    revisions = tuple(_revisions(stored, table, data, engines))
    return Stored(engines, stored.revisions + revisions)


def resolutions(engine: Engine) -> list[dict[str, Any]]:
    """Return what the references of an engine stood for, as far as its inputs tell."""
    model, requested = engine.inputs.get("model") or {}, engine.inputs.get(REQUESTED) or {}
    known = [(MODEL_FIELD, model.get("source"), model.get("digest"))]
    for field, part in ((ENGINE_FIELD, "engine"), (ACCELERATOR_FIELD, "accelerator")):
        content = (engine.inputs.get(part) or {}).get("profile")
        known.append((field, requested.get(part), None if content is None else digest(content)))
    return [Resolution(field, name, found).entry() for field, name, found in known if name and found]


def _engines(stored: Stored, owner: Owner, owned: Mapping[tuple[Kind, str], Obj]) -> Iterator[Engine]:
    for (kind, name), live in owned.items():
        if kind != DEPLOYMENT or name == names.entry(owner.name):
            continue
        engine = name.removeprefix(names.child(owner.name, ""))
        if stored.engine(engine) is not None:
            continue
        try:
            template = unstamp(project(live, applied(live, names.FIELD_MANAGER) or {})["spec"]["template"])
            inputs: Any = json.loads(live["metadata"]["annotations"][names.ANNOTATION_INPUTS])
        except (KeyError, StopIteration, TypeError, ValueError):
            continue  # somebody has changed it beyond recognition
        if identity(template) == engine and isinstance(inputs, dict):
            yield Engine(engine, inputs, template)


def _revisions(stored: Stored, table: Table | None, data: Mapping[str, str], engines: Sequence[Engine]) -> Iterator[Revision]:
    for route in table.routes if table else ():
        if stored.revision(route.revision) is not None:
            continue
        try:
            bundle = decode(data.get(route.bundle, "").encode())
        except BundleError:
            continue
        known = [entry for engine in engines if engine.id == route.engine for entry in resolutions(engine)]
        if known and bundle.prompt is not None and bundle.prompt.name:
            known.append(Resolution(PROMPT_FIELD, bundle.prompt.name, bundle.prompt.digest).entry())
        made = make_revision(route.engine, bundle, known)
        if made.id == route.revision:
            yield made
