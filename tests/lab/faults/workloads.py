"""What a user does while faults strike: a few steps each, and how to see that the last one has arrived."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from llm_operator.core import kinds, names
from llm_operator.core.kinds import Kind
from tests.fakes.objects import llm_deployment, llm_prompt
from tests.lab.faults.observer import Key, Object
from tests.lab.following import Client

NAME = "chat"
_PROMPT = "support"
_MERGE = "application/merge-patch+json"
_DEPLOYMENT_KEY: Key = (kinds.LLM_DEPLOYMENT.plural, NAME)
_QUOTA = Kind("", "v1", "resourcequotas", "ResourceQuota")
_GPUS = "requests.nvidia.com/gpu"
_PATIENCE_S = 150.0
"""How long a user waits for a state before they go on all the same; longer than an API server is away in a short outage."""

Live = Mapping[Key, Object]


@dataclass
class Place:
    """One namespace, as its user sees it. ``damaged`` names what the user destroyed and how often."""

    client: Client
    namespace: str
    damaged: dict[Key, int] = field(default_factory=dict)

    async def create(self, manifest: Object, kind: Kind) -> Object:
        """Create an object."""
        made = await self.client.send("POST", kind.path(self.namespace), manifest)
        assert made is not None, f"namespace {self.namespace} is gone"
        return made

    async def merge(self, kind: Kind, name: str, change: Object) -> None:
        """Change an object."""
        await self.client.send("PATCH", kind.path(self.namespace, name), change, _MERGE)

    async def wait(self, state: str) -> Object:
        """Return the status once a rollout is in a state, or when it is not for a long time."""
        end = time.monotonic() + _PATIENCE_S
        while True:
            about = await self.client.json(kinds.LLM_DEPLOYMENT.path(self.namespace, NAME))
            status: Object = about.get("status", {})
            if status.get("rollout", {}).get("state") == state or time.monotonic() > end:
                return status
            await asyncio.sleep(0.1)

    async def delete(self, kind: Kind, name: str) -> None:
        """Delete an object."""
        await self.client.send("DELETE", kind.path(self.namespace, name))

    async def damage(self, kind: Kind, name: str) -> None:
        """Delete a child of the operator."""
        key = (kind.plural, name)
        self.damaged[key] = self.damaged.get(key, 0) + 1
        await self.delete(kind, name)


def custom_resource(live: Live) -> Object | None:
    """Return the LLMDeployment."""
    return live.get(_DEPLOYMENT_KEY)


def settled(live: Live) -> bool:
    """Return whether the status says that what was last asked for serves and nothing is left to do."""
    about = custom_resource(live)
    return about is not None and is_current(about)


def given_up(live: Live) -> bool:
    """Return whether the status says that what was last asked for is not served, and nothing is left to do."""
    about = custom_resource(live)
    return about is not None and is_current(about, stalled="True")


def is_current(about: Object, stalled: str = "False") -> bool:
    """Return whether a status says, in the words kstatus reads, that its object is as asked."""
    status = about.get("status", {})
    said = {each["type"]: each["status"] for each in status.get("conditions", [])}
    wanted = {"Ready": "True", "Reconciling": "False", "Stalled": stalled}
    return status.get("observedGeneration") == about["metadata"]["generation"] and wanted.items() <= said.items()


@dataclass(frozen=True)
class Step:
    """Something a user does. ``before`` is what was there when the step began, for ``arrived`` to compare with.

    ``rests`` tells from the status that nothing is left to do.
    """

    name: str
    do: Callable[[Place], Awaitable[None]]
    arrived: Callable[[Live, Live], bool] = lambda _live, _before: True
    without_operator: bool = False
    rests: Callable[[Live], bool] = settled


@dataclass(frozen=True)
class Workload:
    """Steps, each begun once the one before has settled. Faults strike in the last."""

    name: str
    steps: tuple[Step, ...]


async def _create(place: Place, **spec: Any) -> None:
    await _plant(place)
    await place.create(llm_prompt(_PROMPT, place.namespace), kinds.LLM_PROMPT)
    await _create_deployment(place, **spec)


async def _create_deployment(place: Place, **spec: Any) -> None:
    prompt = {"ref": {"name": _PROMPT}, "updatePolicy": "Rollout"}
    wanted = {"replicas": 2, "prompt": prompt, "drain": {"minimum": "0s", "maxStream": "1s"}}
    await place.create(llm_deployment(NAME, place.namespace, **wanted | spec), kinds.LLM_DEPLOYMENT)


async def _create_alone(place: Place) -> None:
    """Create one whose engine changes happen in place, as where there is one accelerator only."""
    await _create(place, replicas=1, rollout={"capacity": {"mode": "Replace"}})


async def _create_by_steps(place: Place) -> None:
    """Create one whose changes of the prompt go by steps."""
    steps = [{"weightPercent": 5, "minDuration": "1s"}]
    await _create(place, rollout={"config": {"steps": steps}, "gitOpsHealth": "Rollout"})


async def _create_with_engine_steps(place: Place) -> None:
    """Create one whose changes of the engine go by steps, up to somebody's word, with as many accelerators as it has pods."""
    metadata = {"name": "gpus", "namespace": place.namespace}
    await place.create({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": {"hard": {_GPUS: "2"}}}, _QUOTA)
    steps = [{"weightPercent": 50, "minDuration": "1s"}, {"approval": {}, "maxDuration": "2s"}]
    rollout = {"engine": {"steps": steps}, "abort": {"keepCanaryFor": "0s"}, "gitOpsHealth": "Rollout"}
    await _create(place, accelerator={"profile": "nvidia"}, rollout=rollout)


async def _plant(place: Place) -> None:
    """Put objects of somebody else beside ours, one of them under our labels: nobody but their owner may touch them."""
    metadata = {"name": "bystander", "namespace": place.namespace}
    bystander = await place.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "b"}}, kinds.CONFIG_MAP)
    owner = {
        "apiVersion": "v1", "kind": "ConfigMap", "name": "bystander", "uid": bystander["metadata"]["uid"],
        "controller": True, "blockOwnerDeletion": False,
    }  # fmt: skip
    labelled: dict[str, Any] = {**metadata, "labels": names.managed_labels(NAME), "ownerReferences": [owner]}
    ports = [{"name": "http", "port": 80, "protocol": "TCP"}]
    await place.create({"apiVersion": "v1", "kind": "Service", "metadata": labelled, "spec": {"ports": ports}}, kinds.SERVICE)


