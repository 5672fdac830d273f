"""Where the demo runs: its own lab, a kind cluster, or the cluster that kubectl points at."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.lab import builds, product, s3_component, up
from tests.lab.cluster import Lab
from tests.lab.demo import s3_pod, show
from tests.lab.demo.screen import Screen
from tests.lab.images import build
from tests.lab.images.catalog import targets
from tests.lab.prepare import build_everything
from tests.lab.s3 import S3Client
from tests.lab.state import Settings
from tests.lab.wait import until

PROGRAMS = ("cp", "containerd", "coredns", "helm", "pause")
IMAGES = ("operator", "sidecar", "fetcher", "vllm-cpu")
S3_IMAGE = "seaweedfs"
KIND_CLUSTER = "llm-operator"

NO_ROOT = """\
The demo's own cluster needs root: it starts a kubelet and containers in namespaces of their own.
Run `sudo make demo`, or use a kind cluster (docker, no root): `make demo CLUSTER=kind`,
or the cluster kubectl points at: `make demo CLUSTER=current REGISTRY=registry.example.com/llm`."""


def in_lab(screen: Screen) -> None:
    """Build what is missing, start the lab, load the images, and show the rest from inside its network."""
    if os.geteuid():
        raise SystemExit(NO_ROOT)
    with screen.step("build the programs and images that are not built yet (minutes the first time, seconds later)"):
        build_everything(PROGRAMS, [*IMAGES, "pause"])
    lab = Lab.current()
    with screen.step("start a real single-node Kubernetes in a network of its own"):
        if not up.up(lab.state, Settings(s3=True)):
            screen.note("already up")
    with screen.step("load the images into the node"):
        for name in IMAGES:
            screen.note(lab.load_image(build.image_path(name)).strip())
    inside = [sys.executable, "-m", "tests.lab.demo", "--inside", "--start", str(screen.start)]
    code = subprocess.run(lab.command(inside), env=lab.environment(), check=False).returncode
    if code:
        raise SystemExit(code)
    screen.line("\nThe cluster is still up. Look around:  .venv/bin/python -m tests.lab exec -- kubectl -n llm-demo get llm")
    screen.line("Stop it:  make lab-down")


def in_kind(screen: Screen) -> None:
    """Make or reuse a kind cluster and load the images into it."""
    _need("CLUSTER=kind", "docker", "kind", "kubectl")
    if subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
        raise SystemExit("CLUSTER=kind needs a docker engine, and `docker info` reaches none")
    with screen.step("build the images"):
        build_everything(programs=["helm"], images=[*IMAGES, S3_IMAGE])
    _find_built_programs()
    with screen.step(f"make the kind cluster {KIND_CLUSTER}"):
        if KIND_CLUSTER not in product.run("kind", "get", "clusters").split():
            product.run("kind", "create", "cluster", "--name", KIND_CLUSTER)
        product.run("kubectl", "config", "use-context", f"kind-{KIND_CLUSTER}")
    with screen.step("load the images into it"):
        for name in (*IMAGES, S3_IMAGE):
            product.run("kind", "load", "image-archive", str(build.image_path(name)), "--name", KIND_CLUSTER)
    _elsewhere(screen, "lab.local", accelerator="")


def in_current(screen: Screen, registry: str, accelerator: str) -> None:
    """Use the cluster kubectl points at; the images must be in a registry it can pull from."""
    if not registry:
        raise SystemExit(_no_registry())
    _need("CLUSTER=current", "kubectl")
    context = product.run("kubectl", "config", "current-context").strip()
    screen.line(
        f"\nCLUSTER=current: everything below happens in the cluster of context {context!r}, "
        f"in the namespaces {product.SYSTEM_NAMESPACE} and {show.NAMESPACE}."
    )
    if shutil.which("helm") is None:
        with screen.step("build helm, which is not on PATH"):
            builds.build(["helm"])
    _find_built_programs()
    _elsewhere(screen, registry, accelerator)


def _need(what: str, *tools: str) -> None:
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        raise SystemExit(f"{what} needs {', '.join(missing)} on PATH")


def _no_registry() -> str:
    """Return how to bring the images to where a cluster can pull them from."""
    known = targets()
    push = "\n".join(
        f"  skopeo copy oci-archive:{build.image_path(name)} docker://REGISTRY/{known[name].ref.partition('/')[2]}"
        for name in (*IMAGES, S3_IMAGE)
    )
    return (
        "CLUSTER=current needs REGISTRY, from which the cluster pulls the images. `make images` builds them; push them with\n"
        f"{push}\nand run `make demo CLUSTER=current REGISTRY=...` again."
    )


def _find_built_programs() -> None:
    """Let programs of the lab be found behind those of this machine."""
    os.environ["PATH"] = os.pathsep.join([os.environ["PATH"], *builds.path_entries()])


def _elsewhere(screen: Screen, registry: str, accelerator: str) -> None:
    """Show the rest through port-forwards, with an S3 server in a pod."""
    product.make_namespace(show.NAMESPACE)
    with screen.step("start an S3 server in a pod"):
        product.apply(*s3_pod.manifests(registry), namespace=show.NAMESPACE)
        show.kubectl("rollout", "status", "deployment/s3", "--timeout=5m")
    with screen.step("upload the model"), _forwarded("s3", s3_pod.PORT) as endpoint:
        screen.note(f"{product.seed(S3Client(endpoint))} files")
    inside = f"http://s3.{show.NAMESPACE}.svc:{s3_pod.PORT}"
    resource = f"acceleratorProfiles.nvidia.resource={accelerator or 'null'}"
    engine = f"engineProfiles.vllm.image={registry}/vllm-cpu:0.32.0"
    install(screen, S3Client(inside), f"image.registry={registry}", resource, engine)
    with _forwarded(show.NAME, 8080) as base:
        tell(screen, base)


def inside_lab(screen: Screen) -> None:
    """Show the rest from inside the lab's network."""
    s3 = S3Client(s3_component.ENDPOINT)
    with screen.step("upload a tiny Llama to the lab's S3 server"):
        screen.note(f"{product.seed(s3)} files under s3://{product.BUCKET}/{product.PREFIX}")
    install(screen, s3)
    tell(screen, f"http://{show.kubectl('get', 'service', show.NAME, '-o', 'jsonpath={.spec.clusterIP}')}:8080")


