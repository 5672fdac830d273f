"""The product in a cluster: its chart, a namespace for users, their credentials and a model. For the demo and the tests on a real node.

Everything goes through kubectl and helm as found on PATH, with the kubeconfig they find: inside the lab that is the lab's.
"""

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.lab.images import model
from tests.lab.s3 import S3Client

REPO = Path(__file__).resolve().parents[2]
CHART = REPO / "charts/llm-operator"
VALUES = REPO / "tests/lab/values.yaml"
SYSTEM_NAMESPACE = "llm-system"
RELEASE = "llm-operator"
BUCKET, PREFIX = "models", "tiny"
CREDENTIALS = "models"


class ProductError(RuntimeError):
    """A command that failed, with what it said."""


def run(*argv: str, stdin: str | None = None) -> str:
    """Run a command and return what it printed."""
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode:
        raise ProductError(f"{' '.join(argv)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def apply(*objects: Mapping[str, Any], namespace: str | None = None) -> None:
    """Apply manifests."""
    where = ["-n", namespace] if namespace else []
    run("kubectl", *where, "apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))


def make_namespace(name: str) -> None:
    """Make a namespace in which Pod Security `restricted` is enforced."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})


def make_credentials(namespace: str, settings: Mapping[str, str]) -> None:
    """Make the Secret that `spec.model.credentials` of the examples names."""
    apply(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": CREDENTIALS}, "stringData": dict(settings)},
        namespace=namespace,
    )


def seed(client: S3Client) -> int:
    """Make the tiny model where it is missing, upload it, and return how many files it has."""
    client.create_bucket(BUCKET)
    return client.upload(BUCKET, PREFIX, model.ensure())


def install(namespaces: Sequence[str], *settings: str, values: Sequence[Path] = (VALUES,)) -> None:
    """Install or upgrade the chart for some namespaces and wait until the operator is ready."""
    make_namespace(SYSTEM_NAMESPACE)
    run("kubectl", "apply", "--server-side", "--force-conflicts", "-f", str(REPO / "crds"))
    files = [word for path in values for word in ("-f", str(path))]
    chosen = [word for setting in settings for word in ("--set", setting)]
    watched = ",".join(namespaces)
    command = ["helm", "upgrade", "--install", RELEASE, str(CHART), "-n", SYSTEM_NAMESPACE, *files, *chosen]
    try:
        run(*command, "--set", f"namespaces={{{watched}}}", "--wait", "--timeout", "2m")
    except ProductError as error:
        said = run("kubectl", "-n", SYSTEM_NAMESPACE, "logs", f"deployment/{RELEASE}", "--tail=5")
        raise ProductError(f"{error}\nthe operator said: {said}") from error


def uninstall() -> None:
    """Remove the chart's release; the custom resource definitions and everything that serves stay."""
    run("helm", "uninstall", RELEASE, "-n", SYSTEM_NAMESPACE, "--wait", "--timeout", "2m")