async def _edit_prompt(place: Place) -> None:
    await place.merge(kinds.LLM_PROMPT, _PROMPT, {"spec": {"system": "Be long."}})


async def _edit_engine(place: Place) -> None:
    change = {"spec": {"model": {"source": "s3://models/other"}, "engine": {"maxModelLen": 4096}}}
    await place.merge(kinds.LLM_DEPLOYMENT, NAME, change)


async def _let_in(place: Place) -> None:
    """Ask for another engine, find an accelerator for it, and promote it once it waits for a decision."""
    await _decide(place, "promote")


async def _give_up(place: Place) -> None:
    """Do the same and abort it."""
    await _decide(place, "abort")


async def _decide(place: Place, verb: str) -> None:
    await _edit_engine(place)
    await place.wait("WaitingCapacity")
    await place.merge(_QUOTA, "gpus", {"spec": {"hard": {_GPUS: "3"}}})
    status = await place.wait("Paused")
    action = json.dumps({"id": "decided", "verb": verb, "revision": status.get("latestRevision")})
    await place.merge(kinds.LLM_DEPLOYMENT, NAME, {"metadata": {"annotations": {names.ANNOTATION_ACTION: action}}})


async def _scale(place: Place) -> None:
    await place.merge(kinds.LLM_DEPLOYMENT, NAME, {"spec": {"replicas": 3}})


async def _recreate(place: Place) -> None:
    await place.delete(kinds.LLM_DEPLOYMENT, NAME)
    await _create_deployment(place)


async def _damage(place: Place) -> None:
    """Do, while nobody watches, what a careless administrator might, and change what is asked for as well."""
    await place.damage(kinds.SERVICE, NAME)
    await place.damage(kinds.POD_DISRUPTION_BUDGET, NAME)
    await place.damage(kinds.NETWORK_POLICY, NAME)
    listed = await place.client.json(kinds.DEPLOYMENT.path(place.namespace))
    for each in listed["items"]:
        await place.merge(kinds.DEPLOYMENT, each["metadata"]["name"], {"spec": {"replicas": 0}})
    await place.create(llm_deployment("leaves", place.namespace), kinds.LLM_DEPLOYMENT)
    await _scale(place)
    await _edit_prompt(place)
    await asyncio.sleep(1)
    await place.delete(kinds.LLM_DEPLOYMENT, "leaves")


async def _undamaged(place: Place) -> None:
    """Change what is asked for as ``_damage`` does, for a run to compare with."""
    await _scale(place)
    await _edit_prompt(place)


def _has_prompt(live: Live, _before: Live) -> bool:
    snapshot = live.get((kinds.CONFIG_MAP.plural, names.snapshot(NAME)), {})
    return any("Be long." in value for value in snapshot.get("data", {}).values())


def _is(state: str) -> Callable[[Live, Live], bool]:
    def check(live: Live, _before: Live) -> bool:
        about = custom_resource(live)
        return about is not None and about.get("status", {}).get("rollout", {}).get("state") == state

    return check


def _is_another(live: Live, before: Live) -> bool:
    now, then = custom_resource(live), custom_resource(before)
    return now is not None and then is not None and now["metadata"]["uid"] != then["metadata"]["uid"]


def _has_generation(generation: int) -> Callable[[Live, Live], bool]:
    def check(live: Live, _before: Live) -> bool:
        about = custom_resource(live)
        return about is not None and about.get("status", {}).get("observedGeneration") == generation

    return check


_MADE = Step("create", _create)
WORKLOADS: dict[str, Workload] = {
    each.name: each
    for each in (
        Workload("create", (_MADE,)),
        Workload("prompt", (_MADE, Step("prompt", _edit_prompt, _has_prompt))),
        Workload("rollout", (Step("create", _create_by_steps), Step("rollout", _edit_prompt, _is("Promoted")))),
        Workload("engine", (_MADE, Step("engine", _edit_engine, _has_generation(2)))),
        Workload("trial", (Step("create", _create_with_engine_steps), Step("trial", _let_in, _is("Promoted")))),
        Workload("abort", (Step("create", _create_with_engine_steps), Step("abort", _give_up, _is("Aborted"), rests=given_up))),
        Workload("replace", (Step("create", _create_alone), Step("replace", _edit_engine, _has_generation(2)))),
        Workload("scale", (_MADE, Step("scale", _scale, _has_generation(2)))),
        Workload("recreate", (_MADE, Step("recreate", _recreate, _is_another))),
        Workload("damage", (_MADE, Step("damage", _damage, _has_prompt, without_operator=True))),
        Workload("undamaged", (_MADE, Step("damage", _undamaged, _has_prompt))),
    )
}
REFERENCES = {"damage": "undamaged"}
"""Workloads whose clean run is another one's: damage must leave no trace."""
