"""The demo on a cluster that is there, as `make demo CLUSTER=current` runs it. Behind everything else: it installs the product anew."""

import subprocess
import sys

import pytest

from tests.e2e import kit, platform
from tests.lab.cluster import Lab
from tests.lab.demo.place import S3_IMAGE
from tests.lab.demo.show import NAMESPACE
from tests.lab.images import build

pytestmark = [pytest.mark.usefixtures("platform"), pytest.mark.alone(ends_the_product=True), pytest.mark.timeout(900)]


def test_the_demo_runs_on_the_cluster_that_kubectl_points_at() -> None:
    Lab.current().load_image(build.image_path(S3_IMAGE))
    platform.load_real_engine()
    demo = [sys.executable, "-m", "tests.lab.demo", "--cluster", "current", "--registry", "lab.local", "--accelerator", "nvidia.com/gpu"]
    done = subprocess.run(demo, capture_output=True, text=True, check=False, timeout=800)
    print(done.stdout)  # noqa: T201  # what a user reads
    assert done.returncode == 0, done.stderr
    assert "the cluster of context 'lab'" in done.stdout
    (pod,) = kit.pods_of("chat", NAMESPACE)
    assert kit.is_ready(pod)
    assert set(kit.each_restart([pod])) == {0}
