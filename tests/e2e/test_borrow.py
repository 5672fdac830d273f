"""A change of the engine with no accelerator to spare, under real requests: refused while they are many, and given back as they rise.

Stub engines. What users notice is how long a stream waits for its first event.
"""

import statistics
import threading
import time

import pytest

from tests.e2e import figures, kit
from tests.e2e.held import Held
from tests.e2e.manifests import deployment
from tests.e2e.traffic import Traffic
from tests.lab.wait import until

NS = "llm-e2e"
NAME = "scarce"
REPLICAS = 3
SLOTS = 10
"""Requests that a pod takes at once. With half of them free, two pods carry 10 requests, and lend the third below 8."""
BUSY, QUIET, SPIKE = 9, 4, 24
"""Streams. They rise to the last of these with LLM_SOAK=1, else until the pod is back."""
EACH_S = 3
"""One more stream each so often: the room that was left fills up in about the time in which a pod comes back."""
FIRST_EVENT_S = 1.0 if figures.SOAK else 3.0

pytestmark = [pytest.mark.usefixtures("platform"), pytest.mark.takes_minutes, pytest.mark.timeout(900)]


def _apply(context: int) -> None:
    engine = {"profile": "stub-slow", "maxModelLen": context, "resources": {"cpu": "30m", "memory": "128Mi"}}
    rollout = {
        "capacity": {"mode": "Borrow", "headroomPercent": 50},
        "engine": {"steps": [{"weightPercent": 20, "minDuration": "1h", "maxDuration": "2h"}]},
        "abort": {"keepCanaryFor": "0s"},
    }
    kit.apply(deployment(NAME, engine=engine, replicas=REPLICAS, limits={"maxConcurrency": SLOTS}, rollout=rollout), namespace=NS)


def _is(state: str, stable: int) -> bool:
    status = kit.llm(NAME, NS)["status"]
    return (status.get("rollout", {}).get("state"), status["stable"]["ready"]) == (state, stable)


def _lent(reason: str) -> bool:
    loan = kit.llm(NAME, NS)["status"].get("loan") or {}
    return bool(loan.get("reason") == reason)


def test_a_pod_is_lent_when_the_load_allows_it_and_is_back_before_a_spike_is_noticed() -> None:
    _apply(2048)
    kit.wait_settled(NAME, NS, REPLICAS)
    traffic = Traffic(kit.address(NAME, NS), NAME, rps=1, streams=BUSY, stream_s=(3, 4, 5))
    with Held(NAME, NS) as held, traffic:
        _apply(1024)
        until(lambda: _is("WaitingCapacity", REPLICAS) and _lent("LoadHigh"), timeout_s=90, what="refused while the load is high")
        traffic.hold(QUIET)
        until(lambda: _is("Stepping", REPLICAS - 1), timeout_s=240, what="a pod lent and a canary that serves")
        canary = kit.llm(NAME, NS)["status"]["rollout"]["revision"]
        until(lambda: traffic.seen.revisions[canary] > 0, timeout_s=60, what="an answer of the canary")
        before, began, back_s, streams = len(traffic.seen.first_event_s), time.monotonic(), 0.0, QUIET
        while streams < SPIKE and (figures.SOAK or not back_s):
            streams += 1
            traffic.hold(streams)
            threading.Event().wait(EACH_S)
            if not back_s and _is("WaitingCapacity", REPLICAS):
                back_s = time.monotonic() - began
        until(lambda: _is("WaitingCapacity", REPLICAS), timeout_s=60, what="the pod given back")
        threading.Event().wait(10)
        waited = sorted(traffic.seen.first_event_s[before:])
    p99 = statistics.quantiles(waited, n=100)[-1]
    figures.record(
        "borrow",
        streams_before=QUIET,
        streams_after=streams,
        rise_s=(streams - QUIET) * EACH_S,
        back_after_s=back_s,
        first_event_p99_s=p99,
        first_event_max_s=waited[-1],
        failed=len(traffic.seen.failures),
        declared=len(traffic.seen.declared),
        gpu_peak_over_n=held.peak - REPLICAS,
    )
    assert (traffic.seen.failures, traffic.seen.declared, traffic.seen.torn()) == ([], [], [])
    assert back_s > 0, "it came back only after the spike"
    assert p99 <= FIRST_EVENT_S
    assert held.peak == REPLICAS
    kit.kubectl("-n", NS, "delete", "llm", NAME, "--wait=true")
