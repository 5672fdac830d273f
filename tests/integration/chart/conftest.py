"""Namespaces and one installed release, shared by the tests that ask a real API server."""

from collections.abc import Iterator

import pytest
import yaml

from tests.integration.chart.as_operator import RELEASE, SERVED, SYSTEM, UNSERVED, apply
from tests.integration.chart.kit import Object, install, kubectl, run
from tests.integration.chart.objects import deployment
from tests.lab.wait import until

SPACES = (SYSTEM, SERVED, UNSERVED)


def namespace(name: str) -> Object:
    """Return a namespace as the lab and careful clusters have them."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


@pytest.fixture(scope="package")
def release() -> Iterator[str]:
    """Install the chart for one namespace and return its notes once its policies are in force."""
    kubectl("apply", "--filename=-", stdin=yaml.safe_dump_all([namespace(name) for name in SPACES]))
    notes = install(RELEASE, SYSTEM, {"namespaces": [SERVED]})
    # A policy acts about half a second after it was made; this one is made last.
    refused = deployment(pod={"hostNetwork": True})
    until(lambda: "denied request" in apply(refused).err, timeout_s=30, what="admission policies in force")
    yield notes
    run(["helm", "uninstall", RELEASE, "--namespace", SYSTEM])
    kubectl("delete", "namespace", *SPACES, "--wait=false")
