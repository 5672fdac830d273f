"""One look, sorted once: which objects are ours, which are going, which are somebody else's, and which pods count."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from llm_operator.core import names
from llm_operator.core.fields import applied_by
from llm_operator.core.kinds import BY_KIND, CONFIG_MAP, DEPLOYMENT, LLM_DEPLOYMENT, Kind
from llm_operator.core.observed import Obj, Observed, SidecarReport
from llm_operator.core.reasons import Reason
from llm_operator.core.rebuild import complete, resolutions
from llm_operator.core.render.meta import Owner
from llm_operator.core.scaling.targets import rivals
from llm_operator.core.stored import Stored
from llm_sidecar.table import TABLE_KEY, Table, TableError, decode

Key = tuple[Kind, str]


@dataclass(frozen=True)
class World:
    """What later steps look at. ``owned`` is what we may change, ``leaving`` what an earlier owner of our name leaves behind.

    ``table`` and ``bundles`` are what the live snapshot holds; there is no table when somebody has broken it.
    """

    owner: Owner
    generation: int
    status: Mapping[str, Any]
    owned: Mapping[Key, Obj]
    leaving: frozenset[Key]
    foreign: Mapping[Key, Obj]
    pods: tuple[Obj, ...]
    job_pods: tuple[Obj, ...]
    reports: Mapping[str, SidecarReport | None]
    stored: Stored
    table: Table | None
    bundles: Mapping[str, str]
    unreadable: Mapping[str, Reason] = field(default_factory=dict)
    scalers: tuple[str, ...] = ()
    """What of others sets the number of replicas, by kind and name."""

    def live(self, kind: Kind, name: str) -> Obj | None:
        """Return an object of ours that exists and is not being deleted."""
        found = self.owned.get((kind, name))
        return None if found is None or "deletionTimestamp" in found["metadata"] else found

    def of_kind(self, kind: Kind) -> dict[str, Obj]:
        """Return our objects of one kind by name."""
        return self._by_kind.get(kind, {})

    @cached_property
    def _by_kind(self) -> dict[Kind, dict[str, Obj]]:
        found: dict[Kind, dict[str, Obj]] = {}
        for (kind, name), each in self.owned.items():
            found.setdefault(kind, {})[name] = each
        return found

    def pods_of(self, engine: str) -> tuple[Obj, ...]:
        """Return the pods of one engine that are not on their way out."""
        return self._pods.get(engine, ())

    def ready_of(self, engine: str) -> int:
        """Return how many pods of one engine take requests."""
        return self._ready.get(engine, 0)

    @cached_property
    def _pods(self) -> dict[str, tuple[Obj, ...]]:
        """The pods that are not on their way out by engine, sorted once: a look asks for them many times."""
        found: dict[str, list[Obj]] = {}
        for pod in self.pods:
            if not terminating(pod):
                found.setdefault(engine_of(pod), []).append(pod)
        return {engine: tuple(pods) for engine, pods in found.items()}

    @cached_property
    def _ready(self) -> dict[str, int]:
        return {engine: sum(map(ready, pods)) for engine, pods in self._pods.items()}

    @cached_property
    def takers(self) -> tuple[Obj, ...]:
        """Return the pods that take requests."""
        return tuple(filter(ready, self.pods))

    def held_by(self, engine: str) -> tuple[Obj, ...]:
        """Return the pods of one engine that may still hold an accelerator, those on their way out included."""
        return tuple(pod for pod in self.pods if engine_of(pod) == engine and not finished(pod))

    @property
    def ending(self) -> tuple[str, ...]:
        """Return the names of the pods with an engine that are on their way out and may still hold an accelerator."""
        return tuple(_name(pod) for pod in self.pods if engine_of(pod) and terminating(pod) and not finished(pod))

    @property
    def has_entry(self) -> bool:
        """Return whether there is a Deployment of sidecars without an engine."""
        return self.live(DEPLOYMENT, names.entry(self.owner.name)) is not None

    @property
    def entries(self) -> tuple[Obj, ...]:
        """Return the pods without an engine that can hold requests now."""
        return tuple(pod for pod in self.takers if not engine_of(pod))

    @cached_property
    def sidecars(self) -> tuple[Obj, ...]:
        """Return the pods whose sidecar runs, those on their way out included: each may still pass requests on."""
        return tuple(pod for pod in self.pods if _has_sidecar(pod))

    def report(self, pod: Obj) -> SidecarReport | None:
        """Return what the sidecar of a pod said, if it could be asked."""
        return self.reports.get(pod["metadata"]["uid"])

    @property
    def resolutions(self) -> Sequence[Mapping[str, Any]]:
        """Return what references stood for at the last look; a lost status is made good by what has pods."""
        if self.status:
            return tuple(self.status.get("resolutions", ()))
        newest = self.stored.revision(self.latest)
        if newest is not None:
            return tuple(newest.inputs.get("resolutions", ()))
        running = (each for each in self.stored.engines if self.live(DEPLOYMENT, names.child(self.owner.name, each.id)))
        return next((tuple(resolutions(each)) for each in running), ())

    @property
    def latest(self) -> str:
        """Return the latest revision: what status says, or without status the newest one that has a route and an engine."""
        if self.status or self.table is None:
            return str(self.status.get("latestRevision", ""))
        routed = {each.revision for each in self.table.routes if self.live(DEPLOYMENT, names.child(self.owner.name, each.engine))}
        return next((each.id for each in self.stored.revisions if each.id in routed), self.table.stable)

    @cached_property
    def previous(self) -> dict[str, dict[str, Any]]:
        """Return the conditions of the last look by type."""
        return {each["type"]: each for each in self.status.get("conditions", [])}

    @property
    def stable_engine(self) -> str:
        """Return the id of the engine that was stable at the last look; empty before there was one."""
        return str((self.status.get("stable") or {}).get("engine", ""))


def sort(observed: Observed) -> World:
    """Sort one look."""
    owner = Owner.of(observed.deployment)
    owned: dict[Key, Obj] = {}
    leaving: set[Key] = set()
    foreign: dict[Key, Obj] = {}
    found = [*observed.children.by_kind(), *((BY_KIND[each["kind"]], each) for each in observed.foreign)]
    for kind, child in found:
        key = (kind, child["metadata"]["name"])
        if _is_ours(child, owner):
            owned[key] = child
        elif _was_ours(child, owner):
            leaving.add(key)
        else:
            foreign[key] = child
    bundles, table = _snapshot(owned.get((CONFIG_MAP, names.snapshot(owner.name))))
    return World(
        owner=owner,
        generation=observed.deployment["metadata"].get("generation", 1),
        status=observed.deployment.get("status") or {},
        owned=owned,
        leaving=frozenset(leaving),
        foreign=foreign,
        pods=tuple(sorted((pod for pod in observed.pods if _belongs(pod, owner)), key=_name)),
        job_pods=observed.job_pods,
        reports=observed.reports,
        stored=complete(Stored.of(owner, owned), owner, owned, table, bundles),
        table=table,
        bundles=bundles,
        unreadable=observed.unreadable,
        scalers=rivals(observed.scalers, [name for kind, name in owned if kind == DEPLOYMENT]),
    )


def _snapshot(live: Obj | None) -> tuple[dict[str, str], Table | None]:
    """Return the keys of the live snapshot, and its table unless somebody has broken it."""
    data: dict[str, str] = dict((live or {}).get("data") or {})
    try:
        return data, decode(data.get(TABLE_KEY, "").encode())
    except TableError:
        return data, None


def engine_of(pod: Obj) -> str:
    """Return the engine a pod belongs to."""
    return str(pod["metadata"].get("labels", {}).get(names.LABEL_ENGINE, ""))


def finished(pod: Obj) -> bool:
    """Return whether all containers of a pod have ended for good."""
    return pod.get("status", {}).get("phase") in {"Succeeded", "Failed"}


def terminating(pod: Obj) -> bool:
    """Return whether a pod is on its way out or done."""
    return "deletionTimestamp" in pod["metadata"] or finished(pod)


def ready(pod: Obj) -> bool:
    """Return whether a pod takes requests."""
    conditions = pod.get("status", {}).get("conditions", [])
    return not terminating(pod) and any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def controller(child: Obj) -> dict[str, Any] | None:
    """Return the ownerReference of the controller of an object."""
    return next((each for each in child["metadata"].get("ownerReferences", []) if each.get("controller")), None)


def _name(pod: Obj) -> str:
    return str(pod["metadata"]["name"])


def _has_sidecar(pod: Obj) -> bool:
    """A pod that has not started its sidecar mounts the newest snapshot when it does; one that waits to run again passes nothing on."""
    status = pod.get("status", {})
    told = [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
    states = [each.get("state", {}) for each in told if each["name"] == "sidecar"]
    return status.get("phase") == "Running" and all("running" in state for state in states)


def _is_ours(child: Obj, owner: Owner) -> bool:
    """An object without any controller is ours too when we applied it: somebody stripped its owner, and the next apply restores it."""
    reference = controller(child)
    if reference is None:
        return applied_by(child, names.FIELD_MANAGER)
    return bool(reference["uid"] == owner.uid)


def _was_ours(child: Obj, owner: Owner) -> bool:
    reference = controller(child)
    return reference is not None and reference["kind"] == LLM_DEPLOYMENT.kind and reference["name"] == owner.name


def _belongs(pod: Obj, owner: Owner) -> bool:
    """A pod of an earlier LLMDeployment of the same name has our labels for as long as it drains, but not our token."""
    token = names.pod_token(owner.uid)
    spec = pod.get("spec", {})
    containers = [*spec.get("initContainers", []), *spec.get("containers", [])]
    return any(each.get("value") == token for container in containers for each in container.get("env", []))
