"""A prompt edit reaches every pod of a large deployment at once, and one that cannot be reached loses nothing. Stub engine, real sidecars.

Alone on the machine: it is a measurement, and its last test takes the kubelet away. With LLM_SOAK=1 the times of the plan are asserted
and the snapshot stays frozen for five minutes.
"""

import math
from collections.abc import Iterator

import pytest

from tests.e2e import figures, kit, reports
from tests.e2e.freezing import frozen_snapshot
from tests.e2e.manifests import SMALL, deployment
from tests.e2e.traffic import Traffic
from tests.lab.api import Api
from tests.lab.cluster import Lab
from tests.lab.wait import until

pytestmark = [pytest.mark.usefixtures("platform"), pytest.mark.alone, pytest.mark.timeout(900)]

NS = "llm-e2e"
NAME = "many"
REPLICAS = 20
GOAL_S = 1.0
EDITS = 10 if figures.SOAK else 3
FROZEN_S = 300 if figures.SOAK else 60
KUBELET_AWAY_S = 15
PATH = f"/apis/llmops.dev/v1alpha1/namespaces/{NS}/llmdeployments/{NAME}"


@pytest.fixture(scope="module")
def many(platform: None) -> Iterator[str]:  # noqa: ARG001  # the platform must be up first
    """One settled LLMDeployment with twenty pods; its address."""
    kit.apply(deployment(NAME, replicas=REPLICAS, **SMALL), namespace=NS)
    kit.wait_settled(NAME, NS, REPLICAS, timeout_s=300)
    yield kit.address(NAME, NS)
    kit.kubectl("-n", NS, "delete", "llm", NAME, "--wait=true")


def _prompt(text: str) -> kit.Object:
    return {"spec": {"prompt": {"inline": {"system": text}}}}


def _edit(text: str) -> None:
    Api(Lab.current().state).text(PATH, method="PATCH", body=_prompt(text), content_type="application/merge-patch+json")


def _identity(pods: list[kit.Object]) -> dict[str, int]:
    """Return what must not change: which pods there are, and how often their containers were started again."""
    return {pod["metadata"]["uid"]: sum(kit.each_restart([pod])) for pod in pods}


def _stable() -> str:
    return str(kit.llm(NAME, NS)["status"]["stable"]["revision"])


def _bundles() -> set[str]:
    snapshot = kit.get("configmap", f"{NAME}-snapshot", NS)
    assert snapshot is not None
    return {key.removeprefix("bundle-").removesuffix(".json") for key in snapshot["data"] if key.startswith("bundle-")}


def _late() -> kit.Object:
    return kit.condition(kit.llm(NAME, NS), "TableProgrammed")


def test_a_prompt_edit_is_run_by_all_of_twenty_sidecars_within_a_second(many: str) -> None:  # noqa: ARG001
    before = kit.pods_of(NAME, NS)
    addresses = {pod["metadata"]["name"]: pod["status"]["podIP"] for pod in before}
    took: list[float] = []
    for number in range(EDITS):
        arrived = reports.arrivals(Api(Lab.current().state), PATH, _prompt(f"Edit {number}."), addresses, timeout_s=60)
        took += arrived.values()
        kit.wait_settled(NAME, NS, REPLICAS)
    took.sort()
    p50, p99 = took[len(took) // 2], took[math.ceil(len(took) * 0.99) - 1]
    figures.record("prompt_edit_s", pods=REPLICAS, edits=EDITS, p50=p50, p99=p99, max=took[-1])
    assert _identity(kit.pods_of(NAME, NS)) == _identity(before)
    assert set(kit.each_restart(before)) == {0}
    assert p99 <= (GOAL_S if figures.SOAK else 3 * GOAL_S)


def test_a_pod_with_a_frozen_snapshot_is_named_answers_right_and_loses_nothing(many: str) -> None:
    pods = kit.pods_of(NAME, NS)
    victim = pods[0]
    name, old = victim["metadata"]["name"], _stable()
    with (
        Traffic(many, NAME, rps=10, streams=10) as traffic,
        frozen_snapshot(victim),
        Traffic(victim["status"]["podIP"], NAME, rps=2, streams=2) as own,
    ):
        _edit("Frozen.")
        kit.seconds_until(
            lambda: _late().get("status") == "False" and name in _late().get("message", ""), timeout_s=60, what="the frozen pod named"
        )
        others = [pod for pod in pods if pod["metadata"]["name"] != name]
        until(lambda: all(reports.status(pod)["revision"] != old for pod in others), timeout_s=60, what="all others on the new revision")
        new = next(iter({reports.status(pod)["revision"] for pod in others}))
        kit.stays(lambda: old in _bundles() and new in _bundles() and name in _late()["message"], for_s=FROZEN_S, what="both bundles live")
        assert reports.status(victim)["revision"] == old
    kit.seconds_until(lambda: kit.settled(NAME, NS, REPLICAS) and _bundles() == {new}, timeout_s=120, what="converged after the thaw")
    assert reports.status(victim)["revision"] == new
    assert set(traffic.seen.revisions) == {old, new}
    assert set(own.seen.revisions) <= {old, new}
    for seen in (traffic.seen, own.seen):
        assert (seen.failures, seen.declared, seen.mixed()) == ([], [], [])
    assert _identity(kit.pods_of(NAME, NS)) == _identity(pods)


def test_nothing_is_removed_while_the_kubelet_is_away(many: str) -> None:
    before, old, lab = kit.pods_of(NAME, NS), _stable(), Lab.current()
    with Traffic(many, NAME, rps=10, streams=10) as traffic:
        lab.stop("kubelet")
        try:
            _edit("Without a kubelet.")
            until(lambda: len(_bundles()) == 2, timeout_s=30, what="the new bundle beside the old")
            kit.stays(lambda: old in _bundles() and len(kit.pods_of(NAME, NS)) == REPLICAS, for_s=KUBELET_AWAY_S, what="nothing removed")
            assert {reports.status(pod)["revision"] for pod in before} == {old}
        finally:
            lab.start("kubelet")
        kit.seconds_until(
            lambda: kit.settled(NAME, NS, REPLICAS) and old not in _bundles(), timeout_s=180, what="converged after the kubelet"
        )
    assert (traffic.seen.failures, traffic.seen.declared, traffic.seen.mixed()) == ([], [], [])
    assert _identity(kit.pods_of(NAME, NS)) == _identity(before)
