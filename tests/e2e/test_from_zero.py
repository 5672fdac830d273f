"""A deployment without a pod: a thousand requests wait for one through a start of a minute, none is lost, and it goes again. Stub engine.

Behind the tests that share the operator: it is killed meanwhile.
"""

import asyncio
import time
from dataclasses import dataclass

import aiohttp
import pytest

from tests.e2e import figures, kit
from tests.e2e.killing import kill, pids_of
from tests.e2e.manifests import SMALL, deployment, merged
from tests.e2e.traffic import Traffic
from tests.lab import product
from tests.lab.wait import until

pytestmark = [pytest.mark.usefixtures("platform"), pytest.mark.operator_goes, pytest.mark.takes_minutes, pytest.mark.timeout(600)]

NS = "llm-e2e"
NAME = "sleeper"
CROWD = 1000
AUTOSCALING = {"mode": "BuiltIn", "minReplicas": 0, "maxReplicas": 1, "scaleToZeroAfter": "30s"}
ASLEEP = merged(
    SMALL, {"engine": {"profile": "stub-sleepy"}, "replicas": 0, "autoscaling": AUTOSCALING, "limits": {"hold": {"requests": CROWD}}}
)


@dataclass
class Crowd(Traffic):
    """So many requests at once, each second one a stream; leaving waits for their answers."""

    number: int = CROWD

    async def _open(self) -> None:
        every = aiohttp.ClientTimeout(total=300)
        self._kept = aiohttp.ClientSession(timeout=every, connector=aiohttp.TCPConnector(limit=0))
        self._fresh = aiohttp.ClientSession(timeout=every, connector=aiohttp.TCPConnector(limit=0, force_close=True))
        self._first = asyncio.Event()
        self._tasks = [asyncio.create_task(self._stream(8) if number % 2 else self._ask(self._kept)) for number in range(self.number)]


def test_a_thousand_requests_wait_for_a_pod_and_none_is_lost() -> None:
    kit.apply(deployment(NAME, **ASLEEP), namespace=NS)
    kit.kubectl("-n", NS, "wait", f"llm/{NAME}", "--for=condition=Ready", "--timeout=120s")
    status = kit.llm(NAME, NS)["status"]
    assert (status["phase"], status["replicas"]) == ("ScaledToZero", 0)
    host, entry = kit.address(NAME, NS), _entry()

    _kill_operator()  # who asks now is heard by the next one
    began = time.monotonic()
    with Crowd(host, NAME) as crowd:
        until(lambda: _held(entry) == CROWD, timeout_s=60, what="a thousand requests held")
        refused = kit.chat(host, model=NAME)
        assert (refused.status, refused.json()["error"]["code"], "retry-after" in refused.headers) == (429, "hold_full", True)
        until(lambda: kit.pods_of(NAME, NS), timeout_s=120, what="a pod for those who wait")
        woken_s = time.monotonic() - began
        _kill_operator()
        until(lambda: _phase() == "Waking", timeout_s=180, what="its waking told")
        assert kit.condition(kit.llm(NAME, NS), "Ready")["reason"] == "Waking"
        pods = {pod["metadata"]["uid"] for pod in kit.pods_of(NAME, NS)}
        until(lambda: any(map(kit.is_ready, kit.pods_of(NAME, NS))), timeout_s=180, what="the pod ready")
        ready_s = time.monotonic() - began
        assert {pod["metadata"]["uid"] for pod in kit.pods_of(NAME, NS)} == pods
    answered_s, seen = time.monotonic() - began, crowd.seen
    slept_s = kit.seconds_until(lambda: _phase() == "ScaledToZero" and not kit.pods_of(NAME, NS), timeout_s=180, what="asleep again")
    figures.record(
        "from_zero", requests=CROWD, failed=len(seen.failures), woken_s=woken_s, ready_s=ready_s, answered_s=answered_s, slept_s=slept_s
    )
    assert (seen.failures, seen.declared, seen.mixed()) == ([], [], [])
    assert sum(seen.revisions.values()) == CROWD
    assert kit.condition(kit.llm(NAME, NS), "Ready")["reason"] == "ScaledToZero"
    kit.kubectl("-n", NS, "delete", "llm", NAME, "--wait=false")


def _phase() -> str:
    return str(kit.llm(NAME, NS)["status"]["phase"])


def _entry() -> str:
    """Return the address of the entry, once the kubelet calls it ready: the deployment may be so a moment before or after."""
    selector = f"llmops.dev/deployment={NAME},llmops.dev/role=entry"
    entry = until(lambda: next(filter(kit.is_ready, kit.items("pods", NS, selector)), None), timeout_s=60, what="the entry ready")
    return str(entry["status"]["podIP"])


def _held(entry: str) -> int:
    return int(kit.request(entry, "GET", "/status", port=9090).json()["held"])


def _kill_operator() -> None:
    """End every process of the operator. There may be none for a while: tests beside this one take its pod away too."""
    kill(until(_of_operator, timeout_s=180, what="a process of the operator"))


def _of_operator() -> list[int]:
    return [pid for pod in kit.items("pods", product.SYSTEM_NAMESPACE) for pid in pids_of(pod)]
