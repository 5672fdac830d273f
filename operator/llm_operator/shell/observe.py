"""Looks at one LLMDeployment: live reads of it and of what carries its label."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from llm_operator.core import kinds, names
from llm_operator.core.actions import Plan
from llm_operator.core.clock import seconds_since
from llm_operator.core.gateway import may_have_route
from llm_operator.core.kinds import BY_KIND, SCALERS, Kind
from llm_operator.core.observed import Children, Observed
from llm_operator.core.reasons import Reason
from llm_operator.core.scaling.rivals import may_have_rivals
from llm_operator.core.scaling.targets import target_of
from llm_operator.shell.errors import ForbiddenError, NotFoundError, StaleError
from llm_operator.shell.news import Seen
from llm_operator.shell.ports import Cluster, Manifest, Telemetry
from llm_operator.shell.queue import Key

Listed = tuple[Manifest, ...]
Objects = Mapping[Kind, Listed]
Unreadable = Mapping[Kind, Reason]
"""Optional kinds that could not be listed, and why."""

EVERYTHING: frozenset[Kind] = frozenset({*kinds.CHILDREN, kinds.POD, kinds.LLM_PROMPT})
RUNNING: frozenset[Kind] = frozenset({kinds.DEPLOYMENT, kinds.POD})
"""What changes by itself while a deployment comes up."""
_MOVES: frozenset[Kind] = frozenset({kinds.CONFIG_MAP, kinds.DEPLOYMENT, kinds.SERVICE})
"""What is changed only for pods as they are now: how many there are, and what each of their sidecars knows."""
_NEW_S = 60.0
_SPARED: frozenset[Kind] = frozenset({*kinds.OPTIONAL, *SCALERS})
"""What everything else goes on without."""
_RESOLVING: frozenset[Kind] = frozenset({kinds.JOB, kinds.POD})


@dataclass(frozen=True)
class Look:
    """One look. Of the kinds in ``read`` it has what there is; of the others what an earlier look read or a write of ours left.

    ``whole_at`` is when everything was last read.
    """

    observed: Observed
    objects: Objects
    read: frozenset[Kind]
    whole_at: float
    unreadable: Unreadable = field(default_factory=dict)

    def backs(self, plan: Plan) -> bool:
        """Return whether every write of a plan rests on what was read for it. A creation does: the server refuses it where it is wrong."""
        changed = {each.kind for each in plan.applies if not each.first} | {each.kind for each in plan.deletes}
        if plan.nudges or changed & _MOVES:
            changed |= {kinds.POD, kinds.DEPLOYMENT}
        return changed <= self.read

    def restores(self, plan: Plan) -> bool:
        """Return whether a plan makes objects for a deployment that had all of its own: they may be gone because it is."""
        return "latestRevision" in self.observed.deployment.get("status", {}) and any(each.first for each in plan.applies)

    def after(self, plan: Plan, applied: Iterable[Manifest]) -> "Look":
        """Return what there is after a plan was carried out; ``applied`` is what the server answered."""
        objects = dict(self.objects)
        for delete in plan.deletes:
            objects[delete.kind] = tuple(each for each in objects.get(delete.kind, ()) if each["metadata"]["name"] != delete.name)
        for live in applied:
            kind, name = BY_KIND[live["kind"]], live["metadata"]["name"]
            objects[kind] = (*(each for each in objects.get(kind, ()) if each["metadata"]["name"] != name), live)
        return replace(self, objects=objects)


@dataclass
class Eye:
    """Looks, and remembers of what it read only the versions: so that the watch's own report of it is known to be no news."""

    cluster: Cluster
    telemetry: Telemetry
    seen: Seen
    now: Callable[[], datetime]
    clock: Callable[[], float]
    optional: frozenset[Kind] = frozenset()
    """Optional kinds there are rights to."""

    async def look(self, key: Key, earlier: Look | None = None, heard: frozenset[Kind] | None = None) -> Look | None:
        """Return what there is of a deployment, or None when it is gone or going: its children go with it.

        Where ``heard`` says of which kinds there is news, an earlier look is enough for the others; without news those kinds are read that
        change by themselves. Of a deployment that was just made and has no status yet nothing can be there, so nothing is read.
        """
        try:
            deployment = await self.cluster.get(kinds.LLM_DEPLOYMENT, key.namespace, key.name)
        except NotFoundError:
            return None
        if self.seen.is_past(deployment):
            self.seen.doubt(self.clock())
            message = f"the answer is of version {deployment['metadata']['resourceVersion']}, and a later one is known"
            raise StaleError(200, "StaleAnswer", message, str(key))
        if "deletionTimestamp" in deployment["metadata"]:
            return None
        self.seen.note(kinds.LLM_DEPLOYMENT, deployment)
        if heard is not None and earlier is None and self._is_new(deployment):
            earlier = Look(Observed(deployment), {}, frozenset(), self.clock())
        everything = EVERYTHING | self.wanted(deployment)
        read = everything if earlier is None or heard is None else _again(earlier, deployment, heard, everything)
        try:
            fresh, unreadable = await self._read(key.namespace, deployment, read)
        except StaleError:
            self.seen.doubt(self.clock())
            raise
        self.seen.trust()
        found = {**(earlier.objects if earlier else {}), **fresh}
        unreadable = {**(earlier.unreadable if earlier else {}), **unreadable}
        unreadable = {kind: reason for kind, reason in unreadable.items() if kind not in fresh}
        found = {kind: objects for kind, objects in found.items() if kind not in unreadable}
        whole_at = self.clock() if earlier is None or read == everything else earlier.whole_at
        return Look(await self.assemble(deployment, found, unreadable), found, read, whole_at, unreadable)

    def wanted(self, deployment: Manifest) -> frozenset[Kind]:
        """Return the optional kinds that have to be read for a deployment."""
        routes = self.optional - frozenset(SCALERS) if may_have_route(deployment) else frozenset[Kind]()
        return routes | (self.optional & frozenset(SCALERS) if may_have_rivals(deployment) else frozenset())

    async def is_there(self, look: Look) -> bool:
        """Return whether the deployment of a look is there still. If it is, then its objects were not collected while they were listed."""
        metadata = look.observed.deployment["metadata"]
        try:
            live = await self.cluster.get(kinds.LLM_DEPLOYMENT, metadata["namespace"], metadata["name"])
        except NotFoundError:
            return False
        return bool(live["metadata"]["uid"] == metadata["uid"]) and "deletionTimestamp" not in live["metadata"]

    async def assemble(self, deployment: Manifest, found: Objects, unreadable: Unreadable) -> Observed:
        """Return what a plan looks at: a deployment, its objects, and what its sidecars say."""
        metadata = deployment["metadata"]
        named = f"{metadata['namespace']}/{metadata['name']}"
        pods = [pod for pod in found.get(kinds.POD, ()) if _has_sidecar(pod)]
        return Observed(
            deployment=deployment,
            prompt=next(iter(found.get(kinds.LLM_PROMPT, ())), None),
            children=Children(
                deployments=found.get(kinds.DEPLOYMENT, ()),
                services=found.get(kinds.SERVICE, ()),
                config_maps=found.get(kinds.CONFIG_MAP, ()),
                controller_revisions=found.get(kinds.CONTROLLER_REVISION, ()),
                jobs=found.get(kinds.JOB, ()),
                pdbs=found.get(kinds.POD_DISRUPTION_BUDGET, ()),
                network_policies=found.get(kinds.NETWORK_POLICY, ()),
                http_routes=found.get(kinds.HTTP_ROUTE, ()),
            ),
            pods=tuple(pods),
            job_pods=tuple(pod for pod in found.get(kinds.POD, ()) if not _has_sidecar(pod)),
            reports=await self.telemetry.reports(pod for pod in pods if pod.get("status", {}).get("phase") == "Running"),
            statistics=self.telemetry.statistics(named),
            answers=self.telemetry.answers(named),
            watched=self.telemetry.watched(named),
            scalers=tuple(each for kind in SCALERS for each in found.get(kind, ())),
            unreadable={kind.kind: reason for kind, reason in unreadable.items()},
        )

    async def _read(self, namespace: str, deployment: Manifest, read: Iterable[Kind]) -> tuple[Objects, Unreadable]:
        wanted = list(read)
        listed = await asyncio.gather(*(tolerant(kind, self._of_kind(kind, namespace, deployment)) for kind in wanted))
        return split(wanted, listed)

    async def _of_kind(self, kind: Kind, namespace: str, deployment: Manifest) -> tuple[Manifest, ...]:
        if kind == kinds.LLM_PROMPT:
            return await self._prompt(namespace, prompt_name(deployment))
        if kind in SCALERS:
            listed = await self.cluster.list(kind, namespace)
            return tuple(each for each in listed if target_of(each) == deployment["metadata"]["name"])
        labels, not_before = selector(deployment["metadata"]["name"]), self.seen.not_before(kind)
        listed = await self.cluster.list(kind, namespace, labels=labels, not_before=not_before)
        for each in listed:
            self.seen.note(kind, each)
        return tuple(listed)

    async def _prompt(self, namespace: str, name: str | None) -> tuple[Manifest, ...]:
        if name is None:
            return ()
        try:
            return (await self.cluster.get(kinds.LLM_PROMPT, namespace, name),)
        except NotFoundError:
            return ()

    def _is_new(self, deployment: Manifest) -> bool:
        age_s = seconds_since(deployment["metadata"].get("creationTimestamp"), self.now())
        return "status" not in deployment and age_s < _NEW_S

    async def find(self, namespace: str, wanted: Iterable[tuple[Kind, str]]) -> tuple[Manifest, ...]:
        """Return those of some objects that are there, whosever they are."""
        found = []
        for kind, name in wanted:
            try:
                found.append(await self.cluster.get(kind, namespace, name))
            except NotFoundError:
                continue
        return tuple(found)


