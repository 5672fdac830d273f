"""The verb ``refresh``: every reference resolved and the pod template rendered anew; a new engine only if something differs.

What it decides needs no memory of its own. The new engine is stored before anything runs on it, as the last rendering for its inputs, and
is what every later look finds for the same spec. Until the status says Done the verb runs, so a look after a crash decides again.
"""

from dataclasses import replace
from datetime import datetime

from llm_operator.api.config import OperatorConfig
from llm_operator.core import names, verbs
from llm_operator.core.observed import Observed
from llm_operator.core.prompts import Check
from llm_operator.core.reasons import Reason
from llm_operator.core.resolver import Waiting
from llm_operator.core.target import Target, Version, find_target
from llm_operator.core.verbs import Action, Outcome
from llm_operator.core.world import World

_TIDY_S = 1.0
"""After which the Job of a refresh that is done may go."""


def target_of(world: World, observed: Observed, config: OperatorConfig, now: datetime, check: Check) -> Target:
    """Return what is asked for: by the spec, and by a verb that is to be done."""
    target = find_target(world, observed, config, now, check)
    text = (observed.deployment["metadata"].get("annotations") or {}).get(names.ANNOTATION_ACTION)
    log = verbs.take(verbs.read(world.status), text, world.latest, now)
    action = verbs.running(log)
    if action is None or action.verb != verbs.REFRESH:
        return replace(target, actions=log)
    anew = find_target(world, observed, config, now, check, anew=action.id)
    outcome = anew.outcome
    if isinstance(outcome, Version):
        done = _done(action, world, outcome, now)
        return replace(anew, actions=verbs.answered(log, done), jobs=(*target.jobs, *anew.jobs), look_s=_TIDY_S)
    if isinstance(outcome, Waiting) and outcome.reason == Reason.RESOLVING:
        action, look_s = action.turned(Outcome.RUNNING, outcome.message, now), outcome.next_look_s
    else:
        words = outcome.message if isinstance(outcome, Waiting) else outcome.sentence
        action, look_s = action.turned(Outcome.FAILED, f"nothing was changed: {words}", now), _TIDY_S
    return replace(target, actions=verbs.answered(log, action), jobs=(*target.jobs, *anew.jobs), look_s=look_s)


def _done(action: Action, world: World, version: Version, now: datetime) -> Action:
    now_asked, before = version.revision.id, world.stored.revision(action.revision)
    if now_asked == action.revision:
        words = f"Nothing to refresh: revision {now_asked} is what its references and this operator would make now"
    elif before is not None and before.engine == version.engine.id:
        words = f"revision {now_asked} takes the place of {action.revision} on the same engine"
    else:
        words = f"revision {now_asked} on the new engine {version.engine.id} takes the place of {action.revision}"
    return action.turned(Outcome.DONE, words, now, result=now_asked)
