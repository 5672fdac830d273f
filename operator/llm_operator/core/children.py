"""The objects one LLMDeployment should have now, in the order they are applied: what others depend on comes first."""

from collections.abc import Mapping

from llm_operator.api.config import OperatorConfig
from llm_operator.core import names
from llm_operator.core.addresses import own_services
from llm_operator.core.canonical import alike, canonical
from llm_operator.core.entry import entry_of
from llm_operator.core.gateway import route_of
from llm_operator.core.kinds import CONTROLLER_REVISION, DEPLOYMENT
from llm_operator.core.observed import Obj
from llm_operator.core.render import service
from llm_operator.core.render.deployment import deployment
from llm_operator.core.render.disruption import budget
from llm_operator.core.render.evidence import evidence
from llm_operator.core.render.networkpolicy import policy
from llm_operator.core.render.revision import controller_revision
from llm_operator.core.render.snapshot import snapshot as snapshot_manifest
from llm_operator.core.roles import Roles
from llm_operator.core.rollout.gating import Gating
from llm_operator.core.stored import Engine, Revision
from llm_operator.core.tables import Snapshot
from llm_operator.core.target import Target
from llm_operator.core.world import World

HISTORY = 10
"""Revisions that are kept to go back to, besides those in use."""


def children(
    world: World,
    config: OperatorConfig,
    target: Target,
    roles: Roles,
    snapshot: Snapshot | None,
    replicas: Mapping[str, int],
    gating: Gating,
) -> tuple[Obj, ...]:
    """Return every object there should be; ``replicas`` are those of each engine with a role."""
    owner, jobs = world.owner, target.jobs
    if snapshot is None:
        return jobs
    return (
        *_history(world, roles),
        *(service.engine(owner, each) for each in own_services(world, snapshot.table)),
        *([evidence(owner, gating.content)] if gating.content else []),
        snapshot_manifest(owner, snapshot.data),
        service.public(owner),
        policy(owner, config.operator_namespace, config.monitoring_namespaces),
        budget(owner),
        *(made for made in (entry_of(world, config, target, roles), route_of(world, config, target)) if made is not None),
        *(made for each in roles.engines if (made := _deployment(world, roles, each, replicas[each.id])) is not None),
        *jobs,
    )


def _deployment(world: World, roles: Roles, engine: Engine, replicas: int) -> Obj | None:
    """Return the Deployment of an engine; one that has to wait for its first pod needs none yet."""
    live = world.live(DEPLOYMENT, names.child(world.owner.name, engine.id))
    if live is None and not replicas and roles.replicas:
        return None
    timeout_s = roles.startup_timeout_s
    if live is not None and not roles.readable:  # a spec that cannot be read changes nothing
        timeout_s = live["spec"]["progressDeadlineSeconds"]
    return deployment(world.owner, engine.id, engine.inputs, engine.template, replicas=replicas, startup_timeout_s=timeout_s)


def _history(world: World, roles: Roles) -> list[Obj]:
    """Return the ControllerRevisions to have: those in use, and the newest of the rest with the engines they run on."""
    revisions = {each.revision.id: each.revision for each in (roles.stable, roles.target, roles.latest) if each is not None}
    routed = {route.revision for route in world.table.routes} if world.table else set()
    revisions |= {each.id: each for each in world.stored.revisions if each.id in routed - revisions.keys()}
    rest = [each for each in world.stored.revisions if each.id not in revisions]
    revisions |= {each.id: each for each in rest[:HISTORY]}
    engines: dict[str, Engine] = {each.id: each for each in roles.engines}
    for engine in world.stored.engines:
        if engine.id in {each.engine for each in revisions.values()} or world.live(DEPLOYMENT, names.child(world.owner.name, engine.id)):
            engines.setdefault(engine.id, engine)
    return [*(_stored(world, each) for each in engines.values()), *(_stored(world, each) for each in revisions.values())]


def _stored(world: World, content: Engine | Revision) -> Obj:
    """Return a ControllerRevision; the data of a live one never changes, so it is sent as it is."""
    live = world.live(CONTROLLER_REVISION, names.child(world.owner.name, content.id))
    data = (live or {}).get("data") or content.data
    newer = isinstance(content, Engine) and not alike(content.inputs, data["inputs"])
    annotations = {names.ANNOTATION_INPUTS: canonical(content.inputs).decode()} if newer else None
    return controller_revision(world.owner, content.id, data, annotations)
