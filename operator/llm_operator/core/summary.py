"""The state of a deployment in one word, with reason and sentence: what a user has to know first."""

from dataclasses import dataclass
from datetime import datetime

from llm_operator.core import names
from llm_operator.core.autoscale import Scaling
from llm_operator.core.changes import Changes
from llm_operator.core.clock import seconds_since, stamp
from llm_operator.core.course import Course
from llm_operator.core.delivery import Delivery
from llm_operator.core.diagnose import Diagnosis
from llm_operator.core.kinds import ASIDE, CONFIG_MAP
from llm_operator.core.reasons import Phase, Reason
from llm_operator.core.removal import Removal, listed
from llm_operator.core.roles import Roles, Withheld
from llm_operator.core.rollout.follow import Rollout
from llm_operator.core.rollout.gating import Gating
from llm_operator.core.rollout.progress import State
from llm_operator.core.startup import Start
from llm_operator.core.tables import Snapshot
from llm_operator.core.target import Target
from llm_operator.core.world import Key, World

_COMING = frozenset({Phase.PENDING, Phase.STARTING, Phase.FETCHING, Phase.LOADING})
"""What a pod is at that comes up as it should."""


@dataclass(frozen=True)
class Findings:
    """What the steps of one look have found. ``roles`` are those after a promotion; ``growing`` is what the engine that grows is doing."""

    world: World
    target: Target
    roles: Roles
    changes: Changes
    delivery: Delivery
    growing: Diagnosis
    now: datetime
    course: Course | None
    content: Snapshot | None
    leaves: Removal
    promotes: bool
    rollout: Rollout
    gating: Gating
    scaling: Scaling | None = None
    started: tuple[Start, ...] = ()

    @property
    def writes(self) -> bool:
        """Return whether anything is applied that serves; addresses that changed are a hint in passing."""
        applied = [each for each in self.changes.applies if each.kind not in ASIDE]
        return any(each.kind != CONFIG_MAP or not self.delivery.is_live for each in applied)

    @property
    def unreached(self) -> str:
        """Return which sidecar has not reached the engine that grows although that is ready, or nothing."""
        return self.course.unreached if self.course and self.growing.ready else ""

    @property
    def capped(self) -> bool:
        """Return whether a step asks for more than the pod on trial can carry."""
        course, trial = self.course, self.roles.trial
        return course is not None and trial is not None and course.pinned and course.usable > 0 and course.weight < trial.weight

    @property
    def overloaded(self) -> str:
        """Return that there are new pods, and why no old one goes all the same, or nothing."""
        course = self.course
        if course is None or course.pinned or course.carries >= course.usable:
            return ""
        return f"the load is more than {course.floor} pods may have with headroom, so no old pod goes until it falls or replicas are added"

    @property
    def stays(self) -> Withheld | None:
        """Return why no pod of stable makes way."""
        capped = Withheld(Reason.WEIGHT_CAPPED_BY_CAPACITY, self.overloaded) if self.overloaded else None
        return self.roles.withheld or capped

    def percent(self, revision: str) -> int:
        """Return the share of requests that the table gives a revision."""
        return self.content.percent(revision) if self.content else 0


@dataclass(frozen=True)
class Summary:
    """The state in one word, with why.

    It ``rests`` when only the time of a rollout, its gates, or somebody's decision can change anything; ``waits`` when nobody who waits for
    what was applied should wait for that too.
    """

    phase: Phase
    reason: str
    message: str
    stalled: bool = False
    settled: bool = False
    rests: bool = False
    waits: bool = False


def summarize(found: Findings) -> Summary:
    """Return the state in one word, with why; the first that applies is what a user has to know first."""
    roles, diagnosis = found.roles, found.growing
    summary = _obstacle(found) or _waiting(found) or _by_steps(found)
    if summary is not None:
        return summary
    coming = roles.canary or (roles.stable if roles.outgoing else None)
    if coming is not None and (_serves(found) or _waits_in_entry(found)):
        reason, words = _progress(found)
        return Summary(Phase.UPDATING, reason, f"revision {coming.revision.id} is on its way: {words}")
    done = roles.canary is None and diagnosis.phase in {Phase.READY, Phase.SCALED_TO_ZERO} and _at_rest(found)
    if done and found.leaves.words:
        return Summary(diagnosis.phase, found.leaves.reason, found.leaves.words)
    return (
        _without_pods(found, done=done)
        or _undelivered(found)
        or Summary(diagnosis.phase, diagnosis.reason, diagnosis.message, settled=done)
    )


