"""The control plane at a thousand LLMDeployments: how soon, with how many requests, at which cost, and how quiet it is afterwards.

Runs inside a control-plane lab: real API server, controllers and scheduler, KWOK nodes, one process that is every sidecar. Times and
requests come from the API server's audit log, CPU and memory from /proc. ``FLEET_CRS`` sets how many there are, for a quick run.

The lab shares the machine with what is measured, so it is kept lean: few nodes, and Go programs that seldom collect garbage (GOGC=400).
"""

import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench.against import AGAINST
from bench.ledger import Ledger, Request, percentile
from bench.process import Installed, Use, install_operator, stop, stub_sidecars, use
from bench.record import Bound, record, say
from llm_operator.core import kinds
from llm_operator.core.names import LABEL_MANAGED_BY, MANAGED_BY
from tests.integration.chart.kit import kubectl
from tests.integration.server import Server
from tests.lab.cluster import Lab
from tests.lab.kwok import open_node
from tests.lab.wait import until

SYSTEM, FLEET = "bench-system", "fleet"
FULL = 1000
PER_S = 5.0
_PER_NODE = 80
"""Accelerators of a simulated node, which holds 110 pods. Each node renews a Lease six times a minute, so there are few of them."""
_SPARE_NODES = 5
_QUIET_S = 20.0
_CRDS = Path(__file__).resolve().parents[1] / "crds"

BOUNDS = {
    "create_p99_s": Bound(5, 1),
    "calls_per_create": Bound(40, 20),
    "writes_per_create": Bound(12, 12),
    "noop_writes": Bound(0, 0),
    "idle_writes": Bound(0, 0),
    "rss_mb": Bound(200, 150),
    "cpu_s_per_create": Bound(None, 0.025),
    "restart_quiet_s": Bound(30, 5),
    "restart_writes": Bound(0, 0),
    "slow_restart_writes": Bound(0, 0),
    "delete_all_s": Bound(None, 21),
}


def llm_deployment(number: int) -> dict[str, Any]:
    """Return one of the fleet."""
    return {
        "apiVersion": kinds.LLM_DEPLOYMENT.api_version,
        "kind": kinds.LLM_DEPLOYMENT.kind,
        "metadata": {"name": f"chat-{number:04}"},
        "spec": {
            "model": {"source": f"s3://models/tiny-{number}"},
            "accelerator": {"profile": "nvidia", "count": 1},
            "replicas": 1,
            "prompt": {"inline": {"system": f"You are assistant {number}. Be brief."}},
        },
    }


