"""A world small enough to hold in a test: an object store with field ownership, and the controllers and sidecars around it.

Nothing in it decides anything of the operator's. It breaks as a cluster would when the operator asks for something impossible.
"""

import json
import sys
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from typing import Any

import orjson

from llm_operator.api.config import OperatorConfig
from llm_operator.core import names
from llm_operator.core.actions import Plan
from llm_operator.core.gates.fetched import Fetched, Question
from llm_operator.core.kinds import (
    BY_KIND,
    CONFIG_MAP,
    CONTROLLER_REVISION,
    DEPLOYMENT,
    HTTP_ROUTE,
    JOB,
    NETWORK_POLICY,
    POD_DISRUPTION_BUDGET,
    SERVICE,
    Kind,
)
from llm_operator.core.observed import Children, Obj, Observed, SidecarReport
from llm_operator.core.plan import plan
from llm_operator.core.reasons import Reason
from llm_operator.core.scaling.watched import Watched
from llm_operator.core.telemetry.replies import Heard, read
from llm_sidecar.statistics import Statistics
from llm_sidecar.table import TABLE_KEY, Table, decode
from tests.data.wire import copied
from tests.unit.core.builders import NOW, digest_of, make_config, make_deployment, owner_reference, short

_LIST_KEYS: dict[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "env": ("name",),
    "imagePullSecrets": ("name",),
    "ownerReferences": ("uid",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
}
_PORT_KEYS: dict[str, tuple[str, ...]] = {"containerPort": ("containerPort", "protocol"), "targetPort": ("port", "protocol")}

_KUBELET_SYNC_S = 60.0


@dataclass
class Sim:
    """One namespace with one LLMDeployment."""

    config: OperatorConfig = field(default_factory=make_config)
    deployment: Obj = field(default_factory=make_deployment)
    prompt: Obj | None = None
    now: datetime = NOW
    objects: dict[tuple[Kind, str], Obj] = field(default_factory=dict)
    pods: dict[str, Obj] = field(default_factory=dict)
    mounted: dict[str, int] = field(default_factory=dict)
    tables: dict[str, Table] = field(default_factory=dict)
    counters: dict[str, Statistics] = field(default_factory=dict)
    """What sidecars count, by pod; it is told to whoever asks for it."""
    asks: frozenset[str] = frozenset()
    answers: dict[str, tuple[Fetched, ...]] = field(default_factory=dict)
    """What Prometheus and webhooks have answered, by gate."""
    questions: tuple[Question, ...] = ()
    resolver_answers: dict[str, str] = field(default_factory=dict)
    broken_images: set[str] = field(default_factory=set)
    deaf: set[str] = field(default_factory=set)
    """Pods whose kubelet never syncs the snapshot."""
    silent: set[str] = field(default_factory=set)
    """Pods whose sidecar cannot be asked."""
    lonely: set[str] = field(default_factory=set)
    """Pods whose sidecar reaches no other engine."""
    refusing: dict[str, str] = field(default_factory=dict)
    """Pods whose sidecar cannot run the newest table, and what it says."""
    schemas: dict[str, int] = field(default_factory=dict)
    """The newest bundle schema that sidecar images know; 1 where nothing is said."""
    drains: bool = True
    streaming: set[str] = field(default_factory=set)
    """Pods that do not end although they are asked to."""
    crashed: set[str] = field(default_factory=set)
    """Pods that are not ready any more."""
    entry_gets_ready: bool = True
    max_ready: int = 1000
    running: int = 0
    """Requests that each ready pod serves, and how many it may serve at once."""
    loads: dict[str, int] = field(default_factory=dict)
    """The same for pods that differ."""
    slots: int | None = 100
    accelerators: int = 1000
    """Accelerators there are; a pod holds one from when it starts until it has ended."""
    unschedulable: str = ""
    """What the scheduler says of new pods; empty while there is room."""
    holding: int = 0
    """Requests that wait in the entry."""
    watched: Watched = field(default_factory=Watched)
    """What pods have told of their load."""
    scalers: tuple[Obj, ...] = ()
    """What of others is for the same object."""
    unreadable: dict[str, Reason] = field(default_factory=dict)
    """Optional kinds that cannot be listed, and why."""
    version: int = 1
    log: list[str] = field(default_factory=list)

    @property
    def began(self) -> datetime:
        return NOW

    def observed(self) -> Observed:
        """Return what is there, and no copy of it: a plan changes nothing of what it is made from, which has a test of its own."""

        def of(kind: Kind) -> tuple[Obj, ...]:
            found = [each for (each_kind, _), each in self.objects.items() if each_kind == kind]
            return tuple(each for each in found if each["metadata"].get("labels", {}).get(names.LABEL_DEPLOYMENT) == "chat")

        pods = tuple(self.pods.values())
        return Observed(
            deployment=self.deployment,
            prompt=self.prompt,
            children=Children(
                deployments=of(DEPLOYMENT),
                services=of(SERVICE),
                config_maps=of(CONFIG_MAP),
                controller_revisions=of(CONTROLLER_REVISION),
                jobs=of(JOB),
                pdbs=of(POD_DISRUPTION_BUDGET),
                network_policies=of(NETWORK_POLICY),
                http_routes=of(HTTP_ROUTE),
            ),
            pods=tuple(each for each in pods if _serves(each)),
            job_pods=tuple(each for each in pods if not _serves(each)),
            reports={each["metadata"]["uid"]: self._report(each) for each in pods if each["status"]["phase"] == "Running"},
            statistics={each["metadata"]["uid"]: self._told(each) for each in pods if self._counts(each)},
            answers=dict(self.answers),
            watched=self.watched,
            scalers=self.scalers,
            unreadable=dict(self.unreadable),
        )

    def plan(self) -> Plan:
        """Plan as the shell does: names about to be used for the first time are looked up, and what is there is planned around."""
        seen = self.observed()
        made = planned(seen, self.config, self.now)
        taken = [self.objects[key] for each in made.applies if each.first and (key := (each.kind, each.name)) in self.objects]
        if taken:
            made = planned(Observed(**{**vars(seen), "foreign": tuple(copied(taken))}), self.config, self.now)
        return made

    def look(self) -> Plan:
        """Plan once and carry it out."""
        made = self.plan()
        self.execute(made)
        self.write_status(made)
        return made

    def look_dying(self, after: int) -> int:
        """Look, and die after so many writes; by another number than there are nobody dies. Return how many writes a whole look has."""
        made = self.plan()
        if 0 <= after <= len(made.applies):
            self.execute(Plan(applies=made.applies[:after]))
        else:
            self.execute(made)
            self.write_status(made)
        return len(made.applies) + 1

    def execute(self, made: Plan) -> None:
        for mark in made.marks:
            annotations = self.pods[mark.pod_name]["metadata"].setdefault("annotations", {})
            annotations[names.ANNOTATION_DELETION_COST] = str(mark.cost)
        for each in made.applies:
            self._apply(each.object, force=each.force)
        for delete in made.deletes:
            live = self.objects[delete.kind, delete.name]
            assert live["metadata"]["uid"] == delete.uid
            self.log.append(f"delete {delete.kind.kind} {delete.name}")
            self.remove(delete.kind, delete.name)
        for nudge in made.nudges:
            self.pods[nudge.pod_name]["metadata"].setdefault("annotations", {})[names.ANNOTATION_GENERATION] = nudge.value
            self._sync(nudge.pod_name)

    def write_status(self, made: Plan) -> None:
        self.deployment["status"] = copied(made.status)
        self.asks, self.questions = made.asks, made.questions
        self.watched = replace(self.watched, memory=made.memory)

    def edit(self, **spec: Any) -> None:
        """Change the spec as a user does."""
        self.deployment["spec"] = {**self.deployment["spec"], **spec}
        self.deployment["metadata"]["generation"] += 1

    def ask(self, text: str) -> None:
        """Annotate an action as a user does."""
        self.deployment["metadata"]["annotations"] = {names.ANNOTATION_ACTION: text}

    def refresh(self, identity: str, revision: str | None = None) -> None:
        """Ask for a refresh, by default of the latest revision."""
        self.verb("refresh", identity, revision)

    def verb(self, verb: str, identity: str, revision: str | None = None) -> None:
        """Ask for a verb, by default of the latest revision."""
        latest = self.deployment["status"]["latestRevision"]
        self.ask(json.dumps({"id": identity, "verb": verb, "revision": revision or latest}))

    def tick(self, seconds: float = 1.0) -> None:
        """Let time pass, and every controller and kubelet do one round."""
        self.now += timedelta(seconds=seconds)
        self._job_controller()
        self._deployment_controller()
        for name in list(self.pods):
            self._kubelet(name)
            if seconds >= _KUBELET_SYNC_S:
                self._sync_if_it_stays(name)

    def settle(self, rounds: int = 60) -> Plan:
        """Look and tick until nothing is left to do."""
        made = self.plan()
        for _ in range(rounds):
            self.execute(made)
            self.write_status(made)
            self.tick()
            again = self.plan()
            quiet = not (made.applies or made.deletes or made.nudges or again.applies or again.deletes or again.next_look_s)
            if quiet and again.status == self.deployment["status"]:
                return again
            made = again
        raise AssertionError(f"not settled after {rounds} rounds: {self.deployment.get('status')}")

    def engines(self) -> list[str]:
        """The ids of the engines that have a Deployment."""
        return sorted(name.removeprefix("chat-") for kind, name in self.objects if kind == DEPLOYMENT and name != "chat-entry")

    def held(self) -> list[Obj]:
        """The engine pods there are, those on their way out included."""
        return [pod for pod in self.pods.values() if names.LABEL_ENGINE in pod["metadata"]["labels"]]

    def ready_pods(self, engine: str | None = None) -> int:
        found = [pod for pod in self.held() if engine in {None, pod["metadata"]["labels"][names.LABEL_ENGINE]}]
        return sum(self.ready(pod["metadata"]["name"]) for pod in found)

    def ready(self, name: str) -> bool:
        """Whether a pod takes requests."""
        pod = self.pods[name]
        return self._is_ready(pod) and "deletionTimestamp" not in pod["metadata"]

    def entries(self) -> list[Obj]:
        """The pods without an engine that take requests."""
        return [pod for pod in self.pods.values() if names.LABEL_ROLE in pod["metadata"]["labels"] and self._is_ready(pod)]

    def _apply(self, manifest: Obj, *, force: bool) -> None:
        kind, metadata = BY_KIND[manifest["kind"]], manifest["metadata"]
        key = (kind, metadata["name"])
        live = self.objects.get(key)
        assert (live is not None) == force, f"{key} applied with force={force}"
        self.version += 1
        self.log.append(f"apply {kind.kind} {metadata['name']}")
        made = copied({name: value for name, value in manifest.items() if name not in {"apiVersion", "kind"}})
        if live is not None:
            assert all(metadata[name] == live["metadata"][name] for name in ("uid", "resourceVersion"))
            if kind == CONTROLLER_REVISION:
                assert manifest["data"] == live["data"], "the data of a ControllerRevision cannot be changed"
            made["status"] = live.get("status", {})
        made["metadata"] = {
            **made["metadata"],
            "uid": live["metadata"]["uid"] if live else f"uid-{self.version}",
            "creationTimestamp": live["metadata"]["creationTimestamp"] if live else self.now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "resourceVersion": str(self.version),
            "managedFields": [
                {"manager": names.FIELD_MANAGER, "operation": "Apply", "fieldsV1": fields_of(manifest), "time": self._time()}
            ],
        }
        self.objects[key] = made

    def remove(self, kind: Kind, name: str) -> None:
        uid = self.objects.pop((kind, name))["metadata"]["uid"]
        for pod in self.pods.values():
            if pod["metadata"]["ownerReferences"][0]["uid"] == uid:
                pod["metadata"]["deletionTimestamp"] = "now"

    def _job_controller(self) -> None:
        for (kind, name), job in self.objects.items():
            if kind == JOB and not any(
                pod["metadata"]["ownerReferences"][0]["uid"] == job["metadata"]["uid"] for pod in self.pods.values()
            ):
                pod_name = f"{name}-{job['metadata']['uid']}"
                self.pods[pod_name] = self._new_pod(pod_name, job, "Job")

    def _deployment_controller(self) -> None:
        for (kind, name), live in list(self.objects.items()):
            if kind != DEPLOYMENT:
                continue
            uid = live["metadata"]["uid"]
            mine = [
                pod
                for pod in self.pods.values()
                if pod["metadata"]["ownerReferences"][0]["uid"] == uid and "deletionTimestamp" not in pod["metadata"]
            ]
            mine.sort(key=lambda pod: -int(pod["metadata"].get("annotations", {}).get(names.ANNOTATION_DELETION_COST, "0")))
            for pod in mine[live["spec"]["replicas"] :]:
                pod["metadata"]["deletionTimestamp"] = "now"
            for _ in range(live["spec"]["replicas"] - len(mine)):
                self.version += 1
                pod_name = f"{name}-{short(str(self.version))}"
                self.pods[pod_name] = self._new_pod(pod_name, live, "ReplicaSet")

    def _new_pod(self, name: str, owner: Obj, kind: str) -> Obj:
        template = copied(owner["spec"]["template"])
        template["metadata"] |= {
            "name": name,
            "uid": f"uid-of-{name}",
            "creationTimestamp": self.now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "ownerReferences": [owner_reference(kind, owner["metadata"]["name"], owner["metadata"]["uid"])],
        }
        return {**template, "status": {"phase": "Pending", "conditions": []}}

    def _kubelet(self, name: str) -> None:
        pod = self.pods[name]
        if "deletionTimestamp" in pod["metadata"]:
            if self.drains and name not in self.streaming:
                del self.pods[name]
        elif not _serves(pod):
            if pod["status"]["phase"] == "Pending":
                self._resolver(pod)
        elif pod["spec"]["containers"][0]["image"] in self.broken_images:
            waiting = {"reason": "ImagePullBackOff", "message": "not found"}
            pod["status"]["containerStatuses"] = [{"name": "engine", "image": "x", "state": {"waiting": waiting}}]
        elif pod["status"]["phase"] == "Pending" and names.LABEL_ENGINE in pod["metadata"]["labels"] and (full := self._full()):
            pod["status"]["conditions"] = [{"type": "PodScheduled", "status": "False", "message": full}]
        elif pod["status"]["phase"] == "Pending" and (CONFIG_MAP, "chat-snapshot") in self.objects:
            pod["status"] |= {"phase": "Running", "conditions": [], "containerStatuses": [{"name": "engine", "state": {"running": {}}}]}
            pod["status"]["podIP"] = f"10.0.{self.version // 250}.{self.version % 250}"
            self._sync(name)
        elif pod["status"]["phase"] == "Running" and self._is_ready(pod) and name in self.crashed:
            pod["status"]["conditions"] = [self._readiness("False")]
        elif pod["status"]["phase"] == "Running" and not self._is_ready(pod) and self._may_be_ready(pod):
            pod["status"]["conditions"] = [self._readiness("True")]

    def _full(self) -> str:
        placed = sum(pod["status"]["phase"] == "Running" for pod in self.held())
        return self.unschedulable or ("0/3 nodes are available: 3 Insufficient nvidia.com/gpu." if placed >= self.accelerators else "")

    def _resolver(self, pod: Obj) -> None:
        source = pod["spec"]["containers"][0]["args"][2]
        good = json.dumps({"digest": digest_of(source), "bytes": 10, "files": 2})
        message = self.resolver_answers.get(source, good)
        failed = "error" in message
        ended = {"exitCode": 1 if failed else 0, "message": message}
        pod["status"] |= {
            "phase": "Failed" if failed else "Succeeded",
            "containerStatuses": [{"name": "resolve", "state": {"terminated": ended}}],
        }
        job = next(each for each in self.objects.values() if each["metadata"]["uid"] == pod["metadata"]["ownerReferences"][0]["uid"])
        stamp = self.now.strftime("%Y-%m-%dT%H:%M:%SZ")
        kind = "Failed" if failed else "Complete"
        job["status"] = {"conditions": [{"type": kind, "status": "True", "lastTransitionTime": stamp}]}

    def _sync_if_it_stays(self, name: str) -> None:
        """A kubelet syncs once a minute, but not the volumes of a pod on its way out."""
        pod = self.pods.get(name)
        if pod is not None and pod["status"]["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"]:
            self._sync(name)

    def _sync(self, name: str) -> None:
        if name in self.deaf | self.refusing.keys() or (CONFIG_MAP, "chat-snapshot") not in self.objects:
            return
        data = self.objects[CONFIG_MAP, "chat-snapshot"]["data"]
        self.tables[name] = decode(data[TABLE_KEY].encode())
        self.mounted[name] = self.tables[name].generation

    def _report(self, pod: Obj) -> SidecarReport | None:
        name = pod["metadata"]["name"]
        if name in self.silent:
            return None
        refused: dict[str, Any] = {}
        if name in self.refusing:
            newest = decode(self.objects[CONFIG_MAP, "chat-snapshot"]["data"][TABLE_KEY].encode()).generation
            refused = {"error": self.refusing[name], "error_generation": newest}
        containers = [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]
        image = next(each["image"] for each in containers if each["name"] == "sidecar")
        return SidecarReport(
            generation=self.mounted.get(name),
            ready=self._is_ready(pod),
            reason="EngineLoading",
            bundle_schema=self.schemas.get(image, 1),
            inflight=self.loads.get(name, self.running) if names.LABEL_ENGINE in pod["metadata"]["labels"] else self.holding,
            running=self.loads.get(name, self.running) if names.LABEL_ENGINE in pod["metadata"]["labels"] else 0,
            slots=self.slots if names.LABEL_ENGINE in pod["metadata"]["labels"] else None,
            held=0 if names.LABEL_ENGINE in pod["metadata"]["labels"] else self.holding,
            **refused,
            **self._knows(name, pod),
        )

    def _counts(self, pod: Obj) -> bool:
        return bool(self.asks) and pod["metadata"]["name"] in self.counters.keys() - self.silent

    def _told(self, pod: Obj) -> Heard:
        """What a sidecar tells that is asked every few seconds."""
        told = self.counters[pod["metadata"]["name"]].expose()
        return Heard(NOW, self.now, (read(told, "chat", self.asks),))

    def _knows(self, name: str, pod: Obj) -> dict[str, Any]:
        """What the sidecar has read from its snapshot, and whom it has found there."""
        live, engine = self.tables.get(name), pod["metadata"]["labels"].get(names.LABEL_ENGINE, "")
        if live is None:
            return {}
        route = live.for_engine(engine)
        return {
            "engine": engine,
            "revision": route.revision if route else "",
            "revisions": frozenset(route.revision for route in live.routes if route.engine == engine),
            "reaches": frozenset(
                each for each, at in live.engines.items() if each != engine and name not in self.lonely and self._answers(at.service)
            ),
        }

    def _answers(self, service: str) -> bool:
        """Whether there is a ready pod behind a Service, of whatever engine."""
        live = self.objects.get((SERVICE, service))
        behind = (
            [] if live is None else [pod for pod in self.held() if live["spec"]["selector"].items() <= pod["metadata"]["labels"].items()]
        )
        return any(self._is_ready(pod) and "deletionTimestamp" not in pod["metadata"] for pod in behind)

    def _time(self) -> str:
        return self.now.strftime("%Y-%m-%dT%H:%M:%SZ")

    def _may_be_ready(self, pod: Obj) -> bool:
        if names.LABEL_ENGINE not in pod["metadata"]["labels"]:
            return self.entry_gets_ready
        return pod["metadata"]["name"] not in self.crashed and self.ready_pods() < self.max_ready

    def _readiness(self, status: str) -> dict[str, str]:
        return {"type": "Ready", "status": status, "lastTransitionTime": self._time()}

    @staticmethod
    def _is_ready(pod: Obj) -> bool:
        return any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", []))


_ALIKE = timedelta(seconds=15)
_PLANS: dict[tuple[bytes, bool], Plan] = {}


def planned(seen: Observed, config: OperatorConfig, now: datetime) -> Plan:
    """Plan; a question that was asked before has the answer it had then. Most tests begin with the same questions.

    What a test that is not traced has asked is no answer for one that is: its coverage counts, whatever ran before it.
    """
    if seen.statistics or now - NOW > _ALIKE:  # what sidecars count, and what comes later, is another thing in every test
        return plan(seen, config, now)
    asked = sha256(orjson.dumps((seen, config.model_dump(), now), default=sorted)).digest(), sys.gettrace() is not None
    if asked not in _PLANS:
        _PLANS[asked] = plan(seen, config, now)
    return _PLANS[asked]


def _serves(pod: Obj) -> bool:
    return names.LABEL_SERVING in pod["metadata"]["labels"]


def fields_of(manifest: Obj) -> dict[str, Any]:
    """The managedFields the server would note for an apply. The same few manifests are applied in nearly every test."""
    made: dict[str, Any] = orjson.loads(_noted(orjson.dumps(manifest)))
    return made


@lru_cache(maxsize=4096)
def _noted(applied: bytes) -> bytes:
    manifest = orjson.loads(applied)
    body = {name: value for name, value in manifest.items() if name not in {"apiVersion", "kind", "metadata"}}
    metadata = {name: manifest["metadata"][name] for name in ("annotations", "labels", "ownerReferences") if name in manifest["metadata"]}
    atomic = {"data"} if manifest["kind"] == "ControllerRevision" else {"selector"} if manifest["kind"] == "Service" else set()
    return orjson.dumps({name: value for name, value in _fields({**body, "metadata": metadata}, atomic).items() if name != "."})


def _fields(value: Any, atomic: set[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        return {}
    found: dict[str, Any] = {".": {}}
    for name, item in value.items():
        found[f"f:{name}"] = {} if name in atomic else _items(name, item, atomic) if isinstance(item, list) else _fields(item, atomic)
        if not item and isinstance(item, dict):
            found[f"f:{name}"] = {}
    return found


def _items(name: str, items: list[Any], atomic: set[str]) -> dict[str, Any]:
    keys: tuple[str, ...] | None = _LIST_KEYS.get(name)
    if name == "ports" and items:
        keys = next((keys for field_name, keys in _PORT_KEYS.items() if field_name in items[0]), None)
    if keys is None:
        return {}
    whole = name == "ownerReferences"
    named = ("k:" + json.dumps({key: item[key] for key in keys}, separators=(",", ":")) for item in items)
    return {step: {} if whole else _fields(item, atomic) for step, item in zip(named, items, strict=True)}