def _undelivered(found: Findings) -> Summary | None:
    """Return which ready pod does not say that it runs the table: it serves, but nobody knows what. None where all say so."""
    diagnosis, late = found.growing, tuple(name for name, _ in found.delivery.late)
    if diagnosis.phase != Phase.READY or not late:
        return None
    words = f"{diagnosis.message}, but table {found.delivery.generation} is not run by {listed(found.world, late)}"
    return Summary(diagnosis.phase, Reason.DELIVERING, words)


def _without_pods(found: Findings, *, done: bool) -> Summary | None:
    """Return that nobody asks, or that a pod is coming for those who do, where there may be none; else None."""
    entry, diagnosis = names.entry(found.world.owner.name), found.growing
    if not found.roles.sleeps or found.roles.stable is None or _serves(found):
        return None
    if diagnosis.phase == Phase.SCALED_TO_ZERO:
        kept = bool(found.world.entries)
        words = f"{entry} holds requests, and the first one brings a pod" if kept else f"{entry} is not ready to hold requests"
        return Summary(diagnosis.phase, diagnosis.reason, f"there is no pod; {words}", settled=done and kept)
    pods = found.world.pods_of(found.course.growing) if found.course else ()
    longest_s = max((seconds_since(pod["metadata"].get("creationTimestamp"), found.now) for pod in pods), default=0.0)
    if longest_s > found.roles.startup_timeout_s:  # a Deployment that was complete before it was scaled never says so itself
        words = f"not ready within spec.engine.startup.timeout: {diagnosis.message}"
        return Summary(diagnosis.phase, Reason.PROGRESS_DEADLINE_EXCEEDED, words, stalled=True)
    if diagnosis.phase not in _COMING or not found.world.entries:
        return None
    return Summary(Phase.WAKING, diagnosis.reason, f"requests wait in {entry}; {diagnosis.message}")


def _obstacle(found: Findings) -> Summary | None:
    """Return what waiting alone does not clear, or None."""
    target = found.target
    if target.problem is not None:
        return _stalled(target.problem.reason, target.problem.sentence)
    if found.changes.conflicts:
        words = f"{_listed(found.changes.conflicts)} belongs to somebody else; rename this LLMDeployment or delete what is in its way"
        return _stalled(Reason.NAME_CONFLICT, words)
    if target.waiting is not None and target.waiting.stalled:
        return _stalled(target.waiting.reason, target.waiting.message)
    if found.delivery.refused:
        return _stalled(Reason.BUNDLE_REFUSED, f"table {found.delivery.generation} is not run by {found.delivery.refused}")
    return _late(found)


def _late(found: Findings) -> Summary | None:
    """Return that a pod does not come up in its time, or None. A trial has a deadline of its own, and ends by it."""
    diagnosis, progress = found.growing, found.rollout.progress
    if progress is not None and (progress.state, progress.reason) == (State.RATCHETING, Reason.PROGRESS_DEADLINE_EXCEEDED):
        return Summary(Phase.UPDATING, progress.reason, f"{progress.message}: {diagnosis.message}", stalled=True)
    if diagnosis.overdue and not (found.course and found.course.pinned):
        words = f"not ready within spec.engine.startup.timeout: {diagnosis.message}"
        return Summary(diagnosis.phase, "ProgressDeadlineExceeded", words, stalled=True)
    return None


def _waiting(found: Findings) -> Summary | None:
    """Return what has to be there before anything else can be said, or None."""
    if found.changes.leaving:
        words = f"waiting until {_listed(found.changes.leaving)} of an earlier LLMDeployment of this name is deleted"
        return Summary(Phase.PENDING, Reason.NAME_IN_USE, words)
    waiting = found.target.waiting
    if waiting is not None:
        return Summary(Phase.UPDATING if _serves(found) else Phase.RESOLVING, waiting.reason, waiting.message)
    return None


