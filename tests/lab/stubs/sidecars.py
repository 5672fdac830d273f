"""What sidecars of simulated pods would report: pure answers from the pods and snapshots that were last seen."""

from dataclasses import dataclass, field
from typing import Any

from llm_operator.core import names
from llm_operator.core.world import engine_of, ready
from llm_sidecar import table
from llm_sidecar.bundle import SCHEMA_VERSION
from llm_sidecar.table import Table

Object = dict[str, Any]
Owner = tuple[str, str]
"""Namespace and name of an LLMDeployment."""


@dataclass
class Sidecars:
    """All pods of the operator and all snapshots, as of their last events."""

    _pods: dict[str, Object] = field(default_factory=dict)
    _by_address: dict[str, str] = field(default_factory=dict)
    _by_owner: dict[Owner, set[str]] = field(default_factory=dict)
    _tables: dict[Owner, Table] = field(default_factory=dict)

    def heard_pod(self, event: str, pod: Object) -> None:
        """Take in what happened to a pod. Addresses are given out again, so a pod that goes takes only its own along."""
        uid, address = pod["metadata"]["uid"], pod.get("status", {}).get("podIP")
        if event == "DELETED":
            self._pods.pop(uid, None)
            self._by_owner.get(_owner(pod), set()).discard(uid)
            if address and self._by_address.get(address) == uid:
                del self._by_address[address]
            return
        self._pods[uid] = pod
        self._by_owner.setdefault(_owner(pod), set()).add(uid)
        if address:
            self._by_address[address] = uid

    def heard_config_map(self, event: str, config_map: Object) -> None:
        """Take in what happened to a ConfigMap; one that is no snapshot, or a broken one, changes nothing, as in a real sidecar."""
        owner = _owner(config_map)
        if config_map["metadata"]["name"] != names.snapshot(owner[1]):
            return
        if event == "DELETED":
            self._tables.pop(owner, None)
            return
        try:
            self._tables[owner] = table.decode(config_map.get("data", {}).get(table.TABLE_KEY, "").encode())
        except table.TableError:
            return

    def pod_at(self, address: str) -> Object | None:
        """Return the pod that has an address."""
        uid = self._by_address.get(address)
        return self._pods.get(uid) if uid else None

    def status(self, address: str) -> Object | None:
        """Return what the sidecar at an address answers to GET /status, or None while it has nothing to say."""
        pod = self.pod_at(address)
        live = self._tables.get(_owner(pod)) if pod else None
        if pod is None or live is None:
            return None
        engine = engine_of(pod)
        route = live.for_engine(engine)
        going = "deletionTimestamp" in pod["metadata"]
        return {
            "schemaVersion": 1,
            "deployment": _owner(pod)[1],
            "engine": engine,
            "revision": route.revision if route else None,
            "generation": live.generation,
            "ready": ready(pod),
            "reason": "Draining" if going else "Serving",
            "draining": going,
            "inflight": 0,
            "running": 0,
            "slots": 256,
            "queued": 0,
            "held": 0,
            "error": "",
            "errorGeneration": None,
            "bundleSchema": SCHEMA_VERSION,
            "reaches": sorted(self._ready_engines(_owner(pod)) - {engine, ""}),
            "revisions": [each.revision for each in live.routes if engine and each.engine == engine],
        }

    def _ready_engines(self, owner: Owner) -> set[str]:
        pods = (self._pods[uid] for uid in self._by_owner.get(owner, ()))
        return {engine_of(pod) for pod in pods if ready(pod)}


def _owner(child: Object) -> Owner:
    metadata = child["metadata"]
    return metadata["namespace"], metadata["labels"][names.LABEL_DEPLOYMENT]
