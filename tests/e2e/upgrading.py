"""An operator that renders every pod template otherwise: the image of the lab with one layer more, in which Python finds the change."""

from pathlib import Path

from tests.e2e import kit
from tests.lab import product
from tests.lab.cluster import Lab
from tests.lab.images.archive import Entry
from tests.lab.images.build import image_path
from tests.lab.images.overlay import overlaid
from tests.lab.wait import until

LABEL = "example.com/rendered-by"
IMAGE = "lab.local/llm-operator:next"

# sitecustomize is imported before anything else, so every user of the renderer gets this one.
_NEXT = f"""
import llm_operator.core.render.pod as pod

def changed(before):
    def pod_template(*args, **kwargs):
        template = before(*args, **kwargs)
        template["metadata"]["labels"]["{LABEL}"] = "next"
        return template
    return pod_template

pod.pod_template = changed(pod.pod_template)
"""


def build_next(out: Path) -> None:
    """Write the image of the other operator and load it into the node."""
    overlaid(image_path("operator"), out, IMAGE, [Entry("app/sitecustomize.py", _NEXT.encode())])
    Lab.current().load_image(out)


def run_operator(image: str) -> None:
    """Run the operator from an image, and return when no pod of another is left."""
    where = ("-n", product.SYSTEM_NAMESPACE)
    kit.kubectl(*where, "set", "image", f"deployment/{product.RELEASE}", f"operator={image}")
    kit.kubectl(*where, "rollout", "status", f"deployment/{product.RELEASE}", "--timeout=270s")

    def alone() -> bool:
        return {pod["spec"]["containers"][0]["image"] for pod in kit.items("pods", product.SYSTEM_NAMESPACE)} == {image}

    until(alone, timeout_s=60, what=f"only {image} left")


def running_image() -> str:
    """Return the image the operator runs from."""
    found = kit.get("deployment", product.RELEASE, product.SYSTEM_NAMESPACE)
    assert found is not None
    return str(found["spec"]["template"]["spec"]["containers"][0]["image"])
