"""The tutorial about new weights, done as it says on a real node while users send requests: none is lost. The engine is the stub."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import kit
from tests.e2e.traffic import Traffic
from tests.lab import product, s3_component
from tests.lab.cluster import Lab
from tests.lab.desk import ROOT, Desk
from tests.lab.images import model
from tests.lab.s3 import S3Client

pytestmark = [pytest.mark.usefixtures("platform"), pytest.mark.takes_minutes, pytest.mark.timeout(900)]

NS = "llm-e2e"
NAME = "support"
TUTORIAL = (ROOT / "docs/tutorials/promote-a-model.md").read_text()
ON_A_REAL_CLUSTER = "  accelerator:\n    profile: nvidia\n"
HERE = """\
  engine: {profile: stub, resources: {cpu: 50m, memory: 128Mi}}
  accelerator: {profile: none}
  drain: {minimum: 3s, maxStream: 2m}
  limits: {totalTimeout: 2m}
"""
"""An engine that only pretends, on a node that has other work."""


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    yield Desk(tmp_path, NS, Lab.current().kubeconfig)
    kit.kubectl("-n", NS, "delete", "llm", NAME, "--wait=false", "--ignore-not-found")


def test_the_tutorial_does_what_it_says_and_users_notice_nothing(desk: Desk) -> None:
    for number in (1, 2, 3):
        S3Client(s3_component.ENDPOINT).upload(product.BUCKET, f"{NAME}-{number}", model.ensure(seed=number))
    assert ON_A_REAL_CLUSTER in TUTORIAL
    first, *others = TUTORIAL.replace(ON_A_REAL_CLUSTER, HERE).partition("## 2. ")
    desk.follow(first, NAME)
    with Traffic(kit.address(NAME, NS), NAME, rps=15, streams=3, tokens_per_s=40) as traffic:
        desk.follow("".join(others), NAME)
    assert (traffic.seen.failures, traffic.seen.declared) == ([], [])
    assert len(traffic.seen.revisions) == 3
