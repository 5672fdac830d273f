"""Accelerators that a change of the engine holds at its peak, for each mode of capacity and 1, 2, 4 and 8 replicas.

Runs inside a control-plane lab: real API server, controllers and scheduler, KWOK nodes of eight accelerators each, one process that is
every sidecar. Pods take three seconds to end, as if they finished streams. The peaks come from the API server's audit log, and from what
nodes have on them, looked at all the time; the second can only be lower.
"""

import sys
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench.accelerator_peers import PEAKS, SOURCES
from bench.holding import Hold, holds, peak
from bench.process import install_operator, stop, stub_sidecars
from bench.record import Bound, record, say
from llm_operator.core import kinds, names
from tests.integration.chart.kit import kubectl
from tests.integration.server import Server
from tests.lab.cluster import Lab
from tests.lab.kwok import open_node
from tests.lab.wait import until

SYSTEM, DRAINS = "bench-system", "bench-drains"
MODES = ("Surge", "Borrow", "Replace")
SIZES = (1, 2, 4, 8)
_NODES = 8
_TIMEOUT_S = 600
_CRDS = Path(__file__).resolve().parents[1] / "crds"

BOUNDS = {f"peak_{mode.lower()}_{size}": Bound(size + (mode == "Surge")) for mode in MODES for size in SIZES}


def llm_deployment(mode: str, size: int) -> dict[str, Any]:
    """Return one whose changes of the engine go by steps."""
    rollout = {
        "capacity": {"mode": mode},
        "engine": {"steps": [{"weightPercent": 5, "minDuration": "5s"}]},
        "abort": {"keepCanaryFor": "0s"},
    }
    return {
        "apiVersion": kinds.LLM_DEPLOYMENT.api_version,
        "kind": kinds.LLM_DEPLOYMENT.kind,
        "metadata": {"name": name_of(mode, size)},
        "spec": {
            "model": {"source": f"s3://models/{name_of(mode, size)}"},
            "accelerator": {"profile": "nvidia", "count": 1},
            "replicas": size,
            "rollout": rollout,
        },
    }


def name_of(mode: str, size: int) -> str:
    """Return the name of a deployment."""
    return f"{mode.lower()}-{size}"


def belongs(pod: str, deployment: str) -> bool:
    """Return whether a pod is one of a deployment's engines; the entry and resolvers have no accelerator."""
    return pod.startswith(f"{deployment}-") and not pod.startswith((f"{deployment}-entry-", f"{deployment}-resolve-"))


class Run:
    """All deployments, and what was seen of them."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.seen: dict[str, int] = defaultdict(int)
        self.names = {name_of(mode, size): (mode, size) for mode in MODES for size in SIZES}

    def create(self) -> None:
        """Create all of them, and wait until they serve."""
        for mode, size in self.names.values():
            self.server.create(llm_deployment(mode, size), DRAINS)
        until(lambda: all(self._is(name, "Ready") for name in self.names), timeout_s=_TIMEOUT_S, what="all of them ready", interval_s=1.0)

    def change(self) -> None:
        """Ask for another engine of all of them, and look until each has it, or never will."""
        for name in self.names:
            self.server.merge(kinds.LLM_DEPLOYMENT, DRAINS, name, {"spec": {"engine": {"maxModelLen": 4096}}})
        until(lambda: min(map(self._through, list(self.names))), timeout_s=_TIMEOUT_S, what="all of them changed", interval_s=0.5)

    def _is(self, name: str, phase: str) -> bool:
        return bool(self.server.status(DRAINS, name).get("phase") == phase)

    def _through(self, name: str) -> bool:
        """Return whether a change is through. The only replica is not lent, so that change waits."""
        pods = [pod for pod in self.server.children(DRAINS, name, kinds.POD) if names.LABEL_ENGINE in pod["metadata"]["labels"]]
        self.seen[name] = max(self.seen[name], sum(bool(pod["spec"].get("nodeName")) for pod in pods))
        live = self.server.must(kinds.LLM_DEPLOYMENT, DRAINS, name)
        status = live.get("status", {})
        if status.get("observedGeneration") != live["metadata"]["generation"]:
            return False
        if self.names[name] == ("Borrow", 1):
            return bool(status.get("loan", {}).get("reason") == "OnlyReplica")
        return bool(status["phase"] == "Ready" and status["stable"]["revision"] == status["latestRevision"])


def course(held: list[Hold], began: float) -> list[tuple[float, int]]:
    """Return how many were held since when, from when the change was asked for."""
    times = sorted({began, *(at for each in held for at in (each.since, each.until) if began < at < float("inf"))})
    return [(round(at - began, 1), sum(each.since <= at < each.until for each in held)) for at in times]


def main() -> int:
    """Run it, and write the figures down."""
    lab = Lab.current()
    lab.require_pod_addresses()
    with ExitStack() as parts:
        folder = Path(parts.enter_context(tempfile.TemporaryDirectory()))
        parts.enter_context(stub_sidecars())
        server = Server(lab)
        for path in sorted(_CRDS.glob("*.yaml")):
            kubectl("apply", "--server-side", f"--filename={path}")
        kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd/llmdeployments.llmops.dev", "crd/llmprompts.llmops.dev")
        for name in (SYSTEM, DRAINS):
            server.create_namespace(name)
        for number in range(_NODES):
            server.create_node(open_node(f"open-{number}"))
        process = install_operator(lab, folder, SYSTEM, {"namespaces": [DRAINS]}).start()
        parts.callback(process.kill)
        run = Run(server)
        run.create()
        say("all of them serve")
        began = time.time()
        run.change()
        say("all of them have changed")
        stop(process)
        held = holds(lab.audit_events(), DRAINS)
    mine = {name: [each for each in held if belongs(each.pod, name) and each.until > began] for name in run.names}
    figures = {f"peak_{name.replace('-', '_')}": peak(each) for name, each in mine.items()}
    for name, most in run.seen.items():
        assert most <= peak(mine[name]), f"nodes have had more pods of {name} than the audit log says"
    against = {peer: {str(size): of(size) for size in SIZES} | {"rule": SOURCES[peer]} for peer, of in PEAKS.items()}
    courses = {name: course(mine[name], began) for name in run.names if name.endswith("-4")}
    return record("accelerators", figures, BOUNDS, against, seen_on_nodes=dict(run.seen), courses=courses)


if __name__ == "__main__":
    sys.exit(main())
