"""What a node would do, without one: places the operator's pods, answers for their resolvers and sidecars, and lets them go.

Pods are bound to a node that no kubelet stands behind; their addresses lie in the range the lab routes to whoever listens, and one server
tells by the address it was reached at which sidecar it has to be.
"""

import asyncio
import contextlib
import itertools
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from llm_operator.core import kinds, names
from llm_operator.shell.cluster import KubernetesCluster, connect
from llm_operator.shell.errors import ApiError
from llm_sidecar import table
from llm_sidecar.statistics import Statistics
from tests.fakes.objects import ended, resolver_answer
from tests.integration.figures import Figures
from tests.lab.addresses import KWOK_POD_CIDR

Object = dict[str, Any]

NODE = "stage"
PLACES = "it-"
"""What names of namespaces begin with whose pods it plays; other tests have pods of their own."""
_TICK_S = 0.1
_BEAT_S = 5.0
_PREFIX = KWOK_POD_CIDR.split("/")[0].rsplit(".", 2)[0]
_MERGE = "application/merge-patch+json"


@dataclass
class Sidecar:
    """What the pretended sidecar of one pod has seen."""

    pod: Object
    data: dict[str, str] = field(default_factory=dict)
    nudge: str | None = None
    refused: int | None = None
    error: str = ""

    @property
    def table(self) -> table.Table:
        """Return the table it runs."""
        return table.decode(self.data[table.TABLE_KEY].encode())


_SOURCE = "--source"
"""In the arguments of a resolver: other tests make Jobs too, and those are not ours to end."""


def _words(pod: Object) -> list[str]:
    container = pod["spec"]["containers"][0]
    return [*container.get("command", []), *container.get("args", [])]