def install(screen: Screen, s3: S3Client, *settings: str) -> None:
    """Install the chart and apply the quickstart."""
    with screen.step("install the operator from its Helm chart"):
        product.make_namespace(show.NAMESPACE)
        product.make_credentials(show.NAMESPACE, s3.env())
        product.install([show.NAMESPACE], *settings)
    with screen.step("kubectl apply -f examples/quickstart.yaml"):
        show.apply_quickstart(screen)


def tell(screen: Screen, base: str) -> None:
    """Ask, edit the prompt, and ask again."""
    with screen.step("the classic client request"):
        show.ask_classic(screen, base)
    with screen.step("the same model through the official openai client, streaming"):
        show.ask_openai(screen, base)
    with screen.step("edit the prompt: no restart, no accelerator"):
        show.edit_prompt(screen, base)
    with screen.step("kubectl get llm"):
        screen.note(show.kubectl("get", "llm"))
    screen.line(f"\nFrom nothing to here in {screen.total()}.")


@contextmanager
def _forwarded(service: str, port: int) -> Iterator[str]:
    """Forward a port of a Service to this machine while the block runs."""
    command = ["kubectl", "-n", show.NAMESPACE, "port-forward", f"service/{service}", f":{port}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = until(process.stdout.readline, timeout_s=60, what=f"a port-forward to {service}")
            yield "http://" + line.split(" -> ")[0].removeprefix("Forwarding from ").strip()
        finally:
            process.terminate()
