"""Pods follow the load on a real node, and nobody notices: a step up, a fall, changes meanwhile. Stub engines."""

import time
from collections.abc import Iterator

import pytest

from tests.e2e import figures, kit
from tests.e2e.elastic import MORE, NS, STREAM_S, WAIT_S, apply, asked, scaling, wait_decided
from tests.e2e.held import Held
from tests.e2e.traffic import Traffic
from tests.lab.wait import until

pytestmark = [pytest.mark.usefixtures("platform"), pytest.mark.takes_minutes, pytest.mark.timeout(900)]

NAME, STEADY = "elastic", "even"
STEP_S = 10 if figures.SOAK else 30


def rollout(name: str) -> tuple[str, str]:
    """Return which revision is on its way, and how far it is."""
    found = kit.llm(name, NS)["status"].get("rollout", {})
    return found.get("revision", ""), found.get("state", "")


@pytest.fixture(scope="module")
def quiet(platform: None) -> Iterator[Traffic]:  # noqa: ARG001  # the platform must be up first
    """Return what one pod carries, as long as the module lasts; it ends with nothing lost."""
    apply(NAME, 1)
    apply(STEADY, 2)
    kit.wait_settled(NAME, NS, 1)
    kit.wait_settled(STEADY, NS, 2)
    with Traffic(kit.address(NAME, NS), NAME, rps=1, streams=5, stream_s=STREAM_S) as traffic:
        yield traffic
    assert (traffic.seen.failures, traffic.seen.declared) == ([], [])
    kit.kubectl("-n", NS, "delete", "llm", NAME, STEADY, "--wait=true")


def test_a_step_of_load_has_more_pods_and_loses_no_request(quiet: Traffic) -> None:
    wait_decided(NAME, "Fits")
    assert asked(NAME) == 1
    began = time.monotonic()
    with Traffic(quiet.host, NAME, rps=1, streams=MORE, stream_s=STREAM_S) as more:
        until(lambda: asked(NAME) > 1, timeout_s=WAIT_S, what="more pods asked for", interval_s=0.1)
        took_s = time.monotonic() - began
        until(lambda: kit.llm(NAME, NS)["status"]["readyReplicas"] > 1, timeout_s=WAIT_S, what="more pods ready")
    figures.record(
        "load_step", asked_for_after_s=took_s, requests=more.seen.sent, streams=more.seen.streams, failed=len(more.seen.failures)
    )
    assert (more.seen.failures, more.seen.declared) == ([], [])
    assert took_s <= STEP_S
    assert "LoadGrew" in {each["reason"] for each in scaling(NAME)["lastDecisions"]}


def test_a_canary_changes_no_total_and_pods_are_handed_over_without_a_dip(quiet: Traffic) -> None:
    assert quiet.seen.failures == []
    with Held(STEADY, NS) as held, Traffic(kit.address(STEADY, NS), STEADY, rps=2, streams=5, stream_s=STREAM_S) as traffic:
        before = kit.llm(STEADY, NS)["status"]["stable"]["revision"]
        apply(STEADY, 2, context=1024)
        until(lambda: rollout(STEADY)[1] == "Promoted", timeout_s=WAIT_S, what="the change let in")
        promoted = rollout(STEADY)[0]
        apply(STEADY, 2, context=1536)
        until(
            lambda: rollout(STEADY)[0] != promoted and rollout(STEADY)[1] in {"Warming", "Stepping"}, timeout_s=WAIT_S, what="the next one"
        )
        bad = rollout(STEADY)[0]
        action = f'{{"id":"away","verb":"abort","revision":"{bad}"}}'
        kit.kubectl("-n", NS, "annotate", "llm", STEADY, "--overwrite", f"llmops.dev/action={action}")
        until(lambda: rollout(STEADY) == (bad, "Aborted"), timeout_s=WAIT_S, what="it taken back")
        until(lambda: held.now == 2, timeout_s=WAIT_S, what="its pod gone")
        assert kit.llm(STEADY, NS)["status"]["stable"]["revision"] == promoted != before
    figures.record(
        "scaled_canary", least_ready=held.least_ready, peak=held.peak, requests=traffic.seen.sent, failed=len(traffic.seen.failures)
    )
    assert (traffic.seen.failures, traffic.seen.declared) == ([], [])
    assert (held.least_ready, held.peak) == (2, 3)
    assert {each["replicas"] for each in scaling(STEADY)["lastDecisions"]} == {2}


def test_when_the_load_has_fallen_pods_go_drained(quiet: Traffic) -> None:
    wait_decided(NAME, "LoadFell")
    until(lambda: len(kit.items("pods", NS, f"llmops.dev/deployment={NAME}")) == asked(NAME), timeout_s=WAIT_S, what="the pod gone")
    assert quiet.seen.failures == []
