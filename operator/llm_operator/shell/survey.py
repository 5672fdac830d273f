"""Compares everything there is with what there should be, and says which keys need a look: many at once, with few requests.

Each kind is listed once for a batch of deployments, so that neither the number of requests nor the memory grows with each of them.
"""

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from llm_operator.core import kinds, names
from llm_operator.core.actions import Plan
from llm_operator.core.kinds import LLM_DEPLOYMENT, SCALERS, Kind
from llm_operator.core.observed import Observed
from llm_operator.core.scaling.targets import target_of
from llm_operator.shell.logging import log
from llm_operator.shell.observe import Eye, Listed, Unreadable, prompt_name, split, tolerant
from llm_operator.shell.ports import Cluster, Manifest
from llm_operator.shell.queue import Key

T = TypeVar("T")

_BATCH = 25
_LISTED = (*kinds.CHILDREN, kinds.POD)

Decide = Callable[[Observed], Awaitable[Plan]]
DecidePrompt = Callable[[Manifest, Sequence[str]], Awaitable[dict[str, Any]]]
Belongings = dict[Key, dict[Kind, Listed]]
"""The objects of each key by kind."""


@dataclass
class Found:
    """What a survey has found: the version of each custom resource, which need a look, and which one in how many seconds."""

    versions: dict[Key, str] = field(default_factory=dict)
    differ: list[Key] = field(default_factory=list)
    later: dict[Key, float] = field(default_factory=dict)

    def add(self, other: "Found") -> None:
        """Add what another survey has found."""
        self.versions |= other.versions
        self.differ += other.differ
        self.later |= other.later


@dataclass
class Surveyor:
    """Reads in batches and decides as a look would, but writes nothing."""

    cluster: Cluster
    eye: Eye
    decide: Decide
    decide_prompt: DecidePrompt

    async def survey(self, namespace: str | None) -> Found:
        """Return what there is in a namespace; None means all of them."""
        found = Found()
        users: dict[Key, list[str]] = defaultdict(list)
        listed = await self.cluster.list(kinds.LLM_PROMPT, namespace)
        prompts = {_key(each): each for each in listed}
        async with contextlib.aclosing(self._read(namespace)) as batches:
            async for batch, children, unreadable in batches:
                for deployment in batch:
                    found.versions[_key(deployment)] = deployment["metadata"]["resourceVersion"]
                    if ref := _ref(deployment):
                        users[ref].append(deployment["metadata"]["name"])
                await self._compare(batch, children, unreadable, prompts, found)
        for key, prompt in prompts.items():
            found.versions[key] = prompt["metadata"]["resourceVersion"]
            status = await _unless_it_fails(key, self.decide_prompt(prompt, users[key]))
            if status is None or status != prompt.get("status"):
                found.differ.append(key)
            else:
                self.eye.seen.note(kinds.LLM_PROMPT, prompt)
        return found

    async def _read(self, namespace: str | None) -> AsyncGenerator[tuple[list[Manifest], Belongings, Unreadable]]:
        """Yield each batch with what belongs to it, and let the server work on the next one meanwhile."""
        batches = self._batches(namespace)
        ahead = asyncio.ensure_future(self._next(batches, namespace))
        try:
            while (read := await ahead) is not None:
                ahead = asyncio.ensure_future(self._next(batches, namespace))
                yield read
        finally:
            ahead.cancel()
            await asyncio.gather(ahead, return_exceptions=True)

    async def _next(
        self, batches: AsyncIterator[list[Manifest]], namespace: str | None
    ) -> tuple[list[Manifest], Belongings, Unreadable] | None:
        batch = await anext(batches, None)
        return None if batch is None else (batch, *await self._children(namespace, batch))

    async def _batches(self, namespace: str | None) -> AsyncIterator[list[Manifest]]:
        async for page in self.cluster.pages(kinds.LLM_DEPLOYMENT, namespace, size=_BATCH):
            yield [each for each in page if "deletionTimestamp" not in each["metadata"]]

    async def _compare(
        self, batch: list[Manifest], children: Belongings, unreadable: Unreadable, prompts: Mapping[Key, Manifest], found: Found
    ) -> None:
        seen = await asyncio.gather(*(self._assemble(each, children[_key(each)], unreadable, prompts) for each in batch))
        for observed in seen:
            key = _key(observed.deployment)
            plan = await _unless_it_fails(key, self.decide(observed))
            if plan is None or plan.applies or plan.deletes or plan.nudges or plan.status != observed.deployment.get("status", {}):
                found.differ.append(key)
                continue
            if plan.next_look_s is not None:
                found.later[key] = plan.next_look_s
            self.eye.seen.note(kinds.LLM_DEPLOYMENT, observed.deployment)
            for kind, objects in children[key].items():
                for each in objects if kind not in SCALERS else ():
                    self.eye.seen.note(kind, each)

    async def _children(self, namespace: str | None, batch: list[Manifest]) -> tuple[Belongings, Unreadable]:
        """Return the objects of each of a batch by kind, and the optional kinds that cannot be read."""
        found: Belongings = {_key(each): {} for each in batch}
        if not batch:
            return found, {}
        wanted = ",".join(sorted({each["metadata"]["name"] for each in batch}))
        labels = f"{names.LABEL_MANAGED_BY}={names.MANAGED_BY},{names.LABEL_DEPLOYMENT} in ({wanted})"
        kinds_of = (*_LISTED, *frozenset[Kind]().union(*(self.eye.wanted(each) for each in batch)))
        listed, unreadable = split(
            kinds_of, await asyncio.gather(*(tolerant(kind, self._list(kind, namespace, labels)) for kind in kinds_of))
        )
        for kind, objects in listed.items():
            for each in objects:
                owner = found.get(_owner(kind, each))
                if owner is not None:
                    owner[kind] = (*owner.get(kind, ()), each)
        return found, unreadable

    async def _list(self, kind: Kind, namespace: str | None, labels: str) -> Listed:
        return tuple(await self.cluster.list(kind, namespace, labels="" if kind in SCALERS else labels))

    async def _assemble(
        self, deployment: Manifest, children: Mapping[Kind, Listed], unreadable: Unreadable, prompts: Mapping[Key, Manifest]
    ) -> Observed:
        ref = _ref(deployment)
        prompt = prompts.get(ref) if ref else None
        objects = {**children, **({kinds.LLM_PROMPT: (prompt,)} if prompt else {})}
        return await self.eye.assemble(deployment, objects, unreadable)


async def _unless_it_fails(key: Key, deciding: Awaitable[T]) -> T | None:
    """Return what is decided, or None when that fails: its own look tells what is wrong with it, and the others are surveyed on."""
    try:
        return await deciding
    except Exception as error:  # noqa: BLE001  # one of them must not take the survey of all down with it
        log(logging.WARNING, f"not surveyed, it gets a look of its own: {error!r}", deployment=str(key))
        return None


def _key(live: Manifest) -> Key:
    return Key(live["kind"], live["metadata"]["namespace"], live["metadata"]["name"])


def _owner(kind: Kind, live: Manifest) -> Key:
    """Return the key an object belongs to: what is of others by what it targets, what is ours by its label."""
    metadata = live["metadata"]
    name = target_of(live) if kind in SCALERS else metadata["labels"][names.LABEL_DEPLOYMENT]
    return Key(LLM_DEPLOYMENT.kind, metadata["namespace"], name)


def _ref(deployment: Manifest) -> Key | None:
    """Return the key of the LLMPrompt a deployment refers to."""
    name = prompt_name(deployment)
    return Key(kinds.LLM_PROMPT.kind, deployment["metadata"]["namespace"], name) if name else None