@dataclass
class Stage:
    """Runs in a thread of its own between ``start`` and ``stop``; tests turn its knobs.

    ``answers`` maps a model source to the termination message and exit code of its resolver; ``held`` names namespaces whose engines do not
    get ready; ``deaf`` ones whose kubelet never notices a nudge. ``refusing`` maps pods to what their sidecar says of a bundle that it
    cannot run: it goes on with the table it has. ``loads`` says how many requests each pod of a namespace serves, of ten at once, and
    ``traffic`` how many tokens of prompts come there in a second; below zero nobody tells. ``inflight`` says how many requests a pod has.
    ``holding`` is how many wait in the entries of a namespace.
    """

    kubeconfig: str
    answers: dict[str, tuple[str, int]] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)
    deaf: set[str] = field(default_factory=set)
    refusing: dict[str, str] = field(default_factory=dict)
    loads: dict[str, int] = field(default_factory=dict)
    traffic: dict[str, float] = field(default_factory=dict)
    inflight: dict[str, int] = field(default_factory=dict)
    holding: dict[str, int] = field(default_factory=dict)
    _figures: dict[str, Figures] = field(default_factory=dict)
    _counters: dict[str, Statistics] = field(default_factory=dict)
    _counting: threading.Lock = field(default_factory=threading.Lock)
    _sidecars: dict[str, Sidecar] = field(default_factory=dict)
    _bound: dict[str, str] = field(default_factory=dict)
    _asked: Iterator[int] = field(default_factory=itertools.count)
    _thread: threading.Thread | None = None
    _ending: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """Begin."""
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), name="stage")
        self._thread.start()

    def serve(self, namespace: str, requests: int, failing: str) -> None:
        """Have the pods of a namespace count requests, each its own unit and assigned by their tables; those of one revision fail."""
        sidecars = [each for each in list(self._sidecars.values()) if each.pod["metadata"]["namespace"] == namespace]
        with self._counting:
            for number in range(requests):
                sidecar, unit = sidecars[number % len(sidecars)], uuid.uuid4().bytes
                revision = table.assign(sidecar.table, unit)
                self._count(sidecar).record(revision, unit, failed=revision == failing)

    def _count(self, sidecar: Sidecar) -> Statistics:
        metadata = sidecar.pod["metadata"]
        live = sidecar.table
        found = self._counters.setdefault(metadata["uid"], Statistics(metadata["labels"][names.LABEL_DEPLOYMENT]))
        found.assign(live.salt if any(route.slot is not None and route.weight for route in live.routes) else "")
        return found

    def stop(self) -> None:
        """End, and wait for it."""
        self._ending.set()
        if self._thread:
            self._thread.join(30)

    async def _main(self) -> None:
        cluster = await connect("stage", self.kubeconfig)
        app = web.Application()
        app.router.add_get("/status", self._status)
        app.router.add_get("/-/stats", self._stats)
        app.router.add_get("/metrics", self._metrics)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "0.0.0.0", names.ADMIN_PORT).start()
        await self._register(cluster)
        beats = asyncio.create_task(self._beat(cluster))
        while not self._ending.is_set():
            with contextlib.suppress(ApiError, TimeoutError):  # the API server may be away: a test takes it away
                await asyncio.wait_for(self._tick(cluster), 5)
            await asyncio.sleep(_TICK_S)
        beats.cancel()
        await runner.cleanup()
        await cluster.close()

    async def _register(self, cluster: KubernetesCluster) -> None:
        size = {"cpu": "1k", "memory": "10Ti", "pods": "10k", "nvidia.com/gpu": "1k"}
        taint = {"key": "stage", "value": "only", "effect": "NoSchedule"}
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}, "spec": {"taints": [taint]}}
        with contextlib.suppress(ApiError):  # there since an earlier run
            await cluster._call("POST", "/api/v1/nodes", body=node)
        await self._patch(cluster, f"/api/v1/nodes/{NODE}/status", {"status": {"capacity": size, "allocatable": size}})

    async def _beat(self, cluster: KubernetesCluster) -> None:
        while True:
            now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")  # the time is the heartbeat: without it the node counts as lost
            ready = {"type": "Ready", "status": "True", "reason": "Stage", "message": "pretends", "lastHeartbeatTime": now}
            with contextlib.suppress(ApiError):
                await self._patch(cluster, f"/api/v1/nodes/{NODE}/status", {"status": {"conditions": [ready]}})
            await asyncio.sleep(_BEAT_S)

    async def _tick(self, cluster: KubernetesCluster) -> None:
        managed = f"{names.LABEL_MANAGED_BY}={names.MANAGED_BY}"
        pods = [pod for pod in await cluster.list(kinds.POD, None, labels=managed) if pod["metadata"]["namespace"].startswith(PLACES)]
        alive = {pod["metadata"]["uid"] for pod in pods}
        self._sidecars = {address: each for address, each in self._sidecars.items() if each.pod["metadata"]["uid"] in alive}
        await asyncio.gather(*(self._look(cluster, pod) for pod in pods))

    async def _look(self, cluster: KubernetesCluster, pod: Object) -> None:
        metadata, status = pod["metadata"], pod.get("status", {})
        path = kinds.POD.path(metadata["namespace"], metadata["name"])
        with contextlib.suppress(ApiError):  # gone or changed meanwhile: the next tick sees what is then there
            if "deletionTimestamp" in metadata:
                await cluster._call("DELETE", path, body={"gracePeriodSeconds": 0})
            elif not pod["spec"].get("nodeName"):
                target = {"apiVersion": "v1", "kind": "Node", "name": NODE}
                body = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": metadata["name"]}, "target": target}
                await cluster._call("POST", f"{path}/binding", body=body)
            elif names.LABEL_SERVING not in metadata["labels"]:
                if status.get("phase") == "Pending" and _SOURCE in _words(pod):
                    await self._patch(cluster, f"{path}/status", {"status": self._resolved(pod)})
            elif status.get("phase") == "Pending" and metadata["namespace"] not in self.held:
                await self._patch(cluster, f"{path}/status", {"status": self._running(pod)})
            elif status.get("phase") == "Running":
                await self._sync(cluster, pod)

    def _resolved(self, pod: Object) -> Object:
        container, words = pod["spec"]["containers"][0], _words(pod)
        source = words[words.index(_SOURCE) + 1]
        message, code = self.answers.get(source, (resolver_answer(), 0))
        return ended(container["name"], message, code)

    def _running(self, pod: Object) -> Object:
        number = uuid.UUID(pod["metadata"]["uid"]).int
        address = f"{_PREFIX}.{128 + number % 127}.{1 + number // 127 % 250}"  # from the uid: pods of an earlier run may still be going
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        kinds_of = ("PodScheduled", "Initialized", "ContainersReady", "Ready")
        conditions = [{"type": kind, "status": "True", "lastTransitionTime": now} for kind in kinds_of]
        running = {"ready": True, "restartCount": 0, "image": "i", "imageID": "", "started": True, "state": {"running": {"startedAt": now}}}
        ended = {"exitCode": 0, "reason": "Completed", "startedAt": now, "finishedAt": now}
        done = {**running, "started": False, "state": {"terminated": ended}}
        initial = [
            {**(running if "restartPolicy" in each else done), "name": each["name"]} for each in pod["spec"].get("initContainers", [])
        ]
        engines = [{**running, "name": each["name"]} for each in pod["spec"]["containers"]]
        return {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "conditions": conditions,
            "initContainerStatuses": initial,
            "containerStatuses": engines,
        }

    async def _sync(self, cluster: KubernetesCluster, pod: Object) -> None:
        """Give a pod the snapshot as a kubelet does: when it starts, and when the pod was touched."""
        metadata = pod["metadata"]
        address = pod["status"]["podIP"]
        nudge = metadata.get("annotations", {}).get(names.ANNOTATION_GENERATION)
        known = self._sidecars.get(address)
        if known and (known.nudge == nudge or metadata["namespace"] in self.deaf):
            return
        deployment = metadata["labels"][names.LABEL_DEPLOYMENT]
        snapshot = await cluster.get(kinds.CONFIG_MAP, metadata["namespace"], names.snapshot(deployment))
        error = self.refusing.get(metadata["name"])
        if known and error:
            newest = table.decode(snapshot["data"][table.TABLE_KEY].encode()).generation
            self._sidecars[address] = Sidecar(pod, known.data, nudge, newest, error)
        else:
            self._sidecars[address] = Sidecar(pod, snapshot["data"], nudge)

    def _at(self, request: web.Request) -> Sidecar | None:
        transport = request.transport
        return self._sidecars.get(transport.get_extra_info("sockname")[0] if transport else "")

    async def _stats(self, request: web.Request) -> web.Response:
        sidecar = self._at(request)
        if sidecar is None:
            return web.Response(status=503)
        with self._counting:
            return web.Response(body=self._count(sidecar).expose(), content_type="application/json")

    async def _metrics(self, request: web.Request) -> web.Response:
        """Tell the load of a pod: all engine pods of its namespace have the same part of what comes."""
        sidecar = self._at(request)
        tokens_per_s = self.traffic.get(sidecar.pod["metadata"]["namespace"], 0.0) if sidecar else -1.0
        if sidecar is None or tokens_per_s < 0 or names.LABEL_ENGINE not in sidecar.pod["metadata"]["labels"]:
            return web.Response(status=503)
        metadata = sidecar.pod["metadata"]
        pods = sum(each.pod["metadata"]["namespace"] == metadata["namespace"] for each in self._sidecars.values())
        figures = self._figures.setdefault(metadata["uid"], Figures(sidecar.pod))
        return web.Response(body=figures.told(tokens_per_s / pods), content_type="text/plain")

    async def _status(self, request: web.Request) -> web.Response:
        sidecar = self._at(request)
        if sidecar is None:
            return web.Response(status=503)
        live = sidecar.table
        labels = sidecar.pod["metadata"]["labels"]
        engine = labels.get(names.LABEL_ENGINE, "")
        route = live.for_engine(engine)
        return web.json_response(
            {
                "schemaVersion": 1,
                "deployment": labels[names.LABEL_DEPLOYMENT],
                "engine": engine,
                "revision": route.revision if route else None,
                "generation": live.generation,
                "ready": True,
                "reason": "Serving",
                "draining": False,
                "inflight": self.inflight.get(
                    sidecar.pod["metadata"]["name"], next(self._asked) % 3
                ),  # load comes and goes, and nobody has to write that down
                "running": self.loads.get(sidecar.pod["metadata"]["namespace"], 0),
                "slots": 10,
                "queued": 0,
                "error": sidecar.error,
                "errorGeneration": sidecar.refused,
                "bundleSchema": 1,
                "reaches": self._reached(live, sidecar.pod),
                "revisions": [each.revision for each in live.routes if each.engine == engine],
                "held": 0 if engine else self.holding.get(sidecar.pod["metadata"]["namespace"], 0),
            }
        )

    def _reached(self, live: table.Table, pod: Object) -> list[str]:
        """Return the other engines of a table that have a pod of this deployment here."""
        mine, metadata = pod["metadata"]["labels"].get(names.LABEL_ENGINE), pod["metadata"]
        near = [
            each.pod["metadata"]["labels"].get(names.LABEL_ENGINE)
            for each in self._sidecars.values()
            if each.pod["metadata"]["namespace"] == metadata["namespace"]
            and each.pod["metadata"]["labels"][names.LABEL_DEPLOYMENT] == metadata["labels"][names.LABEL_DEPLOYMENT]
        ]
        return [each for each in live.engines if each != mine and each in near]

    async def _patch(self, cluster: KubernetesCluster, path: str, body: Object) -> None:
        await cluster._call("PATCH", path, body=body, content_type=_MERGE)