async def tolerant(kind: Kind, listing: Awaitable[Listed]) -> Listed | Reason:
    """Return what a list says, or of an optional kind why it says nothing: the cluster need not have it, nor the operator the right."""
    try:
        return await listing
    except NotFoundError:
        if kind in _SPARED:
            return Reason.KIND_MISSING
        raise
    except ForbiddenError:
        if kind in _SPARED:
            return Reason.FORBIDDEN
        raise


def split(wanted: Iterable[Kind], listed: Iterable[Listed | Reason]) -> tuple[dict[Kind, Listed], dict[Kind, Reason]]:
    """Return which lists say what, and which say nothing and why."""
    pairs = list(zip(wanted, listed, strict=True))
    found = {kind: objects for kind, objects in pairs if not isinstance(objects, Reason)}
    return found, {kind: reason for kind, reason in pairs if isinstance(reason, Reason)}


def _has_sidecar(pod: Manifest) -> bool:
    """Return whether a pod takes requests, with an engine or without; a resolver's does not."""
    return not {names.LABEL_ENGINE, names.LABEL_ROLE}.isdisjoint(pod["metadata"]["labels"])


def selector(deployment: str) -> str:
    """Return the label selector of everything that belongs to a deployment."""
    return ",".join(f"{label}={value}" for label, value in names.managed_labels(deployment).items())


def prompt_name(deployment: Mapping[str, Any]) -> str | None:
    """Return the name of the LLMPrompt a deployment refers to."""
    name = ((deployment.get("spec", {}).get("prompt") or {}).get("ref") or {}).get("name")
    return str(name) if name else None


def _again(earlier: Look, deployment: Manifest, heard: frozenset[Kind], everything: frozenset[Kind]) -> frozenset[Kind]:
    """Return which kinds to read again."""
    known = earlier.objects.keys() | (earlier.unreadable.keys() & frozenset(SCALERS))  # a route is waited for, a rival is not
    read = heard & everything | (everything - EVERYTHING - known)
    if kinds.LLM_DEPLOYMENT in heard:
        read |= everything & frozenset(SCALERS)  # a scaler writes there, and then it is there itself
    if not heard and earlier.read:
        read |= RUNNING
    if earlier.objects.get(kinds.JOB):
        read |= _RESOLVING
    if kinds.LLM_PROMPT not in earlier.objects or prompt_name(deployment) != prompt_name(earlier.observed.deployment):
        read |= {kinds.LLM_PROMPT}
    return read