class Fleet:
    """One run."""

    def __init__(self, lab: Lab, count: int, folder: Path) -> None:
        self.count = count
        self.idle_s = 300.0 if count >= FULL else 60.0
        self.server = Server(lab)
        self.lab = lab
        self.operator = self._install(folder)
        self.ledger = Ledger(lab.state.audit_log, self.operator.account)
        self.peak_mb = 0.0
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """Start the operator, or one that another command runs."""
        process = self.operator.start(command) if command else self.operator.start()
        self._started.append(process)
        return process

    def end(self) -> None:
        """End what still runs, whatever happened."""
        for process in self._started:
            if process.poll() is None:
                process.kill()

    def _install(self, folder: Path) -> Installed:
        for path in sorted(_CRDS.glob("*.yaml")):
            kubectl("apply", "--server-side", f"--filename={path}")
        kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd/llmdeployments.llmops.dev", "crd/llmprompts.llmops.dev")
        for name in (SYSTEM, FLEET):
            self.server.create_namespace(name)
        for number in range(self.count // _PER_NODE + _SPARE_NODES):
            self.server.create_node(open_node(f"open-{number}", gpus=_PER_NODE))
        # A resync falls into the time at rest, so that it is measured too.
        return install_operator(self.lab, folder, SYSTEM, {"namespaces": [FLEET], "resyncSeconds": int(self.idle_s * 0.8)})

    def create(self, process: subprocess.Popen[bytes]) -> dict[str, float]:
        """Create the fleet at its pace and wait until all of it is ready."""
        before, began = use(process.pid), time.time()
        for number in range(self.count):
            due = began + number / PER_S
            until(lambda due=due: time.time() >= due, timeout_s=60, what="the next one due", interval_s=0.01)  # type: ignore[misc]  # bound
            self.server.create(llm_deployment(number), FLEET)
            if number % 100 == 99:
                self._note(process, f"{number + 1} asked for")
        until(self._all_ready, timeout_s=300, what="all of them ready", interval_s=1.0)
        self._settle(process)
        after, end = self._note(process, "all ready"), time.time()
        requests = self.ledger.between(began, end)
        made = [each for each in self.ledger.creations.values() if each.children]
        return {
            "create_p50_s": percentile([each.created_s for each in made], 0.5),
            "create_p99_s": percentile([each.created_s for each in made], 0.99),
            "ready_p99_s": percentile([each.ready - each.asked for each in made if each.ready], 0.99),
            **self._per_create(requests),
            "noop_writes": sum(each.noop for each in requests),
            "cpu_s_per_create": (after.cpu_s - before.cpu_s) / self.count,
        }

    def _per_create(self, requests: list[Request]) -> dict[str, float]:
        own = [each for each in requests if not each.apart]
        heads = {head: sum(each.apart == head for each in requests) for head in ("resolver_jobs", "events", "nudges")}
        return {
            "calls_per_create": len(own) / self.count,
            "writes_per_create": sum(each.writes for each in own) / self.count,
            **{f"{head}_per_create": number / self.count for head, number in heads.items()},
        }

    def rest(self, process: subprocess.Popen[bytes]) -> dict[str, float]:
        """Leave it alone for a while, a resync included."""
        before, began = use(process.pid), time.time()
        until(lambda: time.time() >= began + self.idle_s, timeout_s=self.idle_s + 60, what="the time at rest over", interval_s=1.0)
        after = self._note(process, "rested")
        requests = self.ledger.between(began)
        return {
            "idle_writes": sum(each.writes for each in requests),
            "idle_reads_per_s": sum(each.reads for each in requests) / self.idle_s,
            "idle_cpu_s": after.cpu_s - before.cpu_s,
        }

    def restart(self, *command: str) -> tuple[subprocess.Popen[bytes], dict[str, float]]:
        """Start the operator over a fleet at rest; it is quiet after its last request."""
        began = time.time()
        process = self.start(*command)
        self._settle(process)
        requests = self.ledger.between(began)
        held = [each.at for each in self.ledger.requests if each.at >= began and each.apart == "lease" and each.writes]
        first = min(held, default=began)
        return process, {
            "restart_quiet_s": max((each.at for each in requests), default=first) - first,
            "restart_writes": sum(each.writes for each in requests),
            "restart_reads": sum(each.reads for each in requests),
        }

    def delete(self) -> dict[str, float]:
        """Delete all of it and wait until none of its children is left."""
        began = time.time()
        kubectl("-n", FLEET, "delete", "llmdeployments", "--all", "--wait=false")
        until(self._none_left, timeout_s=300, what="every child gone", interval_s=1.0)
        self.ledger.read()
        return {"delete_all_s": max(self.ledger.deletions) - began}

    def _all_ready(self) -> bool:
        self.ledger.read()
        return sum(bool(each.ready) for each in self.ledger.creations.values()) >= self.count

    def _none_left(self) -> bool:
        labels = f"{LABEL_MANAGED_BY}={MANAGED_BY},llmops.dev/deployment"
        return not any(self.server.list(kind, FLEET, labels) for kind in kinds.CHILDREN)

    def _settle(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until the operator has asked nothing of the API server for a while."""
        began = time.time()

        def quiet() -> bool:
            assert process.poll() is None, "the operator ended"
            self.peak_mb = max(self.peak_mb, use(process.pid).rss_mb)
            self.ledger.read()
            last = max((each.at for each in self.ledger.between(began)), default=began)
            return time.time() - last > _QUIET_S

        until(quiet, timeout_s=300, what="the operator quiet", interval_s=1.0)

    def _note(self, process: subprocess.Popen[bytes], what: str) -> Use:
        assert process.poll() is None, "the operator ended"
        self.ledger.read()
        taken = use(process.pid)
        self.peak_mb = max(self.peak_mb, taken.rss_mb)
        say(f"{what}: {taken.rss_mb:.0f} MB, {taken.cpu_s:.1f} s of CPU, {len(self.ledger.requests)} requests")
        return taken


def main() -> int:
    """Run it, write the figures down, and fail where a floor is not kept."""
    count = int(os.environ.get("FLEET_CRS") or FULL)
    lab = Lab.current()
    lab.require_pod_addresses()
    with ExitStack() as parts:
        folder = Path(parts.enter_context(tempfile.TemporaryDirectory()))
        parts.enter_context(stub_sidecars())
        fleet = Fleet(lab, count, folder)
        parts.callback(fleet.end)
        running = fleet.start()
        fleet._settle(running)
        figures = fleet.create(running) | fleet.rest(running)
        figures["rss_mb"] = fleet.peak_mb
        stop(running)
        running, again = fleet.restart()
        figures |= again
        fleet._note(running, "restarted")
        figures["restart_rss_mb"] = use(running.pid).rss_mb
        stop(running)
        running, slow = fleet.restart("-m", "bench.slow_operator")
        figures["slow_restart_writes"] = slow["restart_writes"]
        stop(running)
        running, _ = fleet.restart()
        figures |= fleet.delete()
        stop(running)
        (Path(".cache") / "fleet-operator.log").write_bytes((folder / "log").read_bytes())
    rounded = {name: round(float(value), 3) for name, value in figures.items()}
    return record("fleet" if count >= FULL else f"fleet-{count}", rounded, BOUNDS, AGAINST, deployments=count)


if __name__ == "__main__":
    sys.exit(main())
