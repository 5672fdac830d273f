"""What the rollout machine is told of one look: what is asked for, and what is there."""

from datetime import datetime

from llm_operator.api.durations import parse_s
from llm_operator.api.rollout import ENGINE_DEADLINE, PROGRESS_DEADLINE
from llm_operator.core.course import carried, floor_of, share_of, usable_of
from llm_operator.core.delivery import NOTHING as NO_DELIVERY
from llm_operator.core.delivery import deliver
from llm_operator.core.diagnose import diagnose
from llm_operator.core.podstate import restarts
from llm_operator.core.removal import listed
from llm_operator.core.roles import Roles, asked_of, left_over, version_of, weights_of
from llm_operator.core.rollout.moves import WHOLE, Asked, Canary, Seen, Verb
from llm_operator.core.rollout.progress import COMING, Progress
from llm_operator.core.target import Target, Version
from llm_operator.core.world import World
from llm_sidecar.table import WHOLE as ALL_UNITS


def brings_engine(roles: Roles, version: Version | None) -> bool:
    """Return whether a version needs another engine than that of stable."""
    return version is not None and roles.stable is not None and version.engine.id != roles.stable.engine.id


def asked(target: Target, roles: Roles, coming: Version | None, verb: Verb | None) -> Asked:
    """Return what is asked for: the steps of what the spec wants, in the time that what is on its way may take.

    While nobody knows what the spec wants there are no steps: they would be of another revision than the one on its way. Where one
    accelerator is all there is, only approvals are left of the steps of another engine.
    """
    revision = roles.latest.revision.id if roles.latest else ""
    rollout = target.spec.rollout if target.spec is not None and target.version is not None else None
    default = ENGINE_DEADLINE if brings_engine(roles, coming) else PROGRESS_DEADLINE
    if rollout is None:
        return Asked(revision, None, parse_s(default), verb=verb)
    coming_by = rollout.engine if brings_engine(roles, coming) else rollout.config
    latest_by = rollout.engine if brings_engine(roles, roles.latest) else rollout.config
    deadline_s = parse_s(coming_by.progress_deadline if coming_by else default)
    steps = latest_by.steps if latest_by else ()
    undivided = brings_engine(roles, roles.latest) and roles.alone
    kept = tuple(each for each in steps if each.approval is not None) if undivided else steps
    return Asked(revision, kept, deadline_s, rollout.approve.revision, verb, undivided=kept != steps)


def _canary(world: World, roles: Roles, version: Version | None) -> Canary | None:
    """Return what there is of the engine that a rollout brings; None where it needs no other one."""
    if version is None or roles.stable is None or not brings_engine(roles, version):
        return None
    engine, floor = version.engine.id, floor_of(roles)
    usable, unreached = usable_of(world, engine)
    share = share_of(usable, world.ready_of(roles.stable.engine.id), floor) or 0
    share = carried(roles, share, usable, floor, weights_of(world).get(engine, 0))
    found = diagnose(world, engine, asked_of(world, engine) or 1)
    words = f"its engine is ready, but {unreached}" if unreached and found.ready else found.message
    reason, message = found.roomless or (found.reason, words)
    if roles.withheld is not None:
        reason, message = roles.withheld.reason, roles.withheld.message
    return Canary(
        usable=usable,
        able=share * WHOLE // ALL_UNITS,
        through=usable >= max(1, floor) or not roles.replicas,
        asked=bool(asked_of(world, engine)),
        pending=found.roomless is not None,
        alone=roles.alone,
        crashes=max((restarts(pod) for pod in world.pods_of(engine)), default=0),
        withheld=roles.withheld is not None,
        loading=found.pods > usable or bool(found.refused),
        reason=str(reason),
        message=message,
        ending=listed(world, world.ending),
        lost=not found.ready,
    )


def leaving(world: World, roles: Roles, coming: Version | None, progress: Progress) -> Version | None:
    """Return what has to give its requests back before a rollout may have any.

    It can be the same rollout, begun again under the same id because the status was lost in the middle of the ratchet: stable has too few
    pods to carry everything.
    """
    found = left_over(world, roles.stable, coming, progress.id)
    if found is not None or roles.stable is None or progress.state not in COMING:
        return found
    whole = (asked_of(world, roles.stable.engine.id) or 0) >= floor_of(roles, back=True)
    return None if whole else left_over(world, roles.stable, roles.stable)


def seen(world: World, roles: Roles, coming: Version | None, progress: Progress | None, now: datetime) -> Seen:
    """Return what the machine has to know: above all what every ready pod runs of this rollout."""
    stable, live = roles.stable, world.table
    engine, revision = (stable.engine.id, stable.revision.id) if stable else ("", "")
    canary = _canary(world, roles, coming)
    outgoing = leaving(world, roles, coming, progress) if progress and progress.is_active else roles.outgoing
    delivery = deliver(world, live.generation, now, is_live=True) if live else NO_DELIVERY
    mine = [route for route in live.routes if route.slot is not None and progress and route.revision == progress.revision] if live else []
    known = bool(mine) and live is not None and progress is not None and live.salt == progress.id
    going = f"the change to revision {outgoing.revision.id} is taken back first" if outgoing else ""
    return Seen(
        stable=revision,
        pods=world.ready_of(engine) + (canary.usable if canary else 0),
        weight=mine[0].weight * WHOLE // ALL_UNITS if known and not delivery.late else None,
        replicas=roles.replicas,
        late=listed(world, tuple(name for name, _ in delivery.late)) or "pods that are coming up",
        refused=delivery.refused if known else "",
        going=going,
        previous=_previous(world, stable, progress),
        canary=canary,
        sample=live.shadow.sample * WHOLE // ALL_UNITS if known and live and live.shadow else 0,
    )


def _previous(world: World, stable: Version | None, progress: Progress | None) -> str:
    """Return the revision that the last rollout has replaced, if it is still known."""
    replaced = progress.replaced_by(stable.revision.id) if progress is not None and stable is not None else ""
    return replaced if version_of(world, replaced) is not None else ""
