"""The data plane without its operator: last in the suite, since it takes the operator away. Stub engine."""

import pytest

from tests.e2e import figures, kit, platform
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
    pod_ip = kit.pods_of("slow", platform.MAIN)[0]["status"]["podIP"]
    platform.scale_operator(0)
    try:
        snapshot = kit.get("configmap", "slow-snapshot", platform.MAIN)
        assert snapshot is not None
        generation = kit.request(pod_ip, "GET", "/status", port=9090).json()["generation"]
        table = snapshot["data"]["table.json"].replace(f'"generation":{generation}', f'"generation":{generation + 1}')
        kit.kubectl(
            "-n", platform.MAIN, "patch", "configmap", "slow-snapshot", "--type=merge", "-p", platform.merge_data("table.json", table)
        )
        took = kit.seconds_until(
            lambda: kit.request(pod_ip, "GET", "/status", port=9090).json()["generation"] == generation + 1,
            timeout_s=180,
            what="snapshot delivered without a nudge",
        )
        assert took > 30
    finally:
        platform.scale_operator(1)
    kit.kubectl("-n", platform.MAIN, "delete", "llm", "slow", "--wait=false")


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
