"""The product as the tests on a real node install and uninstall it."""

import fcntl
import json

from tests.e2e import kit
from tests.lab import product, s3_component
from tests.lab.cluster import Lab
from tests.lab.images import build
from tests.lab.s3 import S3Client
from tests.lab.wait import until

MAIN = "llm-e2e"
GONE = "llm-gone"
VALUES = product.REPO / "tests/e2e/values.yaml"
IMAGES = ("operator", "sidecar", "fetcher", "engine-stub")
REAL_ENGINE = "vllm-cpu"


def install_once(run: str) -> None:
    """Install for a run of several test processes: the first one does it, the others wait for it."""
    root = Lab.current().state.root
    with (root / "e2e.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = root / "e2e.installed"
        if not done.exists() or done.read_text() != run:
            install()
            done.write_text(run)


def install() -> None:
    """Load the images, fill the bucket, make the namespaces and install the chart."""
    lab = Lab.current()
    for name in IMAGES:
        lab.load_image(build.image_path(name))
    s3 = S3Client(s3_component.ENDPOINT)
    product.seed(s3)
    for namespace in (MAIN, GONE):
        product.make_namespace(namespace)
        product.make_credentials(namespace, s3.env())
    # A tag says nothing of what is behind it: in a lab that is up already, another image must start the operator anew.
    built = json.loads(build.image_path("operator").with_suffix(".json").read_text())["key"]
    product.install([MAIN, GONE], f"podAnnotations.image={built}", values=(product.VALUES, VALUES))


def load_real_engine() -> None:
    """Load the image of the real engine, of several gigabytes: only those who use it wait for it."""
    Lab.current().load_image(build.image_path(REAL_ENGINE))


def scale_operator(replicas: int) -> None:
    """Take the operator away or bring it back, and wait until it is so."""
    kit.kubectl("-n", product.SYSTEM_NAMESPACE, "scale", "deployment", product.RELEASE, f"--replicas={replicas}")
    kit.kubectl("-n", product.SYSTEM_NAMESPACE, "rollout", "status", f"deployment/{product.RELEASE}", "--timeout=270s")
    # A rollout is done before the last pod has ended, and an operator on its way out still repairs what it sees.
    until(lambda: len(kit.items("pods", product.SYSTEM_NAMESPACE)) == replicas, timeout_s=60, what=f"{replicas} operator pods")
    for pod in kit.items("pods", product.SYSTEM_NAMESPACE):
        print(f"{pod['metadata']['name']}: restarts {list(kit.each_restart([pod]))}")  # noqa: T201  # says why a start was slow


def merge_data(key: str, value: str) -> str:
    """Return a merge patch that sets one key of a ConfigMap."""
    return json.dumps({"data": {key: value}})
