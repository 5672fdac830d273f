"""From what there should be and what there is to the fewest writes that lead from one to the other."""

from dataclasses import dataclass

from llm_operator.core.actions import Apply, Decision, Delete
from llm_operator.core.diff import differs
from llm_operator.core.kinds import BY_KIND, JOB, Kind
from llm_operator.core.names import FIELD_MANAGER
from llm_operator.core.observed import Obj
from llm_operator.core.reasons import Reason
from llm_operator.core.world import Key, World


@dataclass(frozen=True)
class Changes:
    """Writes to make, and names they have to wait for: those somebody else has, an earlier owner leaves, or a deletion still holds."""

    applies: tuple[Apply, ...] = ()
    deletes: tuple[Delete, ...] = ()
    conflicts: tuple[Key, ...] = ()
    leaving: tuple[Key, ...] = ()
    going: tuple[Key, ...] = ()


def changes(world: World, desired: tuple[Obj, ...], *, prune: frozenset[Kind], retained: frozenset[Key]) -> Changes:
    """Return the writes. While a name is not ours nothing new is created and nothing deleted: half a deployment helps nobody."""
    keys = {key(each): each for each in desired}
    conflicts = tuple(each for each in keys if each in world.foreign)
    leaving = tuple(each for each in keys if each in world.leaving)
    going = tuple(each for each in keys if _going(world, each))
    applies = tuple(apply for each, manifest in keys.items() if each not in going and (apply := _apply(world, each, manifest)) is not None)
    if conflicts or leaving:
        return Changes(tuple(each for each in applies if not each.first), (), conflicts, leaving, going)
    surplus = [each for each in world.owned if each not in keys and each[0] in prune and not _going(world, each)]
    deletes = tuple(_delete(each, world.owned[each]) for each in surplus if each not in retained)
    return Changes(applies, deletes, going=going)


def key(manifest: Obj) -> Key:
    """Return what names an object within its namespace."""
    return BY_KIND[manifest["kind"]], manifest["metadata"]["name"]


def decisions(found: Changes) -> tuple[Decision, ...]:
    """Return what the writes are, in words for the log."""
    applied = [Decision(Reason.CREATED if each.first else Reason.UPDATED, f"{each.kind.kind} {each.name}") for each in found.applies]
    deleted = [Decision(Reason.DELETED, f"{each.kind.kind} {each.name}: {each.reason}") for each in found.deletes]
    return (*applied, *deleted)


def _apply(world: World, each: Key, manifest: Obj) -> Apply | None:
    live = world.owned.get(each)
    if live is None:
        return Apply(manifest, force=False)
    if each[0] == JOB or not differs(manifest, live, FIELD_MANAGER):
        return None  # a Job is what it was made as; its template cannot be changed
    # Without its uid an apply to what has just been deleted would make it again, for an owner that may be gone as well.
    precondition = {name: live["metadata"][name] for name in ("uid", "resourceVersion")}
    return Apply({**manifest, "metadata": {**manifest["metadata"], **precondition}}, force=True)


def _delete(each: Key, live: Obj) -> Delete:
    kind, name = each
    reason = "its answer is in the status" if kind == JOB else "nothing asks for it any more"
    return Delete(kind, name, live["metadata"]["uid"], reason)


def _going(world: World, each: Key) -> bool:
    """An object of ours that is being deleted cannot be changed any more, and its name is not free yet."""
    live = world.owned.get(each)
    return live is not None and "deletionTimestamp" in live["metadata"]
