"""Other weights under the prefix that is served: told of, then rolled out, on a real node and a real store. The engine is the stub."""

from collections.abc import Iterator

import pytest

from tests.e2e import kit
from tests.e2e.manifests import deployment
from tests.lab import product, s3_component
from tests.lab.images import model
from tests.lab.s3 import S3Client
from tests.lab.wait import until

pytestmark = pytest.mark.timeout(600)

NS = "llm-e2e"
NAME = "moving"
SOURCE = f"s3://{product.BUCKET}/{NAME}"
REPLICAS = 2


def _upload(seed: int) -> None:
    S3Client(s3_component.ENDPOINT).upload(product.BUCKET, NAME, model.ensure(seed))


def _wanted(policy: str) -> kit.Object:
    return deployment(NAME, replicas=REPLICAS, model={"source": SOURCE, "updatePolicy": policy})


def _resolution() -> kit.Object:
    return next(each for each in kit.llm(NAME, NS)["status"]["resolutions"] if each["field"] == "spec.model.source")


@pytest.fixture(scope="module")
def host(platform: None) -> Iterator[str]:  # noqa: ARG001  # the platform must be up first
    """One settled LLMDeployment that is told of what its source comes to hold; its address."""
    _upload(seed=0)
    kit.apply(_wanted("Notify"), namespace=NS)
    kit.wait_settled(NAME, NS, REPLICAS)
    yield kit.address(NAME, NS)
    kit.kubectl("-n", NS, "delete", "llm", NAME, "--wait=false")


def test_other_weights_are_told_of_and_roll_out_without_a_failed_request(host: str) -> None:
    before, digest = kit.pods_of(NAME, NS), _resolution()["digest"]
    engine = kit.llm(NAME, NS)["status"]["stable"]["engine"]
    with kit.Load(host, every_s=0.2, model=NAME) as load:
        _upload(seed=1)
        until(lambda: kit.condition(kit.llm(NAME, NS), "UpdateAvailable").get("status") == "True", timeout_s=120, what="UpdateAvailable")
        available = _resolution()["available"]
        assert available != digest
        assert f"{SOURCE} holds {available} now, and {digest} is served" in kit.condition(kit.llm(NAME, NS), "UpdateAvailable")["message"]
        assert {pod["metadata"]["uid"] for pod in kit.pods_of(NAME, NS)} == {pod["metadata"]["uid"] for pod in before}
        assert set(kit.each_restart(kit.pods_of(NAME, NS))) == {0}

        # A new pod of the old weights cannot start any more: it never serves what was not asked for, and says what to do.
        kit.kubectl("-n", NS, "delete", "pod", before[0]["metadata"]["name"], "--wait=false")
        until(lambda: "SourceChanged" in kit.llm(NAME, NS)["status"]["message"], timeout_s=120, what="why the new pod cannot start")
        assert "kubectl llm refresh" in kit.llm(NAME, NS)["status"]["message"]

        kit.apply(_wanted("Rollout"), namespace=NS)
        now = kit.wait_settled(NAME, NS, REPLICAS, timeout_s=300)["status"]["stable"]
    assert load.failures == []
    assert now["engine"] != engine
    assert _resolution()["digest"] == available
    assert set(load.revisions) >= {now["revision"]}
    fetched = kit.kubectl("-n", NS, "logs", f"deployment/{NAME}-{now['engine']}", "-c", "fetch")
    assert f"ready: {SOURCE}" in fetched
