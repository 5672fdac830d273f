"""Whether stable needs a pod or an accelerator that a change of its engine uses or asks for: for its load, or for a pod of its own."""

from dataclasses import replace
from datetime import datetime
from math import ceil

from llm_operator.core.diagnose import accelerators, starved
from llm_operator.core.load import batch_of, load_of
from llm_operator.core.loan import Fleet, Loan, lend
from llm_operator.core.reasons import Reason
from llm_operator.core.roles import Roles, Withheld, asked_of
from llm_operator.core.stored import Engine
from llm_operator.core.target import Target, Version
from llm_operator.core.world import World
from llm_sidecar.table import WHOLE


def withhold(
    world: World, target: Target, roles: Roles, coming: Version | None, now: datetime, *, tried: bool, by_steps: bool, back: bool
) -> tuple[Loan | None, Roles]:
    """Return what is lent to a change of the engine, None where nothing is borrowed, and the roles with what stable keeps.

    With them goes what one pod can carry as the load is, of a change ``by_steps``: without them no change waits for the load.

    What goes ``back`` to the revision before waits for no load either. Nothing is kept for a stable revision that does not serve at all,
    nor from what takes a change back. What is ``tried`` on one pod carries too little to count as one that serves.
    """
    stable = roles.stable
    if stable is None or coming is None or coming.engine.id == stable.engine.id or not roles.replicas:
        return None, roles
    load, headroom = load_of(world, stable.engine), target.spec.rollout.capacity.headroom_percent / 100 if target.spec else 0.0
    if by_steps and not back and target.spec is not None and load.requests:
        slots = min((load.slots, *batch_of(coming.engine)))  # the new engine may compute fewer at once than stable
        roles = replace(roles, each_pod=int(WHOLE * slots * (1 - headroom) / load.requests))
    loan = Loan.read(world.status.get("loan")) if roles.borrows else None
    if roles.borrows and target.spec is not None:  # while the spec cannot be read a loan stays as it is
        serving = world.ready_of(stable.engine.id) + (0 if tried else world.ready_of(coming.engine.id))
        loan = lend(load, Fleet(roles.replicas, serving, headroom), loan, now, back=back)
    if roles.outgoing is not None or not world.ready_of(stable.engine.id):
        return loan, roles
    given = tried and (asked_of(world, stable.engine.id) or 0) < roles.replicas
    return loan, replace(roles, withheld=_starved(world, stable, coming, tried=tried) or _unsafe(loan, given=given))


def _starved(world: World, stable: Version, coming: Version, *, tried: bool) -> Withheld | None:
    """Return why stable gets an accelerator back: a pod of it that waits for one comes before one that is ``tried``."""
    words = claimed(world, stable, coming) if tried else ""
    return Withheld(Reason.CANARY_PREEMPTED, f"stable comes first: {words}") if words else None


def claimed(world: World, stable: Version, other: Version) -> str:
    """Return why a pod of stable waits for an accelerator that one of another engine has or asks for, or nothing.

    A quota counts the resource wherever it is. Nodes that the pods of one engine select by a label that those of the other do not have are
    no use to it.
    """
    lack = starved(world, stable.engine.id)
    if lack is None or lack.resource != accelerators(other.engine.template)[0]:
        return ""
    mine, others = (each.engine.template["spec"].get("nodeSelector", {}) for each in (stable, other))
    apart = any(mine[label] != others[label] for label in mine.keys() & others.keys())
    return "" if apart and not lack.quota else lack.message


def victims(world: World, coming: Engine, lost: Engine) -> int:
    """Return how many pods of an engine have to go for one of another to have the accelerators it lacks; 0 where none of them helps.

    They have to be of the same kind, on nodes that both may use. Where a pod of the first has none either, that is the one that would go.
    """
    lack, (resource, count) = starved(world, coming.id), accelerators(lost.template)
    if lack is None or lack.resource != resource or starved(world, lost.id) is not None:
        return 0
    theirs, its = coming.template["spec"], lost.template["spec"]
    there = theirs.get("nodeSelector", {}).items() <= its.get("nodeSelector", {}).items()
    tolerated = all(each in theirs.get("tolerations", []) for each in its.get("tolerations", []))
    return ceil(accelerators(coming.template)[1] / count) if there and tolerated else 0


def _unsafe(loan: Loan | None, *, given: bool) -> Withheld | None:
    """Return why stable keeps its pods, or gets one back. One that was ``given`` stays where it is for as long as the loan does."""
    if loan is None or (loan.lent and (given or loan.reason != Reason.LOAD_UNKNOWN)):
        return None
    return Withheld(Reason.BORROW_UNSAFE, loan.message)
