"""One look at one custom resource: observe, plan, execute, status, requeue."""

import asyncio
import contextlib
import logging
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar

from llm_operator.api.config import OperatorConfig
from llm_operator.core import kinds
from llm_operator.core.actions import Decision, Plan
from llm_operator.core.kinds import BY_KIND, Kind
from llm_operator.core.observed import Observed
from llm_operator.core.plan import plan
from llm_operator.core.plan_prompt import plan_prompt
from llm_operator.core.prompts import Check
from llm_operator.core.scaling.decide import Memory
from llm_operator.shell import prompts
from llm_operator.shell.checker import UntriedError
from llm_operator.shell.errors import ConflictError, NotFoundError, RejectedError, TerminatingError, TransientError
from llm_operator.shell.events import event
from llm_operator.shell.execute import Outcome, execute, write_events, write_status
from llm_operator.shell.inbox import Heard, Inbox
from llm_operator.shell.logging import log
from llm_operator.shell.looks import KEPT_S, Looks
from llm_operator.shell.metrics import Metrics
from llm_operator.shell.observe import Eye, Look, prompt_name
from llm_operator.shell.ports import Cluster, Manifest
from llm_operator.shell.queue import BACKOFF_CAP_S, Key, Result
from llm_operator.shell.refusal import REASON, refused, spared
from llm_sidecar.bundle import BundleError

T = TypeVar("T")

_USERS_S = 10.0
"""Time between two looks at who uses a prompt: each reads all deployments of the namespace."""
_AWAY_S = 15.0
"""Longest time between two tries while the API server does not answer at all: once it is back, nothing else says so."""
_TRIES = 12
"""Looks in one pass: one more for a plan that needs to see everything, and one for each name that is taken."""


