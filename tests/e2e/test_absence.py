"""The data plane without its operator: last in the suite, since it takes the operator away. Stub engine."""

import pytest

from llm_operator.core.names import ANNOTATION_GENERATION
from tests.e2e import figures, kit, platform, reports
from tests.e2e.manifests import deployment
from tests.lab import product
from tests.lab.wait import until

pytestmark = [pytest.mark.usefixtures("platform"), pytest.mark.alone(ends_the_product=True)]


def test_a_namespace_is_deleted_within_a_minute() -> None:
    kit.apply(deployment("there"), namespace=platform.GONE)
    kit.wait_settled("there", platform.GONE)
    kit.kubectl("delete", "namespace", platform.GONE, "--wait=false")
    kit.seconds_until(
        lambda: not kit.kubectl("get", "namespace", platform.GONE, "--ignore-not-found"),
        timeout_s=figures.within(60),
        what="namespace gone",
    )


@pytest.mark.timeout(600)
def test_without_the_nudge_a_snapshot_takes_the_kubelet_s_minute() -> None:
    """The control run: what the annotation is for. The operator is scaled away so that nobody nudges."""
    kit.apply(deployment("slow"), namespace=platform.MAIN)
    kit.wait_settled("slow", platform.MAIN)
    (pod,) = kit.pods_of("slow", platform.MAIN)
    platform.scale_operator(0)
    try:
        generation = reports.status(pod)["generation"]
        _renumber(generation, generation + 1)
        # The minute began when the pod was last looked at, and half of it may be gone with the operator. A nudge begins it anew.
        nudge = f"{ANNOTATION_GENERATION}={generation + 1}"
        kit.kubectl("-n", platform.MAIN, "annotate", "--overwrite", "pod", pod["metadata"]["name"], nudge)
        until(lambda: reports.status(pod)["generation"] == generation + 1, timeout_s=180, what="snapshot delivered with a nudge")
        _renumber(generation + 1, generation + 2)
        took = kit.seconds_until(
            lambda: reports.status(pod)["generation"] == generation + 2, timeout_s=180, what="snapshot delivered without a nudge"
        )
        assert took > 30
    finally:
        platform.scale_operator(1)
    kit.kubectl("-n", platform.MAIN, "delete", "llm", "slow", "--wait=false")


def _renumber(old: int, new: int) -> None:
    """Write the table anew under another generation."""
    snapshot = kit.get("configmap", "slow-snapshot", platform.MAIN)
    assert snapshot is not None
    table = snapshot["data"]["table.json"].replace(f'"generation":{old}', f'"generation":{new}')
    kit.kubectl("-n", platform.MAIN, "patch", "configmap", "slow-snapshot", "--type=merge", "-p", platform.merge_data("table.json", table))


def test_requests_go_on_when_the_operator_is_uninstalled_and_the_namespace_can_still_be_deleted() -> None:
    kit.apply(deployment("orphan"), namespace=platform.MAIN)
    kit.wait_settled("orphan", platform.MAIN)
    with kit.Load(kit.address("orphan", platform.MAIN), every_s=0.05, model="orphan") as load:
        product.uninstall()
        until(lambda: load.sent > 100, timeout_s=60, what="a hundred requests without an operator")
    assert load.failures == []
    kit.kubectl("delete", "namespace", platform.MAIN, "--wait=false")
    kit.seconds_until(
        lambda: not kit.kubectl("get", "namespace", platform.MAIN, "--ignore-not-found"),
        timeout_s=figures.within(60),
        what="namespace gone",
    )
