"""Whether there is an entry, and with which pods: those it has, for a new one would end the connections it holds."""

import json
from collections.abc import Mapping
from typing import Any

from llm_operator.api.config import OperatorConfig
from llm_operator.core import names
from llm_operator.core.canonical import identity
from llm_operator.core.fields import applied, project
from llm_operator.core.kinds import DEPLOYMENT
from llm_operator.core.observed import Obj
from llm_operator.core.render.entry import entry, entry_template
from llm_operator.core.roles import Roles, engines_seen
from llm_operator.core.stored import REFRESH, Engine
from llm_operator.core.target import Target
from llm_operator.core.world import World, engine_of


def entry_of(world: World, config: OperatorConfig, target: Target, roles: Roles) -> Obj | None:
    """Return the Deployment of the entry, or None where there is none.

    A change that replaces pods needs it, and so does a deployment that may have none. One that is not needed any more stays for as long as
    no engine serves.
    """
    if roles.target is None or not (roles.holds or (world.has_entry and _holds(world, roles))):
        return None
    inputs = _inputs(roles.target.engine)
    kept = None if _too_old(world, roles.target.revision.bundle.schema_version) else _kept(world, inputs)
    if kept is None and target.spec is not None:
        return entry(world.owner, entry_template(world.owner, target.spec, config), inputs)
    return entry(world.owner, kept, inputs) if kept is not None else None


def _holds(world: World, roles: Roles) -> bool:
    return bool(roles.replicas) and not any(world.ready_of(each) for each in engines_seen(world))


def _inputs(engine: Engine) -> dict[str, Any]:
    """Return what of an engine an entry shares, and how often that was refreshed: it is rendered anew with it, and never by an upgrade."""
    inputs: Mapping[str, Any] = engine.inputs
    shared = {"drain": inputs.get("drain"), "servedName": (inputs.get("model") or {}).get("servedName"), REFRESH: inputs.get(REFRESH)}
    return {name: value for name, value in shared.items() if value}


def _kept(world: World, inputs: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the live template, as it was applied, unless it was made from other inputs or somebody has changed it."""
    live = world.live(DEPLOYMENT, names.entry(world.owner.name))
    try:
        noted = (live or {})["metadata"]["annotations"]
        template: dict[str, Any] = project(live, applied(live or {}, names.FIELD_MANAGER) or {})["spec"]["template"]
        same = json.loads(noted[names.ANNOTATION_INPUTS]) == inputs and noted[names.ANNOTATION_TEMPLATE] == identity(template)
    except (KeyError, TypeError, ValueError):
        return None  # there is none, or somebody has changed it beyond recognition
    return template if same else None


def _too_old(world: World, schema: int) -> bool:
    """Return whether an entry that runs cannot read the bundle that is asked for."""
    reports = (world.report(pod) for pod in world.pods if not engine_of(pod))
    return any(report is not None and report.bundle_schema < schema for report in reports)