def _by_steps(found: Findings) -> Summary | None:
    """Return where the rollout stands while stable serves, or that what is asked for was aborted; else None."""
    roles, rollout = found.roles, found.rollout
    rests = _at_rest(found) and not found.leaves.words
    if rollout.barred is not None and roles.stable is not None:
        words = f"revision {rollout.barred.revision} was aborted: {rollout.barred.message}; revision {roles.stable.revision.id} stays"
        words += f"; engine {rollout.warm.engine} keeps its pod until {stamp(rollout.warm.until)} for a retry" if rollout.warm else ""
        return Summary(Phase.STALLED, Reason.ABORTED, words, stalled=True, rests=rests)
    progress = rollout.progress
    if roles.trial is None or progress is None or not _serves(found) or progress.state == State.RATCHETING:
        return None
    words = f"revision {progress.revision} is on its way: {progress.message}"
    rests = rests and (progress.state in {State.STEPPING, State.PAUSED} or not roles.tries_engine)
    if progress.state == State.PAUSED or progress.reason == Reason.APPROVAL_REQUIRED:
        return Summary(Phase.PAUSED, progress.reason, words, rests=rests, waits=rests)
    stalled = progress.reason == Reason.PROGRESS_DEADLINE_EXCEEDED
    spec = found.target.spec
    serving = spec is None or spec.rollout.git_ops_health == "Serving"
    return Summary(Phase.UPDATING, progress.reason, words, stalled=stalled, rests=rests, waits=rests and serving)


def _listed(keys: tuple[Key, ...]) -> str:
    return ", ".join(f"{kind.kind} {name}" for kind, name in keys)


def _stalled(reason: str, message: str) -> Summary:
    return Summary(Phase.STALLED, reason, message, stalled=True)


def _at_rest(found: Findings) -> bool:
    changes, delivery, diagnosis = found.changes, found.delivery, found.growing
    asked = found.course.most if found.course else found.roles.replicas
    deletes = [each for each in changes.deletes if each.kind not in ASIDE]
    going = [kind for kind, _ in changes.going if kind not in ASIDE]
    written = not (found.promotes or found.writes or deletes or going)
    return written and delivery.complete and diagnosis.pods == asked and found.roles.outgoing is None


def _serves(found: Findings) -> bool:
    stable = found.roles.stable
    return stable is not None and found.world.ready_of(stable.engine.id) > 0


def _waits_in_entry(found: Findings) -> bool:
    """Return whether requests are kept waiting while one engine replaces the other."""
    return found.roles.replaces and found.roles.stable is not None and bool(found.world.entries)


def _progress(found: Findings) -> tuple[str, str]:
    """Return the step a change is at and what it waits for."""
    delivery, roles, challenger = found.delivery, found.roles, found.roles.challenger
    if challenger is None:
        return Reason.DELIVERING, f"{delivery.acked} of {delivery.of} ready pods run it{_full(found)}"
    began = f"the change to revision {challenger.revision.id} is taken back first; " if roles.outgoing else ""
    if not _serves(found):
        began += f"requests wait in {names.entry(found.world.owner.name)}; "
    share = f"{began}{found.percent(challenger.revision.id)}% of requests go to engine {challenger.engine.id}"
    reason, words = _waits(found)
    return reason, f"{share}; {words}"


def _waits(found: Findings) -> tuple[str, str]:
    """Return what the next step of an engine change waits for."""
    world, delivery, engine = found.world, found.delivery, f"engine {found.course.growing}" if found.course else ""
    if found.stays is not None:
        return found.stays.reason, found.stays.message
    if found.unreached:
        return Reason.REACHING, f"{engine} is ready, but {found.unreached}"
    if delivery.late:
        return Reason.DELIVERING, f"table {delivery.generation} is not run by {listed(world, tuple(name for name, _ in delivery.late))}"
    if found.roles.replaces and found.roles.replicas == 1 and not (world.entries or found.growing.pods):
        return Reason.STARTING, f"the only pod stays until {names.entry(world.owner.name)} is ready to hold requests"
    if found.growing.phase == Phase.READY and world.ending:
        return Reason.DRAINING, f"waiting for the end of {listed(world, world.ending)}"
    return found.growing.reason, f"{engine}: {found.growing.message}"


def _full(found: Findings) -> str:
    full = found.content is not None and found.content.full
    return f"; it is not in the table yet: {found.leaves.words}" if full else ""