@dataclass
class Reconciler:
    """Works on keys; everything it needs to know of the world comes through its ports and the time."""

    cluster: Cluster
    eye: Eye
    inbox: Inbox
    config: OperatorConfig
    check: Check
    """Answers at once, or raises UntriedError for a bundle that ``try_out`` has to be called with first."""
    try_out: Check
    now: Callable[[], datetime]
    clock: Callable[[], float]
    metrics: Metrics
    instance: str
    _said: dict[Key, tuple[Decision, ...]] = field(default_factory=dict)
    _taken: dict[Key, set[tuple[Kind, str]]] = field(default_factory=dict)
    _looks: Looks = field(default_factory=Looks)

    async def __call__(self, key: Key) -> Result:
        """Look at a key and never raise: what goes wrong is logged, counted and tried again."""
        began = self.clock()
        heard = self.inbox.begin(key)
        try:
            word, result = await self._guarded(key, heard)
        finally:
            self.inbox.end(key)
        self.metrics.reconciled(key.kind, word, self.clock() - began)
        if result.failed:
            self._looks.forget(key)
            self.inbox.doubt(key)
        return result

    async def _guarded(self, key: Key, heard: Heard | None) -> tuple[str, Result]:
        try:
            result = await (self._llm_deployment(key, heard) if key.kind == kinds.LLM_DEPLOYMENT.kind else self._llm_prompt(key))
        except TerminatingError:
            return "terminating", Result()  # everything in it is going, nothing can come
        except (ConflictError, NotFoundError) as error:
            log(logging.DEBUG, str(error), deployment=str(key))
            return "conflict", Result(failed=True)
        except TransientError as error:
            log(logging.WARNING, str(error), deployment=str(key), reason=error.reason)
            patience_s = BACKOFF_CAP_S if error.status else _AWAY_S
            return "transient", Result(failed=True, retry_after_s=error.retry_after_s or 0, patience_s=patience_s)
        except RejectedError as error:
            log(logging.WARNING, str(error), deployment=str(key), reason=error.reason)
            return "rejected", Result(failed=True)
        except Exception as error:  # noqa: BLE001  # a bug must not take the other deployments down with it
            log(logging.ERROR, f"bug: {error!r}", deployment=str(key), traceback=traceback.format_exc())
            return "bug", Result(failed=True)
        return ("rejected" if result.failed else "ok"), result

    async def _llm_deployment(self, key: Key, heard: Heard | None) -> Result:
        if key in self._taken:
            heard = None
        look = await self._look(key, None if heard is None else self._looks.earlier(key, self.clock()), heard)
        for _ in range(_TRIES):
            if look is None:
                return await self._gone(key)
            decided = await self.decide(look.observed)
            if look.backs(decided) and (not look.restores(decided) or await self.eye.is_there(look)):
                self._say(key, decided)
                outcome = await execute(self.cluster, decided, key.namespace, self.metrics.wrote)
                if outcome.taken is None:
                    return await self._done(key, look, decided, outcome)
                self._taken.setdefault(key, set()).add(outcome.taken)
            look = await self._look(key)
        return Result(failed=True)

    async def _look(self, key: Key, earlier: Look | None = None, heard: Heard | None = None) -> Look | None:
        """Look at a deployment, and at what is there under those of its names that were found taken."""
        look = await self.eye.look(key, earlier, heard)
        if look is None or key not in self._taken:
            return look
        foreign = await self.eye.find(key.namespace, sorted(self._taken.pop(key), key=str))
        if foreign:
            self._taken[key] = {(BY_KIND[each["kind"]], each["metadata"]["name"]) for each in foreign}
        return replace(look, observed=replace(look.observed, foreign=foreign))

    async def _gone(self, key: Key) -> Result:
        self._said.pop(key, None)
        self._taken.pop(key, None)
        self._looks.forget(key)
        self.inbox.absent(key)
        self.eye.telemetry.follow(str(key), (), (), ())
        self.eye.telemetry.watch(str(key), (), {}, Memory())
        self.eye.telemetry.listen(str(key), ())
        await self._tell_prompts(key, None)
        return Result()

    async def _done(self, key: Key, look: Look, decided: Plan, outcome: Outcome) -> Result:
        """Remember what was written, have asked what gates need to know, and report."""
        self.eye.telemetry.follow(str(key), look.observed.pods, decided.asks, decided.questions)
        self.eye.telemetry.watch(str(key), look.observed.pods, decided.watches, decided.memory, decided.alarm)
        self.eye.telemetry.listen(str(key), look.observed.pods if decided.sleeps else ())
        for live in outcome.applied:
            self.eye.seen.note(BY_KIND[live["kind"]], live)
        if decided.next_look_s is None or decided.next_look_s > KEPT_S:
            self._looks.forget(key)
        else:
            self._looks.keep(key, look.after(decided, outcome.applied))
        refusal = outcome.refusal
        if refusal:
            log(logging.WARNING, f"{refusal.what} refused: {refusal.message}", deployment=str(key), reason=REASON)
            decided = refused(decided, look.observed.deployment, refusal, self.now())
        if without := outcome.spared:
            log(logging.WARNING, f"{without.what} refused: {without.message}", deployment=str(key), reason=REASON)
            decided = spared(decided, look.observed.deployment, without, self.now())
        await self._report(look.observed, decided)
        return Result(next_look_s=decided.next_look_s, failed=bool(refusal or without))

    async def decide(self, observed: Observed) -> Plan:
        """Return the plan for what was observed."""
        return await self._with_verdicts(lambda check: plan(observed, self.config, self.now(), check))

    async def decide_prompt(self, prompt: Manifest, users: Sequence[str]) -> dict[str, Any]:
        """Return the status of an LLMPrompt."""
        return await self._with_verdicts(lambda check: plan_prompt(prompt, users, self.now(), check))

    async def _with_verdicts(self, decide: Callable[[Check], T]) -> T:
        """Decide, which takes a millisecond; trying a bundle out may take seconds, so that is done in a thread."""
        while True:
            try:
                return decide(self.check)
            except UntriedError as untried:
                with contextlib.suppress(BundleError):
                    await asyncio.to_thread(self.try_out, untried.bundle, untried.tests)

    async def _report(self, observed: Observed, decided: Plan) -> None:
        """Write the status, and only when it went through tell of what changed."""
        about = observed.deployment
        if live := await write_status(self.cluster, about, decided.status, self.metrics.wrote):
            self.eye.seen.note(kinds.LLM_DEPLOYMENT, live)
            said = [event(about, draft, self.instance, self.now()) for draft in decided.events]
            await write_events(self.cluster, said, self.metrics.wrote)
            _tell(about, decided.status)
        known, name = about.get("status", {}).get("observedGeneration"), prompt_name(about)
        if about["metadata"]["generation"] != known and (name or known is not None):
            metadata = about["metadata"]
            await self._tell_prompts(Key(about["kind"], metadata["namespace"], metadata["name"]), name)

    async def _tell_prompts(self, key: Key, refers_to: str | None) -> None:
        """Ask for a look at every prompt that is wrong about who uses it."""
        listed = await self.cluster.list(kinds.LLM_PROMPT, key.namespace)
        for name in prompts.outdated(listed, key.name, refers_to):
            self.inbox.ask(Key(kinds.LLM_PROMPT.kind, key.namespace, name), gap_s=_USERS_S)

    async def _llm_prompt(self, key: Key) -> Result:
        deployments = await self.cluster.list(kinds.LLM_DEPLOYMENT, key.namespace)
        users = prompts.users(deployments, key.name)
        try:
            prompt = await self.cluster.get(kinds.LLM_PROMPT, key.namespace, key.name)
        except NotFoundError:
            self._add_users(key, users)
            return Result()
        self.eye.seen.note(kinds.LLM_PROMPT, prompt)
        status = await self.decide_prompt(prompt, users)
        if not prompts.same_prompt(status, prompt.get("status", {})):
            self._add_users(key, users)  # before the write: what a crash loses then is done again
        if live := await write_status(self.cluster, prompt, status, self.metrics.wrote):
            self.eye.seen.note(kinds.LLM_PROMPT, live)
        return Result()

    def _add_users(self, key: Key, users: list[str]) -> None:
        for user in users:
            self.inbox.ask(Key(kinds.LLM_DEPLOYMENT.kind, key.namespace, user), kinds.LLM_PROMPT)

    def _say(self, key: Key, decided: Plan) -> None:
        """Log what was decided: at INFO what was not decided the last time."""
        known = self._said.get(key, ())
        for decision in decided.decisions:
            level = logging.DEBUG if decision in known else logging.INFO
            revision = decided.status.get("latestRevision")
            log(level, decision.message, deployment=str(key), revision=revision, reason=decision.reason)
        self._said[key] = decided.decisions


def _tell(about: Manifest, status: Manifest) -> None:
    """Log that a deployment has come into another state."""
    before = about.get("status", {})
    if any(status.get(name) != before.get(name) for name in ("phase", "reason")):
        metadata = about["metadata"]
        name, revision = f"{metadata['namespace']}/{metadata['name']}", status.get("latestRevision")
        log(logging.INFO, f"{status['phase']}: {status['message']}", deployment=name, revision=revision, reason=status["reason"])
